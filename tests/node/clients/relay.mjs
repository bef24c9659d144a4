// Relay without React: what relay-compiler wrote, run on Relay's store, with its connection handler.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { createClient } from "graphql-ws";
import relay from "relay-runtime";
import WebSocket from "ws";
import { PAGE, ask, headers, names, socketUrl, tag, token, until, url } from "./server.mjs";

const { Environment, Network, Observable, RecordSource, Store } = relay;
const { commitMutation, createOperationDescriptor, fetchQuery, getSingularSelector, requestSubscription } =
  relay;

const require = createRequire(import.meta.url);
const artifact = (name) => require(`../relay/__generated__/documents${name}.graphql`);

export async function relayRuntime(tell) {
  const sockets = createClient({
    url: socketUrl,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${token}` },
  });
  const network = Network.create(
    async ({ text: query }, variables) => {
      const answer = await fetch(url, {
        method: "POST",
        headers: { ...headers, "content-type": "application/json" },
        body: JSON.stringify({ query, variables }),
      });
      return answer.json();
    },
    ({ text: query }, variables) =>
      Observable.create((sink) => sockets.subscribe({ query, variables }, sink)),
  );
  const environment = new Environment({ network, store: new Store(new RecordSource()) });
  const fetched = (name, variables) => fetchQuery(environment, artifact(name), variables).toPromise();
  const read = (name, reference) =>
    environment.lookup(getSingularSelector(artifact(name), reference)).data;

  const list = createOperationDescriptor(artifact("ListQuery"), { count: PAGE });
  environment.retain(list);
  await fetched("ListQuery", { count: PAGE });
  const assets = () => read("Assets", environment.lookup(list.fragment).data).assets;
  const rows = () => assets().edges.map(({ node }) => read("Asset", node));
  assert.equal(rows().length, PAGE);
  let pages = 1;
  while (assets().pageInfo.hasNextPage) {
    await fetched("AssetsPage", { count: PAGE, cursor: assets().pageInfo.endCursor });
    pages += 1;
  }
  assert.deepEqual(rows().map((row) => row.name), await names());
  assert.equal(assets().totalCount, rows().length);
  tell(`${pages} pages merged into ${rows().length} rows`);

  const row = () => rows()[PAGE + 2];
  const { id, version } = row();
  const variables = { id, version, input: { tags: ["relay"] } };
  const done = await new Promise((onCompleted, onError) => {
    commitMutation(environment, { mutation: artifact("TagMutation"), variables, onCompleted, onError });
  });
  assert.deepEqual(done.assetUpdate.userErrors, []);
  assert.deepEqual(row().tags, ["relay"]);
  assert.equal(row().version, version + 1);
  tell("a mutation's answer changes the row of the list");

  await tag(row(), ["elsewhere"]);
  await fetched("CardQuery", { id });
  assert.deepEqual(row().tags, ["elsewhere"]);
  await tag(row(), ["again"]);
  await fetched("AssetAgain", { id });
  assert.deepEqual(row().tags, ["again"]);
  tell("a refetch through node changes the row of the list");

  await fetched("JobsQuery", { count: 5, cursor: null });

  // A change that is told by a subscription is written into the record, too.
  const told = [];
  const subscription = requestSubscription(environment, {
    subscription: artifact("ChangesSubscription"),
    variables: { after: null },
    onNext: (item) => told.push(item.findingChanged),
    onError: (error) => told.push({ __typename: String(error) }),
  });
  await until(() => told.length, (items) => items > 0);
  assert.equal(told[0].__typename, "FindingSnapshot");
  const { findings } = await ask("{ findings(first: 1) { nodes { id } } }");
  const [finding] = findings.nodes;
  const set = `mutation ($id: ID!) { findingSetSeverity(id: $id, severity: URGENT) { userErrors { code } } }`;
  await ask(set, finding);
  await until(() => told.length, (items) => items > 1);
  assert.equal(told[1].__typename, "FindingChange");
  assert.equal(environment.getStore().getSource().get(finding.id).severity, "URGENT");
  tell("what a subscription tells is in the store");
  subscription.dispose();
  await sockets.dispose();
}
