// The sheet with the person's contact card: shared with the line, or attached as a file.

import { buttonTo, h } from "../elements/dom.js";
import { openSheet } from "../elements/sheet.js";
import { succeeds, toast } from "../elements/toast.js";
import { shareCard } from "../client/control.js";
import { lineOf } from "../model/chats.js";
import { givenName } from "../model/people.js";
import { writeVcard } from "../model/content/vcard.js";

/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

/**
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {(files: File[]) => void} addFiles
 */
export function openCardSheet(store, chat, addFiles) {
  const [first, ...rest] = (givenName(store.me) ?? "").split(" ");
  const firstName = h("input", { type: "text", maxlength: "100", required: true, value: first });
  const lastName = h("input", { type: "text", maxlength: "100", value: rest.join(" ") });

  /** @param {(name: { first: string, last: string }) => Promise<boolean> | boolean} run */
  const named = (run) => async () => {
    const name = { first: firstName.value.trim(), last: lastName.value.trim() };
    if (!name.first) toast("A contact card needs a first name.");
    else if (await run(name)) close();
  };
  const share = named(({ first: given, last }) =>
    succeeds(shareCard({ from: store.me, to: lineOf(chat) ?? "", first_name: given, last_name: last })),
  );
  const attach = named(({ first: given, last }) => {
    const text = writeVcard({ firstName: given, lastName: last, handle: store.me });
    addFiles([new File([text], `${[given, last].filter(Boolean).join(" ")}.vcf`, { type: "text/vcard" })]);
    return true;
  });
  const close = openSheet("Contact Card", [
    h(
      "div",
      { class: "sheet-fields" },
      h("label", { class: "sheet-field" }, "First name", firstName),
      h("label", { class: "sheet-field" }, "Last name", lastName),
    ),
    buttonTo(share, { class: "sheet-action" }, "Share Name with the Bot"),
    buttonTo(attach, { class: "sheet-action" }, "Attach as a File"),
  ]);
}
