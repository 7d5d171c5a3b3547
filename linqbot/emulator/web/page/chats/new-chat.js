// "New message": which of our lines, over which service, and who else is in it.

import { h, icon, iconButton, toast } from "../elements/dom.js";
import { lineAvatar, lineName } from "../model/chat.js";
import { formatHandle, normaliseHandle, personName, rememberedPeople, rememberPerson } from "../model/people.js";
import { openSheet } from "../elements/sheet.js";

const SERVICES = ["iMessage", "SMS", "RCS"];

function choices(name, label, options, chosen) {
  return h(
    "fieldset",
    { class: `choices ${name}` },
    h("legend", {}, label),
    options.map(([value, ...content]) =>
      h(
        "label",
        {},
        h("input", { type: "radio", name, value, checked: value === chosen }),
        h("span", { class: "choice" }, content),
      ),
    ),
  );
}

const chosenIn = (root, name) => root.querySelector(`input[name="${name}"]:checked`)?.value;

export function openNewChat(store) {
  const others = new Set();
  const chips = h("div", { class: "chips" });
  const input = h("input", { type: "tel", placeholder: "+1 415 555 0199", "aria-label": "Add a person to the group" });

  function renderChips() {
    chips.replaceChildren(
      ...[...others].map((handle) =>
        h(
          "span",
          { class: "chip" },
          personName(handle),
          iconButton("close", `Remove ${personName(handle)}`, () => (others.delete(handle), renderChips())),
        ),
      ),
    );
  }

  function add(handle) {
    if (!handle || handle === store.me || store.isLine(handle)) return false;
    others.add(handle);
    rememberPerson(handle);
    renderChips();
    return true;
  }

  // What stands typed counts, also without Add: the person pressed Start, not a quiz.
  function addTyped() {
    if (!input.value.trim()) return true;
    if (!add(normaliseHandle(input.value))) {
      toast("Another person's number in E.164 form, please: + and the country code first.");
      return false;
    }
    input.value = "";
    return true;
  }

  const known = store.people(rememberedPeople()).filter((handle) => handle !== store.me);
  const people = h(
    "form",
    { class: "inline-form", on: { submit: (event) => (event.preventDefault(), addTyped()) } },
    input,
    h("button", { type: "submit", class: "text-button" }, "Add"),
  );
  const body = h(
    "div",
    { class: "new-chat" },
    choices(
      "line",
      "To",
      store.lines.map((line) => [
        line.phone_number,
        lineAvatar(store, line.phone_number),
        h(
          "span",
          { class: "member" },
          h("strong", {}, lineName(store, line.phone_number)),
          h("small", {}, formatHandle(line.phone_number)),
        ),
      ]),
      store.lines[0]?.phone_number,
    ),
    choices(
      "service",
      "Service",
      SERVICES.map((service) => [service, service]),
      "iMessage",
    ),
    h(
      "fieldset",
      { class: "choices" },
      h("legend", {}, "Others in the group"),
      chips,
      people,
      known.length > 0 &&
        h(
          "div",
          { class: "known" },
          known.map((handle) =>
            h(
              "button",
              { type: "button", class: "chip", on: { click: () => add(handle) } },
              icon("plus"),
              personName(handle),
            ),
          ),
        ),
    ),
  );

  function start() {
    if (!addTyped()) return false;
    const line = chosenIn(body, "line");
    const service = chosenIn(body, "service");
    const chat = store.findChat(line, [...others]);
    // The same people over another service are still the same chat to Linq.
    store.go(chat ? { view: "chat", chatId: chat.id } : { view: "draft", line, others: [...others], service });
    return true;
  }

  openSheet("New Message", body, { label: "Start", run: start });
}
