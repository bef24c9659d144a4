// The operations of `operations.graphql`, each with the fragments that it uses.

import { readFileSync } from "node:fs";
import { parse, separateOperations } from "graphql";

const all = separateOperations(parse(readFileSync(`${import.meta.dirname}/../operations.graphql`, "utf8")));

export const document = (name) => all[name];
