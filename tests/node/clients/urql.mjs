// urql with Graphcache: pages merged by relayPagination, the schema known by introspection.

import assert from "node:assert/strict";
import { createClient, fetchExchange } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import { buildClientSchema, getIntrospectionQuery, isObjectType } from "graphql";
import { document } from "./documents.mjs";
import { PAGE, ask, headers, names, tag, until, url } from "./server.mjs";

export async function urql(tell) {
  const schema = await ask(getIntrospectionQuery());
  // What has no id is a value, and stays inside of its record.
  const values = Object.values(buildClientSchema(schema).getTypeMap())
    .filter((type) => isObjectType(type) && !type.getFields().id)
    .map((type) => [type.name, () => null]);
  const said = [];
  const cache = cacheExchange({
    schema,
    // Whatever the cache cannot make sense of, it says: a type without a key, an unknown field.
    logger: (severity, message) => severity === "debug" || said.push(message),
    keys: Object.fromEntries(values),
    resolvers: { Query: { assets: relayPagination() } },
  });
  const client = createClient({ url, fetchOptions: { headers }, exchanges: [cache, fetchExchange] });

  let shown;
  const page = (after) =>
    client.query(document("Assets"), { first: PAGE, after }).subscribe(({ data, error }) => {
      assert.equal(error, undefined);
      shown = data;
    });
  let watching = page(null);
  await until(() => shown?.assets.edges.length, (rows) => rows === PAGE);
  let pages = 1;
  while (shown.assets.pageInfo.hasNextPage) {
    const rows = shown.assets.edges.length;
    watching.unsubscribe();
    watching = page(shown.assets.pageInfo.endCursor);
    await until(() => shown.assets.edges.length, (now) => now > rows);
    pages += 1;
  }
  const listed = shown.assets.edges.map(({ node }) => node.name);
  assert.deepEqual(listed, await names());
  tell(`${pages} pages merged into ${listed.length} rows`);

  const row = () => shown.assets.edges[PAGE + 2].node;
  const { id, version } = row();
  const variables = { id, version, input: { tags: ["urql"] } };
  const { data, error } = await client.mutation(document("AssetTag"), variables).toPromise();
  assert.equal(error, undefined);
  assert.deepEqual(data.assetUpdate.userErrors, []);
  await until(() => row().tags, (tags) => tags.includes("urql"));
  assert.equal(row().version, version + 1);
  tell("a mutation's answer changes the row of the list");

  await tag(row(), ["elsewhere"]);
  const again = await client
    .query(document("AssetAgain"), { id }, { requestPolicy: "network-only" })
    .toPromise();
  assert.equal(again.error, undefined);
  await until(() => row().tags, (tags) => tags.includes("elsewhere"));
  tell("a refetch through node changes the row of the list");

  const entries = await client.query(document("Entries"), { record: id }).toPromise();
  assert.equal(entries.data.auditEntries.nodes.length, 1);
  assert.deepEqual(said, []);
  tell("the cache makes sense of every type");
  watching.unsubscribe();
}
