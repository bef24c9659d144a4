// The clients of server-sent events, one line of JSON each: `node sse.js URL TOKEN`.
//
// Each begins a subscription to the steps of a job that is over, and asks a query, in its own way.
import { EventSource } from "eventsource";
import { createClient } from "graphql-sse";

const [url, token, job] = process.argv.slice(2);
const authorization = `Bearer ${token}`;
const subscription = "subscription($id: ID!) { jobProgress(id: $id) { state } }";
const variables = { id: job };

function tell(name, result) {
  console.log(JSON.stringify({ name, ...result }));
}

// graphql-sse, unchanged.
async function bySse(request) {
  const client = createClient({ url, headers: { authorization }, retryAttempts: 0 });
  const answers = [];
  for await (const answer of client.iterate(request)) {
    answers.push(answer);
  }
  client.dispose();
  return { answers };
}

// EventSource, with the header that the npm package can send and a browser cannot.
function byEventSource(request) {
  const query = new URLSearchParams({ query: request.query, variables: JSON.stringify(request.variables ?? {}) });
  const withToken = (input, init) => fetch(input, { ...init, headers: { ...init.headers, authorization } });
  const source = new EventSource(`${url}?${query}`, { fetch: withToken });
  return new Promise((resolve, reject) => {
    const answers = [];
    source.addEventListener("next", ({ data }) => answers.push(JSON.parse(data)));
    source.addEventListener("complete", () => {
      source.close();
      resolve({ answers });
    });
    source.addEventListener("error", (event) => {
      source.close();
      reject(new Error(`${event.code}: ${event.message}`));
    });
  });
}

// A compressed answer is read by fetch itself.
async function compressed(encoding) {
  const query = "{ __schema { types { name description fields { name description } } } }";
  const headers = { authorization, "content-type": "application/json", "accept-encoding": encoding };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query }) });
  const { data } = await answer.json();
  return { encoding: answer.headers.get("content-encoding"), types: data.__schema.types.length };
}

for (const [name, client] of [["graphql-sse", bySse], ["EventSource", byEventSource]]) {
  tell(`${name} subscription`, await client({ query: subscription, variables }));
  tell(`${name} query`, await client({ query: "{ __typename }" }));
  tell(`${name} refused`, await client({ query: "{ nothing }" }));
}
tell("br", await compressed("br"));
tell("gzip", await compressed("gzip"));
