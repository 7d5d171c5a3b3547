// Times as a phone shows them. "Now" is the emulator's clock, which a test may have moved.

let offsetMs = 0;
/** @type {number | null} The time of a clock that is stopped. */
let stoppedMs = null;

/**
 * Set the clock.
 * @param {string} iso The emulator's time.
 * @param {boolean} [isStopped]
 */
export function setNow(iso, isStopped = false) {
  offsetMs = Date.parse(iso) - Date.now();
  stoppedMs = isStopped ? Date.parse(iso) : null;
}

export const now = () => new Date(stoppedMs ?? Date.now() + offsetMs);

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "short", month: "short", day: "numeric" });
const short = new Intl.DateTimeFormat(undefined, { year: "2-digit", month: "numeric", day: "numeric" });
const precise = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  hourCycle: "h23",
});

/** @param {Date} date */
const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
/**
 * Rounded, because a day with a clock change has 23 or 25 hours.
 * @param {Date} date
 */
const daysAgo = (date) => Math.round((midnight(now()) - midnight(date)) / 86_400_000);

/** @param {string} iso */
export const clockTime = (iso) => clock.format(new Date(iso));

/**
 * Return the time with milliseconds, for the inspector.
 * @param {string} iso
 */
export const preciseTime = (iso) => precise.format(new Date(iso));

/**
 * Return `Today`, `Yesterday`, a weekday of the last six days, or a date.
 * @param {string} iso
 */
export function dayName(iso) {
  const date = new Date(iso);
  return recentDay(date, "Today") ?? day.format(date);
}

/**
 * Return the short time of a row in the list of chats: the clock's today, then a day, then a date.
 * @param {string} iso
 */
export function listTime(iso) {
  const date = new Date(iso);
  return recentDay(date, clock.format(date)) ?? short.format(date);
}

/**
 * @param {Date} date
 * @param {string} today What to return for a date of today.
 */
function recentDay(date, today) {
  const days = daysAgo(date);
  if (days === 0) return today;
  if (days === 1) return "Yesterday";
  return days > 1 && days < 7 ? weekday.format(date) : null;
}

/** Return the time for the status bar, which shows no AM or PM. */
export const statusBarTime = () => clock.format(now()).replace(/\s?[AP]M$/i, "");

const full = new Intl.DateTimeFormat(undefined, {
  weekday: "short",
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "numeric",
  minute: "2-digit",
  second: "2-digit",
});

/**
 * Return a date with its time, to the second.
 * @param {Date} date
 */
export const fullTime = (date) => full.format(date);

const soon = new Intl.DateTimeFormat(undefined, {
  weekday: "short",
  month: "short",
  day: "numeric",
  hour: "numeric",
  minute: "2-digit",
});

/**
 * Return a day with a time, for what is yet to come.
 * @param {string} iso
 */
export const dayAndTime = (iso) => soon.format(new Date(iso));

/**
 * Return a date as an input of the type `datetime-local` holds it: in the browser's time zone, without a zone.
 * @param {Date} date
 */
export function toInputValue(date) {
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19);
}
