// Times as a phone shows them. "Now" is the emulator's clock, which may have been moved.

let offsetMs = 0;

export const setNow = (iso) => {
  if (iso) offsetMs = Date.parse(iso) - Date.now();
};
export const now = () => new Date(Date.now() + offsetMs);

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

const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate());
// Rounded, because a day with a clock change has 23 or 25 hours.
const daysAgo = (date) => Math.round((midnight(now()) - midnight(date)) / 86_400_000);

export const clockTime = (iso) => clock.format(new Date(iso));
export const preciseTime = (iso) => precise.format(new Date(iso));

/** `Today`, `Yesterday`, `Monday`, or a date. */
export function dayName(iso) {
  const date = new Date(iso);
  const days = daysAgo(date);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return days > 1 && days < 7 ? weekday.format(date) : day.format(date);
}

/** What stands at the right of a row in the list of chats. */
export function listTime(iso) {
  const date = new Date(iso);
  const days = daysAgo(date);
  if (days === 0) return clock.format(date);
  if (days === 1) return "Yesterday";
  return days > 1 && days < 7 ? weekday.format(date) : short.format(date);
}

/** A status bar shows no AM or PM. */
export const statusBarTime = () => clock.format(now()).replace(/\s?[AP]M$/i, "");
