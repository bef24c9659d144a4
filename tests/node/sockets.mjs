// graphql-ws, unchanged, and ws beneath it, against the server's sockets. It prints a line for each
// close code that it provoked, and fails at the first thing that is not as the protocol has it.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [address, token, finding, leaver, leaverId, crowd, flag] = process.argv.slice(2);
const url = `ws://${address}/graphql`;
const WATCH = `subscription($after: String) { findingChanged(after: $after) {
  ... on FindingSnapshot { cursor } ... on FindingChange { cursor finding { tags } } } }`;

const client = (options = {}) =>
  createClient({ url, webSocketImpl: WebSocket, retryAttempts: 0, connectionParams: { token }, ...options });

/** Everything that an operation has to say, and how it ended. */
const run = (one, payload, next = () => {}) =>
  new Promise((resolve) => {
    const results = [];
    const stop = one.subscribe(payload, {
      next: (result) => (results.push(result), next(result, () => stop())),
      error: (error) => resolve({ results, error }),
      complete: () => resolve({ results }),
    });
  });

async function ask(query, variables, by = token) {
  const response = await fetch(`http://${address}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${by}` },
    body: JSON.stringify({ query, variables }),
  });
  const answer = await response.json();
  assert.equal(answer.errors, undefined, JSON.stringify(answer));
  return answer.data;
}

const tag = (name) =>
  ask('mutation($id: ID!, $tag: String!) { findingTag(id: $id, input: { add: [$tag] }) { userErrors { code } } }', {
    id: finding,
    tag: name,
  });

// An operation that ends, one that fails, and one that the client completes.
{
  const heard = [];
  const one = client({ lazy: false, on: { message: (message) => heard.push(message) } });
  const viewer = await run(one, { query: '{ viewer { user { name } } }' });
  assert.equal(viewer.results.length, 1);
  assert.equal(viewer.error, undefined);
  const refused = await run(one, { query: '{ nope }' });
  assert.equal(refused.error[0].extensions.code, 'GRAPHQL_VALIDATION_FAILED');
  const watched = await run(one, { query: WATCH }, (result, stop) => stop());
  assert.equal(watched.results.length, 1);
  const id = heard.findLast((message) => message.type === 'next').id;
  heard.length = 0;
  await tag('unheard');
  await run(one, { query: '{ __typename }' });
  assert.ok(!heard.some((message) => message.id === id), 'nothing comes after complete');
  await one.dispose();
}

// Pings of both sides, on both levels, and a token that comes with one.
{
  const seen = new Set();
  let socket;
  const one = client({
    lazy: false,
    keepAlive: 50,
    on: {
      connected: (opened) => {
        socket = opened;
        socket.on('ping', () => seen.add('frame'));
        socket.send(JSON.stringify({ type: 'ping', payload: { token } }));
      },
      ping: (received) => received && seen.add('ping'),
      pong: (received, payload) => received && seen.add(payload?.renewed ? 'renewed' : 'pong'),
    },
  });
  while (seen.size < 4) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(socket.readyState, WebSocket.OPEN);
  await one.dispose();
}

/** How graphql-ws is told that its socket was closed. */
async function closed(name, options, payloads = [{ query: WATCH }]) {
  const one = client(options);
  const ends = payloads.map((payload) => run(one, payload));
  const { error } = await Promise.race(ends);
  assert.ok(error?.code, `${name}: ${JSON.stringify(error)}`);
  console.log(`${error.code} graphql-ws: ${name}: ${error.reason}`);
}

/** How ws is told. */
async function told(name, protocols, messages) {
  const socket = new WebSocket(url, protocols);
  socket.on('open', () => messages.forEach((message) => socket.send(message)));
  const [code, reason] = await new Promise((resolve) => socket.on('close', (...end) => resolve(end)));
  console.log(`${code} ws: ${name}: ${reason}`);
}

const says = (message) => ({ on: { connected: (socket) => socket.send(message) } });
const subscribe = JSON.stringify({ type: 'subscribe', id: '1', payload: { query: WATCH } });

await closed('a message that is no JSON', says('hello'));
await closed('a message over the size limit', says('x'.repeat(2 << 20)));
await told('subscribe before connection_init', 'graphql-transport-ws', [subscribe]);
await closed('a token that nobody has', { connectionParams: { token: 'nobody' } });
await told('no subprotocol', [], []);
await closed('connection_init that does not come', { connectionParams: () => new Promise(() => {}) });
await closed('an id that is in use', { generateID: () => 'same' }, [{ query: WATCH }, { query: WATCH }]);
await closed('connection_init again', says(JSON.stringify({ type: 'connection_init' })));
await closed('a fault while the token is looked up', { connectionParams: { token: 'broken' } });
{
  const many = Array.from({ length: 3 }, () => client({ connectionParams: { token: crowd }, lazy: false }));
  await Promise.all(many.map((one) => run(one, { query: '{ __typename }' })));
  await closed('more sockets than one caller may have', { connectionParams: { token: crowd } });
  await Promise.all(many.map((one) => one.dispose()));
}
{
  const revoke = 'mutation($id: ID!) { tokenRevoke(id: $id) { userErrors { code } } }';
  const connected = async () => {
    const { tokenRevoke } = await ask(revoke, { id: leaverId }, leaver);
    assert.deepEqual(tokenRevoke.userErrors, []);
  };
  await closed('a token that is revoked', { connectionParams: { token: leaver }, on: { connected } });
}

// A server that stops, and the next, on which the stream goes on behind the last cursor.
{
  const edits = 40;
  const codes = [];
  const cursors = [];
  const payload = { query: WATCH, variables: { after: null } };
  const one = client({
    retryAttempts: 1000,
    retryWait: () => new Promise((resolve) => setTimeout(resolve, 20)),
    on: { closed: (event) => codes.push(event.code) },
  });
  let last = [];
  let opened;
  const open = new Promise((resolve) => (opened = resolve));
  const watching = run(one, payload, (result, stop) => {
    const { cursor, finding } = result.data.findingChanged;
    payload.variables.after = cursor;
    if (!finding) return opened();
    cursors.push(cursor);
    last = finding.tags;
    if (cursors.length > edits) stop();
  });
  await open;
  for (let edit = 0; edit < edits; edit++) {
    if (edit === 10) writeFileSync(flag, 'stop');
    for (;;) {
      try {
        await tag(`edit ${edit}`);
        break;
      } catch (error) {
        // Between the two servers there is none. An edit that was made and not answered is made again,
        // and then changes nothing.
        if (error instanceof assert.AssertionError) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
  while (!codes.length) await new Promise((resolve) => setTimeout(resolve, 10));
  await tag('the end');
  await watching;
  assert.equal(new Set(cursors).size, cursors.length, 'nothing is told twice');
  assert.ok(last.includes('edit 0'), 'it goes on behind what was told');
  console.log(`${codes[0]} graphql-ws: a server that stops: the stream went on with the next`);
  await one.dispose();
}
process.exit(0);
