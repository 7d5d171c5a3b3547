// The rules of the page that no linter knows.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const PAGE = join(dirname(fileURLToPath(import.meta.url)), "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page");

/**
 * @param {string} folder
 * @returns {string[]}
 */
const filesBelow = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesBelow(join(folder, entry.name)) : [join(folder, entry.name)],
  );

const files = filesBelow(PAGE);
/** @param {string} file */
const read = (file) => readFileSync(file, "utf8");
/** @param {string} ending */
const named = (ending) => files.filter((file) => file.endsWith(ending));
/** @param {string} file */
const short = (file) => relative(PAGE, file);

test("no script writes markup or runs text", () => {
  const forbidden =
    /innerHTML|outerHTML\s*=|insertAdjacentHTML|document\.write|setHTML|\beval\(|new Function|javascript:/;
  for (const file of named(".js")) {
    const code = read(file).replace(/^\s*(\/\/|\*|\/\*).*$/gm, "");
    assert.doesNotMatch(code, forbidden, short(file));
  }
});

test("index.html has no inline script and no inline style, which its content policy forbids", () => {
  assert.doesNotMatch(read(join(PAGE, "index.html")), /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/);
});

test("index.html links every style sheet", () => {
  const linked = [...read(join(PAGE, "index.html")).matchAll(/rel="stylesheet" href="\.\/([^"]+)"/g)];
  assert.deepEqual(linked.map((match) => match[1]).sort(), named(".css").map(short).sort());
});

test("colours.css names every colour", () => {
  for (const file of named(".css")) {
    if (file.endsWith("colours.css")) continue;
    assert.doesNotMatch(read(file), /#[0-9a-f]{3,8}\b|\b(rgb|hsl|oklch|lab)a?\(/i, short(file));
  }
});

test("every custom property that is used is set somewhere", () => {
  const all = [...named(".css"), ...named(".js")].map(read).join("\n");
  const used = new Set([...all.matchAll(/var\((--[\w-]+)/g)].map((match) => match[1]));
  const unset = [...used].filter((name) => !new RegExp(`${name}"?[:,]`).test(all));
  assert.deepEqual(unset, []);
});

test("every colour in colours.css is used", () => {
  const all = named(".css").map(read).join("\n");
  const set = new Set(
    [...read(join(PAGE, "style/colours.css")).matchAll(/^\s+(--[\w-]+):/gm)].map((match) => match[1]),
  );
  assert.deepEqual(
    [...set].filter((name) => !all.includes(`var(${name})`)),
    [],
  );
});

test("no folder has the name of a path that the emulator answers itself", () => {
  const taken = ["v3", "api", "emulator", "uploads", "vcards", "attachments", "page"];
  const folders = new Set(files.map((file) => short(file).split(/[/\\]/)[0]));
  assert.deepEqual(
    taken.filter((name) => folders.has(name)),
    [],
  );
});
