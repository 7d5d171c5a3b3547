// Recording a voice memo with the microphone. Without a microphone, a recorded file can be chosen instead.

import { buttonTo, byId, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { openOverlay } from "../elements/overlay.js";
import { toast } from "../elements/toast.js";

const TYPES = ["audio/mp4", "audio/webm;codecs=opus", "audio/webm"];
const TICK_MS = 200;

/**
 * Record a voice memo and add it to the draft.
 * @param {(files: File[]) => void} addFiles
 * @param {() => void} chooseFile Called when there is nothing to record with.
 */
export async function recordVoice(addFiles, chooseFile) {
  const stream = await microphone();
  if (!stream) {
    toast("There is no microphone for this page. Choose a recorded file.");
    chooseFile();
    return;
  }
  const type = TYPES.find((one) => MediaRecorder.isTypeSupported(one)) ?? "";
  const recorder = new MediaRecorder(stream, type ? { mimeType: type } : {});
  /** @type {Blob[]} */
  const chunks = [];
  let isWanted = false;
  recorder.addEventListener("dataavailable", ({ data }) => chunks.push(data));
  recorder.addEventListener("stop", () => {
    for (const track of stream.getTracks()) track.stop();
    if (!isWanted) return;
    const kind = recorder.mimeType.split(";")[0] || "audio/webm";
    const memo = new File(chunks, `Voice Memo.${kind === "audio/mp4" ? "m4a" : "webm"}`, { type: kind });
    if (memo.size > 0) addFiles([memo]);
    else toast("Nothing was recorded yet. Speak before you stop.");
  });
  showRecorder((keep) => {
    isWanted = keep;
    if (recorder.state !== "inactive") recorder.stop();
  });
  recorder.start();
}

/** @returns {Promise<MediaStream | null>} Null without a microphone, or when the person does not allow it. */
async function microphone() {
  if (!navigator.mediaDevices || typeof MediaRecorder === "undefined") return null;
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    return null;
  }
}

/**
 * Show the time and two buttons: cancel and keep.
 * @param {(keep: boolean) => void} onEnd Called once.
 */
function showRecorder(onEnd) {
  const started = performance.now();
  const time = h("span", { class: "recorder-time", role: "timer" }, "0:00");
  const timer = setInterval(() => {
    const seconds = Math.floor((performance.now() - started) / 1000);
    time.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }, TICK_MS);
  let keep = false;
  const done = () => {
    keep = true;
    close();
  };
  const stop = buttonTo(
    done,
    { class: "recorder-stop", "aria-label": "Stop recording", title: "Stop recording" },
    icon("stop"),
  );
  const cancel = buttonTo(() => close(), { class: "text-button" }, "Cancel");
  const bars = h("span", { class: "recorder-bars", "aria-hidden": "true" }, h("i"), h("i"), h("i"), h("i"), h("i"));
  const panel = h(
    "div",
    { class: "recorder", role: "dialog", "aria-modal": "true", "aria-label": "Recording a voice memo" },
    cancel,
    h("span", { class: "recorder-dot", "aria-hidden": "true" }),
    time,
    bars,
    stop,
  );
  const close = openOverlay({ class: "backdrop" }, [panel], () => {
    clearInterval(timer);
    onEnd(keep);
    byId("screen")
      .querySelector(/** @type {"textarea"} */ (".composer textarea"))
      ?.focus({ preventScroll: true });
  });
  stop.focus({ preventScroll: true });
}
