// The note over the page that says why the bot's file could not be loaded, until it is.

import { h } from "../elements/dom.js";
import { placeOf } from "./outcome.js";

/** @import { Store } from "../model/store.js" */

/**
 * Show the banner in `root`.
 * @param {HTMLElement} root
 * @param {Store} store
 */
export function mountBanner(root, store) {
  function render() {
    const report = store.bot;
    const isFailed = report?.status === "failed";
    root.hidden = !isFailed;
    if (!isFailed) {
      root.replaceChildren();
      return;
    }
    const place = placeOf(report.file, report.line);
    const traceback = report.traceback?.trim();
    root.replaceChildren(
      h(
        "p",
        {},
        h("strong", {}, "The bot did not start."),
        " ",
        place && h("code", {}, place),
        " ",
        report.message ?? "",
      ),
      h("p", { class: "banner-hint" }, "Correct the file and save it. Messages wait and are delivered again."),
      ...(traceback ? [h("details", {}, h("summary", {}, "Traceback"), h("pre", { tabindex: "0" }, traceback))] : []),
    );
  }

  render();
  store.onChange((topics) => topics.has("bot") && render());
}
