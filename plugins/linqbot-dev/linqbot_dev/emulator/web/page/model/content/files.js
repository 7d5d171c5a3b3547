// Files: their sizes in words, and a file of this computer as a part of a message.

/** @import { InboundFile } from "../../client/types.d.ts" */

const UNITS = ["bytes", "KB", "MB", "GB"];

/** @param {number | undefined} bytes */
export function fileSize(bytes) {
  let size = bytes ?? 0;
  let unit = 0;
  while (size >= 1000 && unit < UNITS.length - 1) [size, unit] = [size / 1000, unit + 1];
  return `${unit && size < 10 ? size.toFixed(1) : Math.round(size)} ${UNITS[unit]}`;
}

/**
 * Read a file into a part.
 * @param {File} file
 * @returns {Promise<InboundFile>}
 */
export function filePart(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("error", () =>
      reject(new Error(`${file.name} cannot be read. It may be a folder, or it was moved or changed.`)),
    );
    reader.addEventListener("load", () => {
      const dataUrl = String(reader.result);
      resolve({
        type: "media",
        filename: file.name || "file",
        // Without a type, the emulator goes by the name.
        ...(file.type && { mime_type: file.type }),
        data_base64: dataUrl.slice(dataUrl.indexOf(",") + 1),
      });
    });
    reader.readAsDataURL(file);
  });
}
