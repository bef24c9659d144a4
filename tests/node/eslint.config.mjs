// The rules of GraphQL-ESLint for the schema (recommended and Relay's) and for what clients ask of it
// (recommended; what Relay's compiler reads has names of its own, and the compiler checks it).
// Whatever departs from the rules as they come says why.

import { readFileSync } from "node:fs";
import graphql from "@graphql-eslint/eslint-plugin";
import { buildSchema, isObjectType } from "graphql";

const here = import.meta.dirname;
const file = `${here}/../../schema.graphql`;
const schema = buildSchema(readFileSync(file, "utf8"));
const node = schema.getType("Node");

// What is no record of its own has no id: a connection, a payload, a value inside of a record. A
// record is what implements Node; that nothing else has a field `id` is checked in `lint.mjs`.
const values = Object.values(schema.getTypeMap())
  .filter((type) => isObjectType(type) && !type.getInterfaces().includes(node))
  .map((type) => type.name);

// The parser keeps the first options that it is given.
const parserOptions = {
  graphQLConfig: {
    schema: file,
    documents: `${here}/operations.graphql`,
  },
};
const base = {
  languageOptions: { parser: graphql.parser, parserOptions },
  plugins: { "@graphql-eslint": graphql },
};

export default [
  {
    ...base,
    files: ["schema.graphql"],
    rules: {
      ...graphql.configs["flat/schema-recommended"].rules,
      ...graphql.configs["flat/schema-relay"].rules,
      "@graphql-eslint/strict-id-in-types": ["error", { exceptions: { types: values } }],
      // Optional in the rule itself: short lists that come whole (tags, entries, `nodes`) are no pages.
      "@graphql-eslint/relay-edge-types": ["error", { listTypeCanWrapOnlyEdgeType: false }],
    },
  },
  {
    ...base,
    files: ["tests/node/operations.graphql"],
    rules: graphql.configs["flat/operations-recommended"].rules,
  },
];
