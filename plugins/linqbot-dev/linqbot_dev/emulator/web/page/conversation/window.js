// The part of a long chat that the transcript holds. A chat of ten thousand messages has no more elements than one of
// two hundred: the window follows the person, and messages far from it have no elements.

const FIRST = 60;
const STEP = 30; // added at once: few enough for a frame
const MOST = 240;

export class TranscriptWindow {
  /** The number of messages in the chat. */
  #count = 0;
  start = 0;
  end = 0;

  /** True if the window reaches the last message. It then follows new ones. */
  get atEnd() {
    return this.end >= this.#count;
  }

  get hasEarlier() {
    return this.start > 0;
  }

  /**
   * Show the end of a chat.
   * @param {number} count The number of its messages.
   */
  showEnd(count) {
    this.#count = count;
    this.end = count;
    this.start = Math.max(0, count - FIRST);
  }

  /**
   * Show a whole chat, however long it is.
   * @param {number} count The number of its messages.
   */
  showAll(count) {
    this.#count = count;
    this.start = 0;
    this.end = count;
  }

  /**
   * Take the new number of messages into account. At the end the window follows, and it drops the earliest ones.
   * @param {number} count
   */
  resize(count) {
    const wasAtEnd = this.atEnd;
    this.#count = count;
    this.end = wasAtEnd ? count : Math.min(this.end, count);
    this.start = Math.max(0, Math.min(this.start, count - FIRST), this.end - MOST);
  }

  /** Show some more of what came before. What is too far behind the window is dropped. */
  earlier() {
    this.start = Math.max(0, this.start - STEP);
    this.end = Math.min(this.end, this.start + MOST);
  }

  /** Show some more of what came after. */
  later() {
    this.end = Math.min(this.#count, this.end + STEP);
    this.start = Math.max(this.start, this.end - MOST);
  }

  /**
   * Show the messages around one, if it is outside of the window.
   * @param {number} index
   */
  around(index) {
    if (index >= this.start && index < this.end) return;
    this.start = Math.max(0, index - FIRST / 2);
    this.end = Math.min(this.#count, this.start + FIRST);
  }
}
