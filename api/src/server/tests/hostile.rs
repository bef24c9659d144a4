//! Requests made to hurt: each is refused with its code, and the server answers the next.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::world::{World, development};

fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

fn code_and_limit(body: &Value) -> (String, String) {
    let extensions = &body["errors"][0]["extensions"];
    let text = |key: &str| extensions[key].as_str().unwrap_or_default().to_owned();
    (text("code"), text("limit"))
}

/// Queries without variables, and the limit that refuses each.
fn documents() -> Vec<(String, String, &'static str)> {
    let mut cases = Vec::new();
    for depth in [1_000, 2_000, 6_000] {
        let list = format!("{{ echo(value: {}) }}", nested("[", "", "]", depth));
        let object = format!("{{ echo(value: {}) }}", nested("{a:", "1", "}", depth));
        let default = format!("query($v: JSON = {}) {{ echo(value: $v) }}", nested("[", "", "]", depth));
        let of_type = format!("query($v: {}) {{ echo(value: $v) }}", nested("[", "Int", "]", depth));
        cases.push((format!("{depth} lists"), list, "brackets"));
        cases.push((format!("{depth} objects"), object, "brackets"));
        cases.push((format!("{depth} lists by default"), default, "brackets"));
        cases.push((format!("{depth} list types"), of_type, "brackets"));
        cases.push((
            format!("{depth} open lists"),
            format!("{{ echo(value: {}", "[".repeat(depth)),
            "brackets",
        ));
    }
    let chain = |length: usize| {
        let mut query = "{ ...f0 } ".to_owned();
        for i in 0..length {
            query += &format!("fragment f{i} on Query {{...f{0} ...f{0}}} ", i + 1);
        }
        query + &format!("fragment f{length} on Query {{ hello }}")
    };
    let repeat = |count: usize, part: &dyn Fn(usize) -> String| -> String { (0..count).map(part).collect() };
    cases.extend([
        ("a deep selection".to_owned(), nested("{ itself ", "{ hello }", "}", 3_000), "brackets"),
        ("30 selections deep".to_owned(), nested("{ itself ", "{ hello }", "}", 30), "depth"),
        ("an exponential chain".to_owned(), chain(20), "selections"),
        ("a long chain".to_owned(), chain(100), "nesting"),
        (
            "500 aliases".to_owned(),
            format!("{{ itself {{ {} }} }}", repeat(500, &|i| format!("a{i}: hello "))),
            "aliases",
        ),
        ("10,000 fields".to_owned(), format!("{{ itself {{ {} }} }}", "hello ".repeat(10_000)), "selections"),
        ("100 fields at the root".to_owned(), format!("{{ {} }}", "hello ".repeat(100)), "rootFields"),
        (
            "many directives".to_owned(),
            format!("{{ hello {} }}", "@skip(if: false) ".repeat(500)),
            "directives",
        ),
        ("many tokens".to_owned(), format!("{{ {} }}", "hello ".repeat(20_000)), "tokens"),
        (
            "values run together".to_owned(),
            format!("{{ echo(value: [{}]) }}", "true".repeat(20_000)),
            "tokens",
        ),
        (
            "pages of pages".to_owned(),
            "{ page(first: 500) { page(first: 500) { hello } } }".to_owned(),
            "complexity",
        ),
        (
            "introspection of itself".to_owned(),
            nested("{ __schema { types ", "{ name }", "}}", 1)
                .replace("{ name }", &nested("{ fields { type ", "{ name }", "}}", 12)),
            "depth",
        ),
    ]);
    cases
}

#[tokio::test]
async fn a_document_over_a_limit_is_refused() {
    let world = World::start(development()).await;
    for (name, query, limit) in documents() {
        let (status, body) = world.query(json!({ "query": query })).await;
        assert_eq!(code_and_limit(&body), ("LIMIT_EXCEEDED".to_owned(), limit.to_owned()), "{name}");
        assert_eq!(status, 200, "{name}");
        assert!(body["errors"][0]["extensions"]["max"].is_number(), "{name}: {body}");
    }
    for circle in [
        "{ ...a } fragment a on Query { ...a }",
        "{ ...a } fragment a on Query { itself { ...b } } fragment b on Query { ...a }",
        "{ hello } fragment a on Query { ...b } fragment b on Query { ...a }",
    ] {
        let (_, body) = world.query(json!({ "query": circle })).await;
        assert_eq!(code_and_limit(&body).0, "GRAPHQL_VALIDATION_FAILED", "{circle}");
    }
    world.assert_alive().await;
}

#[tokio::test]
async fn variables_over_a_limit_are_refused() {
    let world = World::start(development()).await;
    let query = "query($v: JSON!) { echo(value: $v) }";
    let body = |value: &str| format!(r#"{{"query":"{query}","variables":{{"v":{value}}}}}"#);
    let mut cases = vec![("values", body(&format!("[{}1]", "1,".repeat(60_000))), "variablesValues")];
    for depth in [1_000, 2_000, 6_000, 100_000] {
        cases.push(("lists", body(&nested("[", "", "]", depth)), "variablesDepth"));
        cases.push(("objects", body(&nested("{\"a\":", "1", "}", depth)), "variablesDepth"));
        cases.push(("open lists", body(&"[".repeat(depth)), "variablesDepth"));
        let extensions =
            format!(r#"{{"query":"{{hello}}","extensions":{{"a":{}}}}}"#, nested("[", "", "]", depth));
        cases.push(("extensions", extensions, "variablesDepth"));
    }
    for (name, body, limit) in cases {
        let response = world.post().body(body).send().await.unwrap();
        assert_eq!(response.status(), 400, "{name}");
        let body = response.json().await.unwrap();
        assert_eq!(code_and_limit(&body), ("LIMIT_EXCEEDED".to_owned(), limit.to_owned()), "{name}");
    }
    // A large variable may not be used again and again: each use is a copy.
    let uses: String = (0..40).map(|i| format!("a{i}: echo(value: $v) ")).collect();
    let many = json!({ "query": format!("query($v: JSON!) {{ {uses} }}"), "variables": { "v": "x".repeat(500_000) } });
    assert_eq!(
        code_and_limit(&world.query(many).await.1),
        ("LIMIT_EXCEEDED".to_owned(), "inputBytes".to_owned())
    );
    // As deep as is allowed goes all the way through.
    let deep: Value = serde_json::from_str(&nested("[", "", "]", 63)).unwrap();
    let (_, answer) = world.query(json!({ "query": query, "variables": { "v": deep } })).await;
    assert_eq!(answer["data"]["echo"], deep);
    let literal = format!("{{ echo(value: {}) }}", nested("[", "", "]", 62));
    let (_, answer) = world.query(json!({ "query": literal })).await;
    assert!(answer["data"]["echo"].is_array(), "{answer}");
    world.assert_alive().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    const PART: usize = 64 << 10;
    const PARTS: usize = 320; // 20 MiB
    let world = World::start(development()).await;
    let whole = format!(r#"{{"query":"{{hello}} #{}"}}"#, "x".repeat(PART * PARTS));
    let parts = || stream::iter((0..PARTS).map(|_| Ok::<_, std::io::Error>("x".repeat(PART)))).boxed();
    let announced = world.post().body(whole);
    let streamed = world.post().body(reqwest::Body::wrap_stream(parts()));
    let pretended =
        world.post().header("content-length", PART * PARTS).body(reqwest::Body::wrap_stream(parts()));
    for (name, request) in [("announced", announced), ("streamed", streamed), ("in parts", pretended)] {
        let response = request.send().await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(response.status(), 413, "{name}");
        let body = response.json().await.unwrap();
        assert_eq!(code_and_limit(&body), ("LIMIT_EXCEEDED".to_owned(), "bodyBytes".to_owned()), "{name}");
        world.assert_alive().await;
    }
    // One that is just small enough is read.
    let fits = format!(r#"{{"query":"{{hello}} #{}"}}"#, "x".repeat((1 << 20) - 25));
    assert_eq!(world.post().body(fits).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_document_of_faults_is_told_of_some() {
    let world = World::start(development()).await;
    let fields: String = (0..4_000).map(|i| format!("{}{i} ", "hell".repeat(50))).collect();
    let (_, body) = world.query(json!({ "query": format!("{{ itself {{ {fields} }} }}") })).await;
    assert_eq!(body["errors"].as_array().unwrap().len(), 50);
}
