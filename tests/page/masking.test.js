import assert from "node:assert/strict";
import { test } from "node:test";
import { maskedText } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/saving/masking.js";
import { LINE, ME } from "./world.js";

/** @type {Record<string, string>} */
const MASKED = {
  [ME]: "+1…0142",
  "I am +1 415 555 0142.": "I am +1…0142.",
  "+1\u00a0415\u00a0555\u00a00142": "+1…0142",
  "(415) 555-0142, or 555-0142": "…0142, or …0142",
  "Call +44 20 7946 0958": "Call +4…0958",
  "+1 415\u2011555\u20110199": "+1…0199",
  "Bob is at (415) 555-0199 or 415.555.0177": "Bob is at …0199 or …0177",
  "T415-555-0199x": "T…0199x",
  "1-415-555-0199, or (415) 555-0199 12:30": "1-…0199, or …0199 12:30",
  "Ann.Lee@example.com, bob@mail.example.org": "A…@example.com, b…@mail.example.org",
};
const KEPT = ["Table 12 at 19:30", "2026-11-25", "Order 12345678", "4 dollars, 50 cents", "@bot hello", "a @ b"];

test("numbers and addresses are masked in each spelling, and nothing else is", () => {
  for (const [text, masked] of Object.entries(MASKED)) assert.equal(maskedText(text, [LINE, ME]), masked);
  for (const text of KEPT) assert.equal(maskedText(text, [LINE, ME]), text);
});
