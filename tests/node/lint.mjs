// What other people's tools find in the schema and in what clients ask of it.
//
//     node lint.mjs
//
// Each line is a fault, but for those that begin with `ran`: they name what was run.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { ESLint } from "eslint";
import { buildSchema, isObjectType } from "graphql";

const here = import.meta.dirname;
const root = `${here}/../..`;

// What GraphQL-ESLint is not followed in: the rule and the line of the schema. The list is exact: one
// that is found no more is a fault.
const EXCEPTIONS = new Map([
  // Released names, which read well from outside of their types: `edit { allowed reason }`.
  ["no-typename-prefix: allowed: Boolean!", false],
  ["no-typename-prefix: code: String!", false],
  // They begin with the letters of `Scan`, and not with the word.
  ["no-typename-prefix: scannedAt: DateTime!", false],
  ["no-typename-prefix: scanner: String", false],
  // A statement has no id that outlives its document, so it cannot be asked for again.
  ["relay-edge-types: type VexStatementEdge {", false],
]);

// All of its rules, as they come: there is no exception.
const linter = `${here}/node_modules/graphql-schema-linter/lib/cli.js`;
const linted = spawnSync(process.execPath, [linter, `${root}/schema.graphql`], { encoding: "utf8" });
if (linted.status !== 0) console.log(`graphql-schema-linter: ${linted.stdout}${linted.stderr}`);
console.log("ran graphql-schema-linter");

const eslint = new ESLint({ cwd: root, overrideConfigFile: `${here}/eslint.config.mjs` });
const files = ["schema.graphql", "tests/node/operations.graphql"];
for (const { filePath, messages, source } of await eslint.lintFiles(files)) {
  const lines = (source ?? readFileSync(filePath, "utf8")).split("\n");
  for (const { line, message, ruleId } of messages) {
    const key = `${ruleId?.split("/").pop()}: ${lines[line - 1].trim()}`;
    if (EXCEPTIONS.has(key)) EXCEPTIONS.set(key, true);
    else console.log(`eslint: ${filePath}:${line}: ${message.replaceAll("\n", " ")} (${key})`);
  }
  console.log(`ran eslint: ${filePath.slice(filePath.lastIndexOf("/") + 1)}`);
}
for (const [key, found] of EXCEPTIONS) if (!found) console.log(`eslint: no longer found: ${key}`);

// Caches know a record by its id: what has one and is no record would be merged with another.
const schema = buildSchema(readFileSync(`${root}/schema.graphql`, "utf8"));
for (const type of Object.values(schema.getTypeMap())) {
  if (isObjectType(type) && !type.name.startsWith("__") && type.getFields().id) {
    if (!type.getInterfaces().some((one) => one.name === "Node")) {
      console.log(`identity: ${type.name} has an id and is no Node`);
    }
  }
}
