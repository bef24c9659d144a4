// Other people's clients against a running server.
//
//     node clients.mjs URL TOKEN
//
// Each line says what a client was seen to do; a client that does not do it ends this with an error.

import { apollo } from "./clients/apollo.mjs";
import { relayRuntime } from "./clients/relay.mjs";
import { urql } from "./clients/urql.mjs";
import { compile } from "./relay/compile.mjs";

console.log(`relay-compiler: ${compile()} artifacts`);
for (const [name, check] of Object.entries({ apollo, urql, relay: relayRuntime })) {
  await check((what) => console.log(`${name}: ${what}`));
}
// Kept connections of a client must not keep this process.
process.exit(0);
