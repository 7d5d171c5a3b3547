// What the bot stores: the scheduled sends of all chats, the state of the bot, and of the open chat open questions,
// waiting deliveries, dead letters, calls, and the state of the chat and its people.

import { h } from "../elements/dom.js";
import { keepingFocus } from "../elements/focus.js";
import { formatHandle } from "../model/handles.js";
import { chatTitle, nameIn } from "../model/names.js";
import { dayAndTime, preciseTime } from "../model/time.js";

/** @import { AskedQuestion, ScheduledSend, Stored } from "../client/types.d.ts" */
/** @import { Store } from "../model/store.js" */
/** @import { StoredFacts } from "./stored-facts.js" */

const STATES = {
  ready: "ready",
  leased: "being handled",
  gathering: "waits for more",
  retrying: "will be retried",
  deferred: "deferred",
};

/**
 * @param {HTMLElement} root
 * @param {Store} store
 * @param {StoredFacts} facts
 */
export function mountStored(root, store, facts) {
  const content = h("div", { class: "stored" });
  root.append(h("h3", {}, "What the bot stores"), content);

  function render() {
    const { value } = facts;
    const opened = new Set(
      [...content.querySelectorAll("details[open]")].map((node) => /** @type {HTMLElement} */ (node).dataset.name),
    );
    keepingFocus(content, () => {
      content.replaceChildren(...shown(store, value));
      for (const node of content.querySelectorAll("details")) node.open = opened.has(node.dataset.name) || node.open;
    });
  }

  facts.onChange(render);
  render();
}

/**
 * @param {Store} store
 * @param {Stored} value
 * @returns {HTMLElement[]}
 */
function shown(store, value) {
  if (!value.available) return [note("Only linqbot dev can look into the storage of its bot.")];
  if (value.is_running === false) return [note("The bot does not run. Correct its file and save it.")];
  const scheduled = (value.scheduled ?? []).map((send) => scheduledItem(store, send));
  const parts = [
    part("Scheduled sends, all chats", scheduled, "None is scheduled. A handler schedules one with ctx.send_later."),
    part("State of the bot", stateItems(value.bot_state), "None. A handler keeps some with ctx.state.bot."),
  ];
  const { openChat } = store;
  if (!openChat) return [...parts, note("Open a conversation to see the rest.")];
  return [...parts, ...chatParts(value, (handle) => nameIn(store, openChat, handle))];
}

/** @param {Record<string, unknown>} [state] */
const stateItems = (state = {}, of = "") =>
  Object.entries(state).map(([name, value]) => item(name, of, JSON.stringify(value, null, 1)));

/**
 * @param {Stored} value
 * @param {(handle: string) => string} nameOf
 */
function chatParts({ questions = [], waiting = [], dead = [], state = {}, people = [] }, nameOf) {
  return [
    part(
      "Open questions",
      questions.map((question) => questionItem(question, nameOf)),
      "None. A handler asks one with ctx.ask.",
    ),
    part(
      "Deliveries that wait",
      waiting.map(({ type, state: is, attempts, not_before: at, error }) =>
        item(
          type,
          [STATES[is], attempts ? `${attempts} failed` : "", at ? `from ${preciseTime(at)}` : ""]
            .filter(Boolean)
            .join(", "),
          lastLine(error),
        ),
      ),
      "None: everything is handled.",
    ),
    part(
      "Dead letters",
      dead.map(({ type, attempts, dead_lettered_at: at, error }) =>
        item(type, `given up ${preciseTime(at)}, ${attempts} failed`, lastLine(error)),
      ),
      "None.",
    ),
    part("State of this chat", stateItems(state), "None. A handler keeps some with ctx.state.chat."),
    part(
      "State of the people in this chat",
      people.flatMap((person) => stateItems(person.state, nameOf(person.handle))),
      "None. A handler keeps some with ctx.state.person.",
    ),
  ];
}

/**
 * @param {AskedQuestion} question
 * @param {(handle: string) => string} nameOf
 */
function questionItem({ question, handler, person, status, until, invalid_answers: tries }, nameOf) {
  const who = person === "*" ? "anyone" : nameOf(person).replace(/^You$/, "you");
  const stands = {
    waiting: `waits for ${who} until ${dayAndTime(until)}`,
    failed: "failed: the answer is a dead letter",
    timed_out: `timed out ${dayAndTime(until)}`,
  };
  const invalid = tries ? `${tries} invalid ${tries === 1 ? "answer" : "answers"}` : "";
  return item(question || handler, [stands[status], invalid].filter(Boolean).join(", "), `asked by ${handler}`);
}

/**
 * @param {Store} store
 * @param {ScheduledSend} send
 */
function scheduledItem(store, { due, chat_id: chatId, text, calls }) {
  const chat = store.chats.get(chatId);
  return item(text || calls.join(", "), dayAndTime(due), chat ? `To ${recipients(store, chatId)}` : "");
}

/**
 * @param {Store} store
 * @param {string} chatId
 */
function recipients(store, chatId) {
  const chat = store.chats.get(chatId);
  if (!chat) return "";
  const people = (chat.handles ?? []).filter((member) => !member.is_me).map((member) => member.handle);
  return chat.is_group ? chatTitle(store, chat) : people.map(formatHandle).join(", ");
}

/**
 * @param {string} name
 * @param {HTMLElement[]} items
 * @param {string} empty Shown if there is no item.
 */
function part(name, items, empty) {
  return h(
    "details",
    { dataset: { name }, open: items.length > 0 },
    h("summary", {}, name, h("span", { class: "count" }, String(items.length))),
    items.length > 0 ? h("ul", { class: "stored-items" }, items) : note(empty),
  );
}

/**
 * @param {string} title
 * @param {string} facts
 * @param {string | null} [more]
 */
const item = (title, facts, more) =>
  h(
    "li",
    {},
    h("span", { class: "stored-title" }, title),
    h("small", {}, facts),
    more && h("pre", { tabindex: "0" }, more),
  );

/**
 * Return the last line of an error: in a traceback, what was raised. The terminal of `linqbot dev` has the rest.
 * @param {string | null} error
 */
const lastLine = (error) => (error ?? "").trim().split("\n").at(-1);

/** @param {string} text */
const note = (text) => h("p", { class: "hint" }, text);
