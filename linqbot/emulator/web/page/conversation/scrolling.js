// Keeps the end of the transcript in sight.

const NEAR_END_PX = 60;

export class EndFollower {
  #scroller;
  /** True until the person scrolls up. */
  isFollowed = true;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} content Its only child.
   */
  constructor(scroller, content) {
    this.#scroller = scroller;
    scroller.addEventListener(
      "scroll",
      () => {
        const hidden = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
        this.isFollowed = hidden < NEAR_END_PX;
      },
      { passive: true },
    );
    // A picture that loads late and a growing composer move the end out of sight.
    const resized = new ResizeObserver(() => this.update());
    resized.observe(content);
    resized.observe(scroller);
  }

  /** Follow the end, until the person scrolls up. */
  follow() {
    this.isFollowed = true;
  }

  /** Stay where the person is, until they scroll to the end. */
  release() {
    this.isFollowed = false;
  }

  /** Scroll to the end if it is followed. */
  update() {
    if (this.isFollowed) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}

/**
 * Change the content, and keep the message that is at the top of the view where it is.
 * @param {HTMLElement} scroller
 * @param {HTMLElement} content
 * @param {() => void} change
 */
export function keepingPlace(scroller, content, change) {
  const top = scroller.getBoundingClientRect().top;
  const messages = [...content.querySelectorAll(":scope > article")];
  const anchor = messages.find((message) => message.getBoundingClientRect().bottom > top);
  const before = anchor?.getBoundingClientRect().top ?? 0;
  change();
  if (anchor?.isConnected) scroller.scrollTop += anchor.getBoundingClientRect().top - before;
}
