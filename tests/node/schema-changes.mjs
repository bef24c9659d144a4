// What a change of the schema breaks, held against the list of what may break.
//
//     node schema-changes.mjs RELEASED CURRENT LISTED
//
// Each line that is printed is a fault; nothing is printed where there is none. The list is exact:
// an entry that breaks nothing is a fault too, so it is empty again after every release.

import { readFileSync } from "node:fs";
import { buildSchema, findBreakingChanges } from "graphql";

const [released, current, listed] = process.argv.slice(2).map((path) => readFileSync(path, "utf8"));

// An entry is an item of a Markdown list: the change in the words of this check, and its reason.
const ENTRY = /^- `([^`]+)`(?::\s*(\S[^]*))?$/;

const reasons = new Map();
for (const item of listed.split(/\n(?=- )/).filter((part) => part.startsWith("- "))) {
  const [text] = item.split("\n\n");
  const entry = ENTRY.exec(text.trim());
  if (!entry) console.log(`not an entry: ${text.trim()}`);
  else reasons.set(entry[1], entry[2]);
}

const broken = findBreakingChanges(buildSchema(released), buildSchema(current));
for (const { description } of broken) {
  if (!reasons.has(description)) console.log(`breaks, and is not listed: ${description}`);
  else if (!reasons.get(description)) console.log(`listed without a reason: ${description}`);
  reasons.delete(description);
}
for (const description of reasons.keys()) console.log(`listed, and breaks nothing: ${description}`);
