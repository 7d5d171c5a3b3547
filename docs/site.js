// A table that is wider than the page stands in a box to scroll: keys must reach it.
const reachable = () => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
new MutationObserver(reachable).observe(document.body, { childList: true, subtree: true });
addEventListener("resize", reachable);

// The theme's search wants all words of a question on one page, "how" and "the" included. Here the words that say nothing are
// left out, and where no page has all the others, pages that have some of them are found.
const SILENT = new Set(
  ("a about also an and any are as at be been but by can could do does for from get had has have how i if in into is it its " +
    "just me my no of on or our please should so some than that the their them then there they this to up us use was we were " +
    "what when where which who why will with would you your")
    .split(" "),
);
const QUERY = 2; // the types of the messages between the theme and its worker
const RESULT = 3;
// Split as the theme splits the pages.
const words = (input) =>
  input.split(/[\s\-_,:;?!=[\]()\\"`/]+|\.(?!\d)/).filter((word) => word && !SILENT.has(word.toLowerCase()));
const tree = (terms, operator) => ({
  type: "operator",
  data: {
    operator,
    operands: terms.map((term) => ({ type: "value", data: { field: "*", value: { type: "prefix", data: term } } })),
  },
});

class Searching extends Worker {
  constructor(...given) {
    super(...given);
    this.waiting = 0; // queries without a result; results come in the order of their queries
    this.addEventListener("message", (event) => {
      const { type, data } = event.data;
      if (type !== RESULT) return;
      this.waiting -= 1;
      if (this.waiting > 0 || data.items.length > 0 || this.terms === undefined) return;
      event.stopImmediatePropagation();
      const input = tree(this.terms, "or");
      this.terms = undefined;
      this.waiting += 1;
      super.postMessage({ type: QUERY, data: { ...this.query, input } });
    });
  }

  postMessage(message) {
    this.terms = undefined;
    if (message.type === QUERY) this.waiting += 1;
    const input = message.data?.input;
    if (message.type !== QUERY || typeof input !== "string" || !input.trim()) return super.postMessage(message);
    const said = words(input);
    const terms = said.length > 0 ? said : [input.trim()];
    if (terms.length > 1) [this.terms, this.query] = [terms, message.data];
    return super.postMessage({ ...message, data: { ...message.data, input: tree(terms, "and") } });
  }
}
globalThis.Worker = Searching;
