// Adding files to a draft: from the file chooser, from the clipboard, or dropped on the conversation.

/** @import { ComposerView } from "./view.js" */

/**
 * Call `add` with files that the person chooses, pastes or drops.
 * @param {ComposerView} view
 * @param {HTMLElement} pane Where files may be dropped.
 * @param {(files: File[]) => void} add
 */
export function listenForFiles({ chooser, field }, pane, add) {
  chooser.addEventListener("change", () => {
    add([...(chooser.files ?? [])]);
    chooser.value = ""; // so that the same file can be chosen again
  });
  field.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    add(files);
  });
  listenForDrops(pane, add);
}

/**
 * @param {HTMLElement} pane
 * @param {(files: File[]) => void} add
 */
function listenForDrops(pane, add) {
  pane.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    pane.classList.add("dropping");
  });
  pane.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!(relatedTarget instanceof Node && pane.contains(relatedTarget))) pane.classList.remove("dropping");
  });
  pane.addEventListener("drop", (event) => {
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length === 0) return; // a text, which the browser puts into the field
    event.preventDefault();
    pane.classList.remove("dropping");
    add(files);
  });
}
