// Polls: their options with the votes, and a field for another option.

import { buttonTo, formTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { succeeds } from "../elements/toast.js";
import * as control from "../client/control.js";
import { isMember } from "../model/chats.js";
import { personName } from "../model/people.js";

/** @import { Message, Poll, PollOption } from "../client/types.d.ts" */
/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

/**
 * Make a poll. A person who has left the chat sees it as it is, and cannot vote.
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {Message} message
 * @param {Poll} poll
 */
export function pollCard(store, chat, message, poll) {
  const isIn = isMember(chat, store.me);
  const total = poll.total_voters ?? 0;
  return h(
    "div",
    { class: "poll" },
    h("small", {}, icon("poll"), "Poll"),
    poll.options.map((option) => pollOption(store, message, option, total, !isIn)),
    isIn && optionForm(store, message),
    h("small", {}, `${total} ${total === 1 ? "vote" : "votes"}`),
  );
}

/**
 * @param {Store} store
 * @param {Message} message
 * @param {PollOption} option
 * @param {number} total The number of voters.
 * @param {boolean} disabled
 */
function pollOption(store, message, { option_id: optionId, text, voters: votes }, total, disabled) {
  const voters = (votes ?? []).map((voter) => voter.handle);
  const isMine = voters.includes(store.me);
  const vote = () => {
    const operation = isMine ? "remove" : "add";
    return succeeds(control.vote({ from: store.me, message_id: message.id, option_id: optionId, operation }));
  };
  const bar = h("span", { class: "poll-bar", "aria-hidden": "true" });
  bar.style.setProperty("--share", String(total ? voters.length / total : 0));
  return buttonTo(
    vote,
    { class: `poll-option${isMine ? " mine" : ""}`, "aria-pressed": String(isMine), disabled },
    bar,
    h("span", { class: "poll-check" }, isMine && icon("check")),
    h("span", { class: "poll-text" }, text),
    h("span", { class: "poll-count", title: voters.map(personName).join(", ") }, String(voters.length)),
  );
}

/**
 * The form that adds an option.
 * @param {Store} store
 * @param {Message} message
 */
function optionForm(store, message) {
  const input = h("input", {
    type: "text",
    placeholder: "Add an option",
    "aria-label": "Add an option",
    maxlength: "100",
  });
  const submit = async () => {
    const option = input.value.trim();
    if (!option) return;
    // Emptied before the call: the poll is made again when it has the option.
    input.value = "";
    if (!(await succeeds(control.addPollOption(store.me, message.id, option)))) input.value = option;
  };
  const add = h("button", { type: "submit", class: "text-button" }, "Add");
  return formTo(submit, { class: "poll-add" }, input, add);
}
