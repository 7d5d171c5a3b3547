// Keeps the end of the transcript in sight.

const NEAR_END_PX = 60;

export class EndFollower {
  #scroller;
  /** True until the person scrolls up. */
  isFollowed = true;
  /** The place at the latest scroll. The event of a scroll to the end comes later, when a picture may have grown. */
  #top = 0;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} content Its only child.
   */
  constructor(scroller, content) {
    this.#scroller = scroller;
    scroller.addEventListener(
      "scroll",
      () => {
        const { scrollTop, scrollHeight, clientHeight } = scroller;
        if (scrollHeight - scrollTop - clientHeight < NEAR_END_PX) this.isFollowed = true;
        else if (scrollTop < this.#top) this.isFollowed = false;
        this.#top = scrollTop;
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
    if (!this.isFollowed) return;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#top = this.#scroller.scrollTop;
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
