// Masking handles in texts: phone numbers and e-mail addresses, of people and lines that are known and of any others.

const NUMBER = /\+?\(?\d[\d\s().\u2010-\u2015-]{5,}\d/g;
const NATIONAL = /(?:\(\d{3}\)\s?|(?<!\d)\d{3}[\s.\u2010-\u2015-])\d{3}[\s.\u2010-\u2015-](\d{4})(?!\d)/g; // (415) 555-0199
const ADDRESS = /([^\s@<>()":,;])[^\s@<>()":,;]*@((?:[\w-]+\.)+\w+)/g;
const SHORTEST = 8; // digits of a number that is written with its country code
const SHORTEST_KNOWN = 7; // digits of a known number that is written without it

/** @param {string} text */
const digitsOf = (text) => text.replace(/\D/g, "");

/**
 * Return a text with `+1…0142` for each phone number, and `a…@example.com` for each e-mail address.
 * @param {string} text
 * @param {string[]} known Handles that are masked also in other spellings, such as 555-0142 and 4155550142.
 */
export function maskedText(text, known) {
  const numbers = known.filter((handle) => handle.startsWith("+")).map(digitsOf);
  const isHandle = (/** @type {string} */ found, /** @type {string} */ digits) =>
    (found.startsWith("+") && digits.length >= SHORTEST) ||
    (digits.length >= SHORTEST_KNOWN && numbers.some((number) => number.endsWith(digits)));
  const masked = text.replace(ADDRESS, "$1…@$2").replace(NUMBER, (found) => {
    const digits = digitsOf(found);
    return isHandle(found, digits) ? `${found.startsWith("+") ? `+${digits[0]}` : ""}…${digits.slice(-4)}` : found;
  });
  return masked.replace(NATIONAL, "…$1");
}
