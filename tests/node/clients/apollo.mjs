// Apollo Client: pages merged by relayStylePagination, records known by their ids.

import assert from "node:assert/strict";
import { ApolloClient, HttpLink, InMemoryCache } from "@apollo/client";
import { relayStylePagination } from "@apollo/client/utilities";
import { document } from "./documents.mjs";
import { PAGE, headers, names, tag, until, url } from "./server.mjs";

export async function apollo(tell) {
  const cache = new InMemoryCache({
    typePolicies: { Query: { fields: { assets: relayStylePagination(["orderBy"]) } } },
  });
  const client = new ApolloClient({ link: new HttpLink({ uri: url, headers }), cache });

  const list = client.watchQuery({ query: document("Assets"), variables: { first: PAGE } });
  let shown;
  const watching = list.subscribe(({ data }) => {
    shown = data;
  });
  await until(() => shown?.assets?.edges.length, (rows) => rows === PAGE);
  let pages = 1;
  while (shown.assets.pageInfo.hasNextPage) {
    const rows = shown.assets.edges.length;
    await list.fetchMore({ variables: { after: shown.assets.pageInfo.endCursor } });
    await until(() => shown.assets.edges.length, (now) => now > rows);
    pages += 1;
  }
  const listed = shown.assets.edges.map(({ node }) => node.name);
  assert.deepEqual(listed, await names());
  assert.equal(shown.assets.totalCount, listed.length);
  tell(`${pages} pages merged into ${listed.length} rows`);

  // In the second page: what a mutation answers is seen in the list, without asking again.
  const row = () => shown.assets.edges[PAGE + 2].node;
  const { id, version } = row();
  const { data } = await client.mutate({
    mutation: document("AssetTag"),
    variables: { id, version, input: { tags: ["apollo"] } },
  });
  assert.deepEqual(data.assetUpdate.userErrors, []);
  await until(() => row().tags, (tags) => tags.includes("apollo"));
  assert.equal(row().version, version + 1);
  tell("a mutation's answer changes the row of the list");

  await tag(row(), ["elsewhere"]);
  await client.query({ query: document("AssetAgain"), variables: { id }, fetchPolicy: "network-only" });
  await until(() => row().tags, (tags) => tags.includes("elsewhere"));
  tell("a refetch through node changes the row of the list");

  // Who acted is not who they are: a name that an entry keeps is not written over a user's.
  await client.query({ query: document("Entries"), variables: { record: id } });
  const kept = Object.keys(cache.extract());
  assert.ok(kept.includes(`Asset:${id}`));
  assert.ok(!kept.some((key) => key.startsWith("AuditActor")));
  tell("values without an id stay inside of their records");
  watching.unsubscribe();
  client.stop();
}
