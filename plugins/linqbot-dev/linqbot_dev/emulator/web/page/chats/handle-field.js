// A field for the handle of a person.

import { h } from "../elements/dom.js";

const HANDLE = "Phone number or e-mail address";

/** @param {string} [label] For screen readers. */
export const handleField = (label = HANDLE) =>
  h("input", { type: "text", inputmode: "email", autocomplete: "off", placeholder: HANDLE, "aria-label": label });
