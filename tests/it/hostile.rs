//! Requests made to hurt, against the product's own schema: each is refused with a code, and the
//! server answers the next.

mod measured;

use std::collections::BTreeMap;

use api::server::settings::Settings;
use domain::access::Role;
use serde_json::{Value as Json, json};
use support::{Heard, Wire, World, on_both, tell};

on_both!(what_is_made_to_hurt_is_refused, a_server_in_production_does_not_tell_its_schema);

fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

/// Requests as they are sent, and the limit that refuses each.
fn requests() -> Vec<(String, String, &'static str)> {
    let of_query = |query: String| json!({ "query": query }).to_string();
    let mut requests = Vec::new();
    for depth in [1_000, 2_000, 6_000] {
        let lists = nested("[", "", "]", depth);
        let objects = nested("{a:", "1", "}", depth);
        for (name, value) in [("lists", &lists), ("objects", &objects)] {
            let criteria = format!("{{ criteriaSentence(criteria: {value}) {{ sentence }} }}");
            requests.push((format!("{depth} {name} as criteria"), of_query(criteria), "brackets"));
            let finding = format!("{{ ruleTest(input: {{}}, finding: {value}) {{ matched }} }}");
            requests.push((format!("{depth} {name} as a finding"), of_query(finding), "brackets"));
            let default =
                format!("query($c: Criteria = {value}) {{ findings(filter: $c) {{ totalCount }} }}");
            requests.push((format!("{depth} {name} by default"), of_query(default), "brackets"));
        }
        for (name, value) in [("lists", lists), ("objects", nested("{\"a\":", "1", "}", depth))] {
            let query = "query($c: Criteria) { findings(filter: $c) { totalCount } }";
            let body = format!(r#"{{"query":"{query}","variables":{{"c":{value}}}}}"#);
            requests.push((format!("{depth} {name} in variables"), body, "variablesDepth"));
        }
    }
    let deep = nested("{ user { membership ", "{ role }", "} }", 1_500);
    requests.push((
        "a selection 3,000 deep".to_owned(),
        of_query(format!("{{ viewer {deep} }}")),
        "brackets",
    ));
    let deep = nested("{ user { membership ", "{ role }", "} }", 14);
    requests.push(("a selection 30 deep".to_owned(), of_query(format!("{{ viewer {deep} }}")), "depth"));
    let pages = "{ findings(first: 500) { nodes { audit(first: 500) { nodes { id } } } } }";
    requests.push(("pages of pages".to_owned(), of_query(pages.to_owned()), "complexity"));
    let chain = |length: usize| -> String {
        let spread = |at: usize| format!("fragment f{at} on Query {{ ...f{0} ...f{0} }} ", at + 1);
        let links: String = (0..length).map(spread).collect();
        format!("{{ ...f0 }} {links} fragment f{length} on Query {{ serverInfo {{ version }} }}")
    };
    requests.push(("a chain of 20 doubled fragments".to_owned(), of_query(chain(20)), "selections"));
    let large = format!(r#"{{"query":"{{ serverInfo {{ version }} }} #{}"}}"#, "x".repeat(20 << 20));
    requests.push(("a body of 20 MiB".to_owned(), large, "bodyBytes"));
    requests
}

async fn what_is_made_to_hurt_is_refused(world: &World) {
    let wire = Wire::of(world, world.acme.person(Role::Analyst)).await;
    let next = "{ serverInfo { version } viewer { roles } findings { totalCount } }";
    let mut told = BTreeMap::<_, Vec<String>>::new();
    for (name, body, limit) in requests() {
        let (status, answer) = wire.post(body.clone()).await;
        let answer: Json = serde_json::from_str(&answer).unwrap();
        let error = &answer["errors"][0]["extensions"];
        assert_eq!(
            (&error["code"], &error["limit"]),
            (&json!("LIMIT_EXCEEDED"), &json!(limit)),
            "{name}: {answer}"
        );
        assert_eq!(answer["data"], Json::Null, "{name}");
        told.entry((status, limit)).or_default().push(name.clone());
        assert_eq!(wire.ask(next, json!({})).await["findings"]["totalCount"], 0, "after {name}");

        // The same by a socket, which ends its operation or, over the size of a message, the socket.
        let mut socket = wire.greeted().await;
        socket.try_say(format!(r#"{{"type":"subscribe","id":"1","payload":{body}}}"#)).await;
        match socket.hear().await {
            Heard::Said(said) => {
                assert_eq!(said["payload"][0]["extensions"]["limit"], limit, "{name}: {said}");
                socket.say(&json!({ "type": "ping" })).await;
                assert_eq!(socket.hear().await, Heard::Said(json!({ "type": "pong" })), "after {name}");
            }
            Heard::Closed(code) => {
                assert!(matches!(code, None | Some(1009)) && limit == "bodyBytes", "{name}: {code:?}");
            }
        }
    }
    for ((status, limit), names) in told {
        let engine = world.engine;
        tell(&format!("{engine:?}: {status} LIMIT_EXCEEDED ({limit}): {}", names.join(", ")));
    }
}

async fn a_server_in_production_does_not_tell_its_schema(world: &World) {
    let token = &world.acme.person(Role::Admin).token;
    let standard = include_str!("hostile/introspection.graphql");
    let development = Wire::of(world, world.acme.person(Role::Admin)).await;
    let schema = development.ask(standard, json!({})).await;
    assert!(schema["__schema"]["types"].as_array().is_some_and(|types| types.len() > 100));
    assert_eq!(development.get("/graphiql").await.0, 200);

    let production = Wire::serve(&world.domain, Settings::default()).await.with(token);
    for query in [standard, "{ __schema { types { name } } }", "{ __type(name: \"Query\") { name } }"] {
        let answer = production.answer(query, json!({})).await;
        assert_eq!(answer["data"], Json::Null);
        assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{answer}");
    }
    assert_eq!(production.get("/graphiql").await.0, 404);
    let answer = production.answer("{ finding_ }", json!({})).await.to_string();
    assert!(!answer.contains("Did you mean"), "{answer}");
    assert_eq!(
        production.ask("{ viewer { roles __typename } }", json!({})).await["viewer"]["roles"],
        json!(["ADMIN"])
    );
}
