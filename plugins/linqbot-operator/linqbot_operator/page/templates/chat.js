// Keeps the conversation in the view of a chat as it is now, and lets Enter send. Without this script everything works: an operator
// loads the page again, and presses the button.

const EVERY_MS = 3000;
const live = /** @type {HTMLElement | null} */ (document.querySelector("[data-live]"));
const state = document.querySelector("#live-state");
let version = "";

/**
 * Make the children of an element those of another one. A child that has not changed stays, with its focus and what is
 * written in it; each has an id.
 * @param {Element} shown
 * @param {Element} fresh
 */
function update(shown, fresh) {
  const known = new Map([...shown.children].map((child) => [child.id, child]));
  const wanted = [...fresh.children].map((child) => {
    const old = known.get(child.id);
    return old && isSame(old, child) ? old : child;
  });
  for (const child of [...shown.children]) {
    if (!wanted.includes(child)) child.remove();
  }
  wanted.forEach((child, n) => {
    if (shown.children[n] !== child) shown.insertBefore(child, shown.children[n] ?? null);
  });
}

/**
 * @param {Element} old
 * @param {Element} child
 */
function isSame(old, child) {
  const closed = /** @type {Element} */ (old.cloneNode(true));
  closed.removeAttribute("open"); // of details, which a person has opened
  return closed.isEqualNode(child);
}

/** @param {string} words */
function say(words) {
  if (state && state.textContent !== words) state.textContent = words;
}

/** @param {HTMLElement} shown */
async function refresh(shown) {
  const answer = await fetch(shown.dataset.live ?? "", { headers: version ? { "if-none-match": version } : {} });
  if (answer.status === 401) {
    say("Log in again to see what is new.");
    return false;
  }
  if (answer.status === 304) say("Live");
  if (answer.status === 304 || !answer.ok) return true;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  version = answer.headers.get("etag") ?? "";
  for (const id of ["now", "said"]) {
    const [old, changed] = [shown.querySelector(`#${id}`), fresh.querySelector(`#${id}`)];
    if (old && changed) {
      old.className = changed.className;
      update(old, changed);
    }
  }
  say("Live");
  return true;
}

/** @param {HTMLElement} shown */
async function follow(shown) {
  let goesOn = true;
  try {
    if (!document.hidden) goesOn = await refresh(shown);
  } catch {
    say("Not live: linqbot does not answer.");
  }
  if (goesOn) setTimeout(() => follow(shown), EVERY_MS);
}

function letEnterSend() {
  const box = /** @type {HTMLTextAreaElement | null} */ (document.querySelector(".composer textarea"));
  // On a phone, Enter begins a line.
  if (!box || !matchMedia("(pointer: fine)").matches) return;
  document.querySelector(".keys")?.removeAttribute("hidden");
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    box.form?.requestSubmit();
  });
}

letEnterSend();
if (live) {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh(live).catch(() => say("Not live: linqbot does not answer."));
  });
  follow(live);
}
