// The note over the page that says why the bot does not run: its file could not be loaded, or its process has ended.

import { h } from "../elements/dom.js";
import { keepingFocus } from "../elements/focus.js";
import { placeOf } from "./outcome.js";

/** @import { Store } from "../model/store.js" */

/** @type {Record<string, string>} */
const TITLES = { failed: "The bot did not start.", stopped: "The bot has stopped." };

/**
 * Show the banner in `root`.
 * @param {HTMLElement} root
 * @param {Store} store
 */
export function mountBanner(root, store) {
  function render() {
    const report = store.bot;
    const title = TITLES[report?.status ?? ""];
    root.hidden = !title;
    if (!report || !title) {
      root.replaceChildren();
      return;
    }
    const place = placeOf(report.file, report.line);
    const traceback = report.traceback?.trim();
    const content = [
      h("p", {}, h("strong", {}, title), " ", place && h("code", {}, place), " ", report.message ?? ""),
      h("p", { class: "banner-hint" }, "Correct the file and save it. Messages wait and are delivered again."),
      ...(traceback ? [h("details", {}, h("summary", {}, "Traceback"), h("pre", { tabindex: "0" }, traceback))] : []),
    ];
    keepingFocus(root, () => root.replaceChildren(...content));
  }

  render();
  store.onChange((topics) => topics.has("bot") && render());
}
