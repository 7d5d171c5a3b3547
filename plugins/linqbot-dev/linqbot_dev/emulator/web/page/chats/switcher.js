// The button "You are +1 415 555 0142 ▾" and its panel. Switching shows the conversations of another person; a second
// tab can be the phone of a second person.

import { avatar } from "../elements/avatars.js";
import { buttonTo, find, formTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { showVersion } from "../elements/reconcile.js";
import { toast } from "../elements/toast.js";
import { formatHandle, HANDLE_WANTED, normaliseHandle } from "../model/handles.js";
import { personName, rememberedPeople, rememberPerson } from "../model/people.js";
import { handleField } from "./handle-field.js";

/** @import { Store } from "../model/store.js" */

const QUICK = 4; // people who can be chosen without opening the panel

/**
 * The form that adds a person.
 * @param {Store} store
 * @param {(handle: string) => void} onAdd
 */
function addForm(store, onAdd) {
  const number = handleField();
  number.required = true;
  const name = h("input", { type: "text", placeholder: "Name (optional)", "aria-label": "Name", maxlength: "40" });
  const submit = () => {
    const handle = normaliseHandle(number.value);
    if (!handle || store.isLine(handle)) {
      toast(handle ? "This is a number of the bot, and a phone belongs to a person." : HANDLE_WANTED);
      return;
    }
    rememberPerson(handle, name.value);
    number.value = "";
    name.value = "";
    onAdd(handle);
  };
  return formTo(
    submit,
    { class: "add-person" },
    h("h2", {}, "Add a person"),
    number,
    name,
    h("button", { type: "submit", class: "pill" }, "Add"),
  );
}

/**
 * @param {string} handle
 * @param {boolean} isMe
 * @param {(handle: string) => void} onChoose
 */
function personRow(handle, isMe, onChoose) {
  const name = personName(handle);
  const number = formatHandle(handle);
  const other = h(
    "a",
    {
      class: "icon-button",
      href: `?as=${encodeURIComponent(handle)}`,
      target: "_blank",
      title: "Open this phone in a new tab",
      "aria-label": `Open the phone of ${name} in a new tab`,
    },
    icon("window"),
  );
  const row = buttonTo(
    () => onChoose(handle),
    { class: "person-row", "aria-current": isMe ? "true" : null },
    avatar(handle),
    h("span", { class: "member" }, h("strong", {}, name), name !== number && h("small", {}, number)),
    isMe && icon("check"),
  );
  return h("li", {}, row, !isMe && other);
}

/**
 * Show the button and its panel in `root`.
 * @param {HTMLElement} root
 * @param {Store} store
 */
export function mountSwitcher(root, store) {
  const label = h("span", { class: "switcher-name" });
  const button = buttonTo(() => (panel.hidden ? open() : close()), {
    class: "switcher",
    "aria-haspopup": "dialog",
    "aria-expanded": "false",
  });
  const panel = h("div", {
    class: "switcher-panel",
    role: "dialog",
    "aria-label": "Whose phone is this?",
    hidden: true,
  });
  const form = addForm(store, choose);
  root.classList.add("switcher-root");
  const others = h("span", { class: "switcher-others" });
  root.append(button, others, panel);

  /** @param {string} handle */
  function choose(handle) {
    close();
    button.focus();
    if (handle !== store.me) store.switchPerson(handle);
  }

  function open() {
    const people = store.people(rememberedPeople());
    const rows = people.map((handle) => personRow(handle, handle === store.me, choose));
    panel.replaceChildren(h("ul", {}, rows), form);
    panel.hidden = false;
    button.setAttribute("aria-expanded", "true");
    find(panel, "button").focus();
  }

  function close() {
    panel.hidden = true;
    button.setAttribute("aria-expanded", "false");
  }

  function renderOthers() {
    const people = store.people(rememberedPeople()).filter((handle) => handle !== store.me);
    const shown = people.slice(0, QUICK);
    showVersion(others, JSON.stringify([store.me, shown.map(personName)]), () =>
      shown.map((handle) => quickButton(handle, () => choose(handle))),
    );
  }

  function render() {
    label.replaceChildren("You are ", h("strong", {}, personName(store.me)));
    button.replaceChildren(avatar(store.me), label, icon("down"));
  }

  document.addEventListener("pointerdown", (event) => {
    if (event.target instanceof Node && !root.contains(event.target)) close();
  });
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !panel.hidden) {
      close();
      button.focus();
    }
  });
  store.onChange((topics) => {
    if (topics.has("me")) render();
    renderOthers();
  });
  render();
}

/**
 * Make the button that turns this phone into that of another person with one press.
 * @param {string} handle
 * @param {() => void} click
 */
function quickButton(handle, click) {
  const label = `Be ${personName(handle)}`;
  return buttonTo(click, { class: "quick", "aria-label": label, title: label }, avatar(handle));
}
