// The audits of graphql-http, one line of JSON each: `node audits.js URL TOKEN`.
import { serverAudits } from "graphql-http";

const [url, token] = process.argv.slice(2);
// The audits know nothing of tokens.
const fetchFn = (input, init = {}) => {
  const headers = new Headers(init.headers);
  headers.set("authorization", `Bearer ${token}`);
  return fetch(input, { ...init, headers });
};
for (const audit of serverAudits({ url, fetchFn })) {
  const { status, reason = "" } = await audit.fn();
  console.log(JSON.stringify({ id: audit.id, name: audit.name, status, reason }));
}
