// Contact cards as files: reading and writing vCards.

/** @import { Part } from "../../client/types.d.ts" */

/** @typedef {{ name: string, phones: string[], emails: string[] }} Contact */

/** @param {Part} part */
export const isVcard = ({ mime_type: type, filename }) =>
  /^text\/(x-)?vcard/.test(type ?? "") || /\.vcf$/i.test(filename ?? "");

/**
 * Read the first contact of a vCard. Unknown fields are left out.
 * @param {string} text
 * @returns {Contact}
 */
export function readVcard(text) {
  /** @type {Contact} */
  const contact = { name: "", phones: [], emails: [] };
  // A line that begins with a space continues the line before.
  for (const line of text.replace(/\r?\n[ \t]/g, "").split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon < 0) continue;
    const field = line.slice(0, colon).split(";")[0].split(".").pop()?.toUpperCase();
    const value = unescaped(line.slice(colon + 1)).trim();
    if (field === "END") break;
    if (field === "FN") contact.name = value;
    else if (field === "TEL" && value) contact.phones.push(value.replace(/^tel:/, ""));
    else if (field === "EMAIL" && value) contact.emails.push(value);
  }
  return contact;
}

/**
 * Write a vCard.
 * @param {{ firstName: string, lastName: string, handle: string }} contact
 */
export function writeVcard({ firstName, lastName, handle }) {
  const lines = [
    "BEGIN:VCARD",
    "VERSION:3.0",
    `N:${escaped(lastName)};${escaped(firstName)};;;`,
    `FN:${escaped([firstName, lastName].filter(Boolean).join(" "))}`,
    `${handle.includes("@") ? "EMAIL" : "TEL;TYPE=CELL"}:${handle}`,
    "END:VCARD",
  ];
  return lines.map((line) => `${line}\r\n`).join("");
}

/** @param {string} text */
const escaped = (text) => text.replace(/[\\,;]/g, "\\$&").replace(/\n/g, "\\n");

/** @param {string} text */
const unescaped = (text) => text.replace(/\\([\\,;nN])/g, (_, char) => (char.toLowerCase() === "n" ? "\n" : char));
