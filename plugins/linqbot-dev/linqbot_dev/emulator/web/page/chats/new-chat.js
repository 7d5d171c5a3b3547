// The sheet for a new message: to which line, over which service, and who else is in the group.

import { lineAvatar } from "../elements/avatars.js";
import { buttonTo, formTo, h } from "../elements/dom.js";
import { keepingFocus } from "../elements/focus.js";
import { icon, iconButton } from "../elements/icons.js";
import { openSheet } from "../elements/sheet.js";
import { toast } from "../elements/toast.js";
import { formatHandle, HANDLE_WANTED, normaliseHandle } from "../model/handles.js";
import { lineName } from "../model/names.js";
import { personName, rememberedPeople, rememberPerson } from "../model/people.js";
import { handleField } from "./handle-field.js";

/** @import { Child } from "../elements/dom.js" */
/** @import { Service } from "../client/types.d.ts" */
/** @import { Store } from "../model/store.js" */

const SERVICES = /** @type {const} */ (["iMessage", "SMS", "RCS"]);

/**
 * Make a group of radio buttons.
 * @param {string} name
 * @param {string} label
 * @param {{ value: string, content: Child[] }[]} options
 * @param {string | undefined} chosen The value of the checked one.
 */
function choices(name, label, options, chosen) {
  const radios = options.map(({ value, content }) =>
    h(
      "label",
      {},
      h("input", { type: "radio", name, value, checked: value === chosen }),
      h("span", { class: "choice" }, content),
    ),
  );
  return h("fieldset", { class: `choices ${name}` }, h("legend", {}, label), radios);
}

/**
 * @param {HTMLElement} root
 * @param {string} name
 */
const chosenIn = (root, name) =>
  /** @type {HTMLInputElement | null} */ (root.querySelector(`input[name="${name}"]:checked`))?.value;

/** @param {Store} store */
function lineChoices(store) {
  const options = store.lines.map(({ phone_number: number }) => {
    const name = h(
      "span",
      { class: "member" },
      h("strong", {}, lineName(store, number)),
      h("small", {}, formatHandle(number)),
    );
    return { value: number, content: [lineAvatar(store, number), name] };
  });
  return choices("line", "To", options, store.lines[0]?.phone_number);
}

/**
 * The further people of a group: chips of the chosen ones, a field for a number, and buttons of known people.
 * @param {Store} store
 */
function groupPicker(store) {
  /** @type {Set<string>} */
  const others = new Set();
  const chips = h("div", { class: "chips" });
  const input = handleField("Add a person to the group");

  function renderChips() {
    keepingFocus(chips, () => chips.replaceChildren(...[...others].map(chip)));
  }

  /** @param {string} handle */
  function chip(handle) {
    const name = personName(handle);
    const remove = () => {
      others.delete(handle);
      renderChips();
    };
    return h("span", { class: "chip" }, name, iconButton("close", `Remove ${name}`, remove));
  }

  /** @param {string} handle */
  function add(handle) {
    others.add(handle);
    rememberPerson(handle);
    renderChips();
  }

  /**
   * Say why a handle cannot be added; an empty text if it can.
   * @param {string | null} handle
   */
  function refusal(handle) {
    if (!handle) return HANDLE_WANTED;
    if (handle === store.me) return "You are in the group already.";
    return store.isLine(handle) ? "This is a number of the bot, which is chosen under To." : "";
  }

  /** Add the number in the field. Return false if the field holds something else. */
  function addTyped() {
    if (!input.value.trim()) return true;
    const handle = normaliseHandle(input.value);
    const reason = refusal(handle);
    if (!handle || reason) {
      toast(reason);
      return false;
    }
    add(handle);
    input.value = "";
    return true;
  }

  const submit = h("button", { type: "submit", class: "text-button" }, "Add");
  const form = formTo(addTyped, { class: "inline-form" }, input, submit);
  const known = store.people(rememberedPeople()).filter((handle) => handle !== store.me);
  const buttons = known.map((handle) =>
    buttonTo(() => add(handle), { class: "chip" }, icon("plus"), personName(handle)),
  );
  const element = h(
    "fieldset",
    { class: "choices" },
    h("legend", {}, "Others in the group"),
    chips,
    form,
    known.length > 0 && h("div", { class: "known" }, buttons),
  );
  return { element, addTyped, others };
}

/** @param {Store} store */
export function openNewChat(store) {
  const group = groupPicker(store);
  const services = SERVICES.map((service) => ({ value: service, content: [service] }));
  const hint = h("p", { class: "hint", role: "status", hidden: true });
  const body = h(
    "div",
    { class: "new-chat" },
    lineChoices(store),
    choices("service", "Service", services, "iMessage"),
    hint,
    group.element,
  );

  function start() {
    // A number in the field counts, even when the person did not press Add.
    if (!group.addTyped()) return false;
    const line = chosenIn(body, "line") ?? "";
    const service = /** @type {Service} */ (chosenIn(body, "service"));
    const others = [...group.others];
    const chat = store.findChat(line, others);
    const isSame = chat && (chat.service ?? "iMessage") === service;
    if (chat) store.go({ view: "chat", chatId: chat.id, ...(!isSame && { service }) });
    else store.go({ view: "draft", line, others, service });
    return true;
  }

  /** Say what happens when there is a chat with these people over another service. */
  function explain() {
    const service = chosenIn(body, "service");
    const chat = store.findChat(chosenIn(body, "line") ?? "", [...group.others]);
    const before = chat?.service ?? "iMessage";
    hint.hidden = !chat || before === service;
    hint.textContent =
      `You have a chat with this line over ${before}. Linq has one chat for each person and line, ` +
      `so your first message changes this chat to ${service}. For a chat of its own, choose another line.`;
  }
  body.addEventListener("change", explain);
  body.addEventListener("click", explain);
  explain();

  openSheet("New Message", body, { label: "Start", run: start });
}
