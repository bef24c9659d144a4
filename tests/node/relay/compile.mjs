// Runs relay-compiler on `documents.js`; what it writes, `clients/relay.mjs` runs.

import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";

const here = import.meta.dirname;

/** How many artifacts it wrote. */
export function compile() {
  const artifacts = `${here}/__generated__`;
  rmSync(artifacts, { recursive: true, force: true });
  mkdirSync(artifacts);
  const compiler = `${here}/../node_modules/relay-compiler/cli.js`;
  const options = { cwd: here, encoding: "utf8" };
  const ran = spawnSync(process.execPath, [compiler, "relay.config.json"], options);
  if (ran.status !== 0) throw new Error(`relay-compiler:\n${ran.stdout}${ran.stderr}`);
  return readdirSync(artifacts).length;
}
