// A second phone beside the first, on a page that is wide enough: the same page in a frame, as another person.

import { h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { personName, rememberedPeople } from "../model/people.js";

/** @import { Store } from "../model/store.js" */

const SOMEBODY_ELSE = "+14155550187";

/**
 * Make the button that shows and hides the second phone.
 * @param {HTMLElement} stage The phones' place; the second phone is put after the first.
 * @param {Store} store
 */
export function secondPhoneButton(stage, store) {
  const button = h(
    "button",
    { type: "button", class: "pill second-phone", "aria-pressed": "false" },
    icon("phones"),
    "Second phone",
  );
  /** @type {HTMLElement | null} */
  let phone = null;
  button.addEventListener("click", () => {
    if (phone) {
      phone.remove();
      phone = null;
    } else {
      phone = frameOf(otherPerson(store));
      stage.querySelector(".phone")?.after(phone);
    }
    button.setAttribute("aria-pressed", String(phone !== null));
  });
  return button;
}

/** @param {Store} store */
const otherPerson = (store) => store.people(rememberedPeople()).find((handle) => handle !== store.me) ?? SOMEBODY_ELSE;

/** @param {string} handle */
const frameOf = (handle) =>
  h("iframe", {
    class: "second",
    title: `The phone of ${personName(handle)}`,
    src: `?phone=2&as=${encodeURIComponent(handle)}`,
    allow: "microphone; clipboard-write; geolocation",
  });
