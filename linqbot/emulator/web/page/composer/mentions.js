// Naming somebody in a group: suggestions after an "@", and the ranges Linq wants. A bot that answers only when it is
// addressed hears a mention, not a name in the text.

import { h } from "../elements/dom.js";
import { avatarIn, nameIn, others } from "../model/chat.js";

/** Mentions of the chat's members in `text`, as `{handle, range}` in UTF-16 units. */
export function mentionsIn(store, chat, text) {
  if (!chat.is_group) return [];
  const found = [];
  // Longer names first: "Your bot 2" is not "Your bot".
  const names = others(store, chat).map(({ handle }) => ({ handle, name: `@${nameIn(store, chat, handle)}` }));
  names.sort((a, b) => b.name.length - a.name.length);
  for (const { handle, name } of names) {
    for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + name.length)) {
      if (!found.some(({ range }) => at < range[1] && range[0] < at + name.length))
        found.push({ handle, range: [at, at + name.length] });
    }
  }
  return found.sort((a, b) => a.range[0] - b.range[0]);
}

/** Buttons for the members that fit the "@…" before the caret; `insert(from, to, text)` puts one in. */
export function mentionSuggestions(store, chat, field, insert) {
  if (!chat.is_group) return [];
  const before = field.value.slice(0, field.selectionStart);
  const asked = /(?:^|\s)@([^@\n]{0,20})$/.exec(before);
  if (!asked) return [];
  const from = before.length - asked[1].length - 1;
  return others(store, chat)
    .filter(({ handle }) => {
      const name = nameIn(store, chat, handle).toLowerCase();
      const words = asked[1].toLowerCase();
      return words !== `${name} ` && (name.startsWith(words) || name.split(" ").some((word) => word.startsWith(words)));
    })
    .map(({ handle }) =>
      h(
        "button",
        {
          type: "button",
          class: "mention-choice",
          on: {
            // Not click: the field would lose the focus, and with it the caret.
            pointerdown: (event) => event.preventDefault(),
            click: () => insert(from, before.length, `@${nameIn(store, chat, handle)} `),
          },
        },
        avatarIn(store, chat, handle),
        nameIn(store, chat, handle),
      ),
    );
}
