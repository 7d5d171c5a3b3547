// A contact card that was sent as a file. Pressed, it shows the numbers and addresses.

import { buttonTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { openSheet } from "../elements/sheet.js";
import { formatHandle } from "../model/handles.js";
import { readVcard } from "../model/content/vcard.js";

/** @import { Part } from "../client/types.d.ts" */
/** @import { Contact } from "../model/content/vcard.js" */

/**
 * Make a contact card. The name stands there when the file has been read.
 * @param {string} url
 * @param {Part} part
 */
export function contactCard(url, { filename }) {
  const name = h("strong", {}, (filename ?? "Contact").replace(/\.vcf$/i, ""));
  const detail = h("small", {}, "Contact");
  const reading = read(url);
  const open = async () => {
    const contact = await reading;
    if (contact) openContact(contact);
  };
  const card = buttonTo(
    open,
    { class: "contact-card" },
    h("span", { class: "avatar hue-0", "aria-hidden": "true" }, icon("person")),
    h("span", { class: "file-text" }, name, detail),
  );
  reading.then((contact) => {
    if (!contact) return;
    name.textContent = contact.name || name.textContent;
    detail.textContent = [...contact.phones.map(formatHandle), ...contact.emails][0] ?? "Contact";
  });
  return card;
}

/**
 * Read a vCard; null if it cannot be read, for example because it lies on another server.
 * @param {string} url
 */
async function read(url) {
  try {
    const response = await fetch(url);
    return response.ok ? readVcard(await response.text()) : null;
  } catch {
    return null;
  }
}

/** @param {Contact} contact */
function openContact({ name, phones, emails }) {
  const fact = (/** @type {string} */ label, /** @type {string} */ value) =>
    h("div", { class: "fact" }, h("dt", {}, label), h("dd", {}, value));
  openSheet(name || "Contact", [
    h(
      "dl",
      { class: "facts" },
      phones.map((phone) => fact("Phone", formatHandle(phone))),
      emails.map((email) => fact("E-mail", email)),
    ),
  ]);
}
