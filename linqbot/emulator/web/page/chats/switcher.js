// "You are +1 415 555 0142 ▾": whose phone this is. Switching shows that person's conversations; a second tab can be a
// second person's phone.

import { h, icon, toast } from "../elements/dom.js";
import {
  avatar,
  formatHandle,
  normaliseHandle,
  personName,
  rememberedPeople,
  rememberPerson,
} from "../model/people.js";

export function mountSwitcher(root, store) {
  const label = h("span", { class: "switcher-name" });
  const button = h("button", {
    type: "button",
    class: "switcher",
    "aria-haspopup": "dialog",
    "aria-expanded": "false",
    on: { click: () => (panel.hidden ? open() : close()) },
  });
  const panel = h("div", {
    class: "switcher-panel",
    role: "dialog",
    "aria-label": "Whose phone is this?",
    hidden: true,
  });
  root.classList.add("switcher-root");
  root.append(button, panel);

  const number = h("input", {
    type: "tel",
    placeholder: "+44 7700 900123",
    "aria-label": "Number in E.164 form",
    required: true,
  });
  const name = h("input", { type: "text", placeholder: "Name (optional)", "aria-label": "Name", maxlength: "40" });
  const form = h(
    "form",
    {
      class: "add-person",
      on: {
        submit: (event) => {
          event.preventDefault();
          const handle = normaliseHandle(number.value);
          if (!handle || store.isLine(handle)) {
            toast("A person's number in E.164 form, please: + and the country code first.");
            return;
          }
          rememberPerson(handle, name.value);
          number.value = name.value = "";
          become(handle);
        },
      },
    },
    h("h3", {}, "Add a person"),
    number,
    name,
    h("button", { type: "submit", class: "pill" }, "Add"),
  );

  function become(handle) {
    close();
    if (handle !== store.me) store.become(handle);
  }

  function personRow(handle) {
    const isMe = handle === store.me;
    const title = personName(handle);
    const other = h(
      "a",
      {
        class: "icon-button",
        href: `?as=${encodeURIComponent(handle)}`,
        target: "_blank",
        title: "Open this phone in a new tab",
        "aria-label": `Open the phone of ${title} in a new tab`,
      },
      icon("window"),
    );
    return h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          class: "person-row",
          "aria-current": isMe ? "true" : null,
          on: { click: () => become(handle) },
        },
        avatar(handle),
        h(
          "span",
          { class: "member" },
          h("strong", {}, title),
          title !== formatHandle(handle) && h("small", {}, formatHandle(handle)),
        ),
        isMe && icon("check"),
      ),
      !isMe && other,
    );
  }

  function open() {
    panel.replaceChildren(h("ul", {}, store.people(rememberedPeople()).map(personRow)), form);
    panel.hidden = false;
    button.setAttribute("aria-expanded", "true");
    panel.querySelector("button").focus();
  }

  function close() {
    panel.hidden = true;
    button.setAttribute("aria-expanded", "false");
  }

  document.addEventListener("pointerdown", (event) => !root.contains(event.target) && close());
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !panel.hidden) {
      close();
      button.focus();
    }
  });

  function render() {
    label.replaceChildren("You are ", h("strong", {}, personName(store.me)));
    button.replaceChildren(avatar(store.me), label, icon("down"));
  }

  store.onChange((topics) => topics.has("me") && render());
  render();
}
