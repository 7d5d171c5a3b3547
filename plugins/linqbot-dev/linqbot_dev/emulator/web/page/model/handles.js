// Handles: phone numbers in E.164 form and e-mail addresses.

/**
 * Return a phone number with spaces, `+14155550142` as `+1 415 555 0142`; an e-mail address stays as it is.
 * @param {string} handle
 */
export function formatHandle(handle) {
  const american = /^\+1(\d{3})(\d{3})(\d{4})$/.exec(handle);
  if (american) return `+1 ${american[1]} ${american[2]} ${american[3]}`;
  const digits = /^\+(\d{2})(\d{4,13})$/.exec(handle);
  return digits ? `+${digits[1]} ${digits[2].replace(/(\d{3})(?=\d{3,4}(?!\d{5}))/g, "$1 ").trim()}` : handle;
}

const EMAIL = /^[^\s@]+@[^\s@.]+(\.[^\s@.]+)+$/;

export const HANDLE_WANTED = "A phone number with + and the country code, or an e-mail address, please.";

/**
 * Return the handle that a person typed: a phone number in E.164 form, or an e-mail address in lower case. Return null
 * for anything else.
 * @param {string} typed
 */
export function normaliseHandle(typed) {
  const text = typed.trim();
  if (EMAIL.test(text)) return text.length <= 254 ? text.toLowerCase() : null;
  const compact = text.replace(/[\s().-]/g, "");
  return /^\+[1-9]\d{6,14}$/.test(compact) ? compact : null;
}
