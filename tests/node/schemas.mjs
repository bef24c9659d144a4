// Documents against the published JSON Schemas of their formats: schemas.mjs FOLDER SCHEMA DOCUMENT…
//
// All schemas of the folder are known under the names by which they refer to each other.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { Ajv } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";

const [folder, name, ...documents] = process.argv.slice(2);
const read = (path) => JSON.parse(readFileSync(path, "utf8"));
const places = ["http://cyclonedx.org/schema/", "https://www.first.org/cvss/"];

const schema = read(join(folder, name));
const Kind = schema.$schema.includes("2020-12") ? Ajv2020 : Ajv;
// What a format of ours does not know (idn-email, iri-reference) is not asked.
const ajv = new Kind({ strict: false, allErrors: true, logger: false, validateSchema: false });
(formats.default ?? formats)(ajv);
for (const file of readdirSync(folder).filter((file) => file.endsWith(".json") && file !== name)) {
  const { id, $id, $schema, ...rest } = read(join(folder, file));
  for (const place of places) ajv.addSchema({ ...rest, $id: place + file }, place + file);
}
const validate = ajv.compile(schema);
let faults = 0;
for (const document of documents) {
  if (!validate(read(document))) {
    faults += validate.errors.length;
    for (const { instancePath, message } of validate.errors.slice(0, 20)) console.error(`${document} ${instancePath}: ${message}`);
  }
}
console.log(`${documents.length} documents, ${faults} faults`);
process.exit(faults === 0 ? 0 : 1);
