// The server under test, and what every client does with it.

import assert from "node:assert/strict";

export const [url, token] = process.argv.slice(2);
export const headers = { authorization: `Bearer ${token}` };
export const socketUrl = url.replace(/^http/, "ws");

/** How many rows a page has; the Rust side makes more than two pages of assets. */
export const PAGE = 10;

/** What somebody else asks, past every cache. */
export async function ask(query, variables = {}) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await answer.json();
  assert.equal(errors, undefined);
  return data;
}

/** The names of all assets, as the list sorts them. */
export async function names() {
  const { assets } = await ask("{ assets(first: 500, orderBy: { field: NAME }) { nodes { name } } }");
  return assets.nodes.map((asset) => asset.name);
}

const TAG = `mutation ($id: ID!, $version: Int!, $tags: [String!]) {
  assetUpdate(id: $id, expectedVersion: $version, input: { tags: $tags }) {
    asset { version } userErrors { code } } }`;

/** Somebody else changes an asset; answers with its new version. */
export async function tag({ id, version }, tags) {
  const { assetUpdate } = await ask(TAG, { id, version, tags });
  assert.deepEqual(assetUpdate.userErrors, []);
  return assetUpdate.asset.version;
}

/** Waits for `is` to hold, however often `look` has to be asked. */
export async function until(look, is) {
  const end = Date.now() + 30_000;
  for (;;) {
    const seen = look();
    if (is(seen)) return seen;
    assert.ok(Date.now() < end, `it does not come: ${JSON.stringify(seen)}`);
    await new Promise((resume) => setTimeout(resume, 5));
  }
}
