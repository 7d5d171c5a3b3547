// Addresses that the page may load or link to.

const WEB = ["http:", "https:"];
const OWN_FILE = /^\/attachments\/[0-9a-f-]{36}\//;

/**
 * Return an address of the web, parsed; null for any other, such as `javascript:` and `data:`, and for a relative one.
 * @param {string | null | undefined} address
 */
export function webUrl(address) {
  const parsed = URL.parse(address ?? "");
  return parsed && WEB.includes(parsed.protocol) ? parsed : null;
}

/**
 * Return true if an element may have this address. This is the last check of every address in the page.
 * @param {string} address `blob:` is a file that the person has just chosen.
 */
export const mayLoad = (address) => [...WEB, "blob:"].includes(URL.parse(address, location.href)?.protocol ?? "");

/**
 * Return an address as this page can load it. The emulator has several names, and its files must be loaded under the
 * name that this page was opened with.
 * @param {string | null | undefined} url
 */
export function localUrl(url) {
  const parsed = webUrl(url);
  if (!parsed) return null;
  const isOwn = ["127.0.0.1", "localhost", "[::1]"].includes(parsed.hostname) || OWN_FILE.test(parsed.pathname);
  return isOwn && parsed.port === location.port ? parsed.pathname + parsed.search : parsed.href;
}
