import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatHandle,
  normaliseHandle,
} from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/handles.js";

test("phone numbers are written with spaces, e-mail addresses as they are", () => {
  assert.equal(formatHandle("+14155550142"), "+1 415 555 0142");
  assert.equal(formatHandle("+447700900123"), "+44 770 090 0123");
  assert.equal(formatHandle("ada@example.com"), "ada@example.com");
  assert.equal(formatHandle("12345"), "12345");
});

test("no digit is lost or added by the spaces", () => {
  for (let length = 6; length <= 15; length += 1) {
    const handle = `+${"4912345678901234".slice(0, length)}`;
    assert.equal(formatHandle(handle).replaceAll(" ", ""), handle);
  }
});

test("a typed number becomes E.164, whatever stands between its digits", () => {
  assert.equal(normaliseHandle("+1 (415) 555-0142"), "+14155550142");
  assert.equal(normaliseHandle(" +44.7700.900123 "), "+447700900123");
});

test("a typed e-mail address is a handle in lower case", () => {
  assert.equal(normaliseHandle(" Cat@Example.com "), "cat@example.com");
});

test("a number without a country code is no handle, nor is half an address", () => {
  const numbers = ["", "415 555 0142", "+0123456789", "+12345", "+1234567890123456"];
  const addresses = ["ada@", "@example.com", "ada@example", "ada@exa mple.com", "ada@@example.com", "ada@example..com"];
  for (const typed of [...numbers, ...addresses, `${"a".repeat(250)}@example.com`]) {
    assert.equal(normaliseHandle(typed), null, typed);
  }
});
