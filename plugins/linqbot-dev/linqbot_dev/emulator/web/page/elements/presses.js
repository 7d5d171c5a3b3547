// A press is a click only if its button is still there at the release. So nothing is shown anew between the two.

const LONGEST_MS = 400; // a press that lasts longer is no click: it selects text, or opens a menu
const TOUCH_MS = 50; // a touch becomes a click a moment after its release

/** The presses on a page. */
export class Presses {
  /** @type {(() => void)[]} */
  #waiting = [];
  #isDown = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {EventTarget} page Receives the events of the pointer. */
  constructor(page) {
    page.addEventListener("pointerdown", () => this.#endIn(LONGEST_MS, true), true);
    page.addEventListener("pointerup", () => this.#endIn(TOUCH_MS), true);
    page.addEventListener("pointercancel", () => this.#endIn(0), true);
    // The button gets the click after this listener.
    page.addEventListener("click", () => this.#endIn(0), true);
  }

  /**
   * Run a function soon, but not during a press.
   * @param {() => void} run
   */
  runOutside(run) {
    if (this.#isDown) this.#waiting.push(run);
    else queueMicrotask(run);
  }

  /**
   * @param {number} delay In milliseconds.
   * @param {boolean} [isDown]
   */
  #endIn(delay, isDown = this.#isDown) {
    this.#isDown = isDown;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#isDown = false;
      for (const run of this.#waiting.splice(0)) run();
    }, delay);
  }
}
