use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::world::{World, development};
use crate::server::settings::Settings;

const JSON: &str = "application/json";
const GRAPHQL: &str = "application/graphql-response+json";

/// One request and what must come of it.
struct Case {
    name: &'static str,
    method: Method,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    status: u16,
    /// The code of the first error; empty where there is none.
    code: &'static str,
    /// Headers of the answer.
    answered: &'static [(&'static str, &'static str)],
}

const TOKEN: (&str, &str) = ("authorization", "Bearer good");
const TYPE: (&str, &str) = ("content-type", JSON);
const HELLO: &str = r#"{"query":"{hello}"}"#;

fn post(
    name: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    status: u16,
    code: &'static str,
) -> Case {
    Case { name, method: Method::POST, path: "/graphql", headers, body, status, code, answered: &[] }
}

fn cases() -> Vec<Case> {
    let get = |name, path, status, code| Case {
        name,
        method: Method::GET,
        path,
        headers: &[TOKEN],
        body: "",
        status,
        code,
        answered: &[],
    };
    vec![
        Case {
            answered: &[("content-type", "application/json; charset=utf-8"), ("cache-control", "no-store")],
            ..post("plain", &[TOKEN, TYPE], HELLO, 200, "")
        },
        Case {
            answered: &[("content-type", "application/graphql-response+json; charset=utf-8")],
            ..post("negotiated", &[TOKEN, TYPE, ("accept", GRAPHQL)], HELLO, 200, "")
        },
        post("charset", &[TOKEN, ("content-type", "Application/JSON; charset=UTF-8")], HELLO, 200, ""),
        post("scheme in any case", &[("authorization", "bearer good"), TYPE], HELLO, 200, ""),
        post(
            "nulls",
            &[TOKEN, TYPE],
            r#"{"query":"{hello}","variables":null,"operationName":null,"extensions":null}"#,
            200,
            "",
        ),
        post("unknown members", &[TOKEN, TYPE], r#"{"query":"{hello}","more":[1]}"#, 200, ""),
        // The type of the body.
        post("no type", &[TOKEN], HELLO, 415, "BAD_REQUEST"),
        post("text", &[TOKEN, ("content-type", "text/plain")], HELLO, 415, "BAD_REQUEST"),
        post(
            "form",
            &[TOKEN, ("content-type", "application/x-www-form-urlencoded")],
            "query={hello}",
            415,
            "BAD_REQUEST",
        ),
        post(
            "multipart",
            &[TOKEN, ("content-type", "multipart/form-data; boundary=x")],
            "--x",
            415,
            "BAD_REQUEST",
        ),
        post(
            "other charset",
            &[TOKEN, ("content-type", "application/json; charset=latin1")],
            HELLO,
            415,
            "BAD_REQUEST",
        ),
        post("not acceptable", &[TOKEN, TYPE, ("accept", "text/html")], HELLO, 406, "BAD_REQUEST"),
        // Methods.
        Case {
            method: Method::PUT,
            answered: &[("allow", "GET, POST")],
            ..post("put", &[TOKEN, TYPE], HELLO, 405, "BAD_REQUEST")
        },
        Case {
            method: Method::DELETE,
            answered: &[("allow", "GET, POST")],
            ..post("delete", &[TOKEN], "", 405, "BAD_REQUEST")
        },
        Case {
            method: Method::OPTIONS,
            answered: &[("allow", "GET, POST")],
            ..post("no cors", &[("origin", "https://evil.example")], "", 405, "BAD_REQUEST")
        },
        // Tokens.
        Case {
            answered: &[("www-authenticate", "Bearer realm=\"countersign\"")],
            ..post("no token", &[TYPE], HELLO, 401, "UNAUTHENTICATED")
        },
        Case {
            answered: &[("www-authenticate", "Bearer realm=\"countersign\", error=\"invalid_token\"")],
            ..post("bad token", &[("authorization", "Bearer bad"), TYPE], HELLO, 401, "UNAUTHENTICATED")
        },
        post("basic", &[("authorization", "Basic Z29vZDo="), TYPE], HELLO, 401, "UNAUTHENTICATED"),
        post("empty token", &[("authorization", "Bearer "), TYPE], HELLO, 401, "UNAUTHENTICATED"),
        post("forbidden token", &[("authorization", "Bearer forbidden"), TYPE], HELLO, 403, "FORBIDDEN"),
        post("fault of the tokens", &[("authorization", "Bearer broken"), TYPE], HELLO, 500, "INTERNAL"),
        // Bodies.
        post("malformed", &[TOKEN, TYPE], "{", 400, "BAD_REQUEST"),
        post("empty", &[TOKEN, TYPE], "", 400, "BAD_REQUEST"),
        post("not utf-8", &[TOKEN, TYPE], "{\"query\":\"\\ud800\"}", 400, "BAD_REQUEST"),
        post("batch", &[TOKEN, TYPE], r#" [{"query":"{hello}"}]"#, 400, "BAD_REQUEST"),
        post("no query", &[TOKEN, TYPE], r#"{"variables":{}}"#, 400, "BAD_REQUEST"),
        post("query of another type", &[TOKEN, TYPE], r#"{"query":7}"#, 400, "BAD_REQUEST"),
        post(
            "variables of another type",
            &[TOKEN, TYPE],
            r#"{"query":"{hello}","variables":"{}"}"#,
            400,
            "BAD_REQUEST",
        ),
        post(
            "name of another type",
            &[TOKEN, TYPE],
            r#"{"query":"{hello}","operationName":[]}"#,
            400,
            "BAD_REQUEST",
        ),
        post(
            "extensions of another type",
            &[TOKEN, TYPE],
            r#"{"query":"{hello}","extensions":0}"#,
            400,
            "BAD_REQUEST",
        ),
        post("trailing", &[TOKEN, TYPE], r#"{"query":"{hello}"} {}"#, 400, "BAD_REQUEST"),
        // Documents: 200 by application/json, 400 by the other type.
        post("parse, json", &[TOKEN, TYPE], r#"{"query":"{"}"#, 200, "GRAPHQL_PARSE_FAILED"),
        post("parse", &[TOKEN, TYPE, ("accept", GRAPHQL)], r#"{"query":"{"}"#, 400, "GRAPHQL_PARSE_FAILED"),
        post("field, json", &[TOKEN, TYPE], r#"{"query":"{nope}"}"#, 200, "GRAPHQL_VALIDATION_FAILED"),
        post(
            "field",
            &[TOKEN, TYPE, ("accept", GRAPHQL)],
            r#"{"query":"{nope}"}"#,
            400,
            "GRAPHQL_VALIDATION_FAILED",
        ),
        post(
            "no such operation",
            &[TOKEN, TYPE, ("accept", GRAPHQL)],
            r#"{"query":"{hello}","operationName":"x"}"#,
            400,
            "GRAPHQL_VALIDATION_FAILED",
        ),
        post(
            "which operation",
            &[TOKEN, TYPE, ("accept", GRAPHQL)],
            r#"{"query":"query a{hello} query b{hello}"}"#,
            400,
            "GRAPHQL_VALIDATION_FAILED",
        ),
        post(
            "variable missing",
            &[TOKEN, TYPE, ("accept", GRAPHQL)],
            r#"{"query":"query($v:JSON!){echo(value:$v)}"}"#,
            400,
            "GRAPHQL_VALIDATION_FAILED",
        ),
        post(
            "subscription",
            &[TOKEN, TYPE, ("accept", GRAPHQL)],
            r#"{"query":"subscription{count(to:1)}"}"#,
            400,
            "BAD_REQUEST",
        ),
        // Fields that fail leave the others, and the status.
        post(
            "refusal",
            &[TOKEN, TYPE, ("accept", GRAPHQL)],
            r#"{"query":"{hello conflict}"}"#,
            200,
            "CONFLICT",
        ),
        post("fault", &[TOKEN, TYPE, ("accept", GRAPHQL)], r#"{"query":"{hello fault}"}"#, 200, "INTERNAL"),
        post("panic", &[TOKEN, TYPE], r#"{"query":"{hello boom}"}"#, 500, "INTERNAL"),
        // GET.
        get("get", "/graphql?query=%7Bhello%7D", 200, ""),
        get(
            "get with variables",
            "/graphql?query=query($v:JSON!)%7Becho(value:$v)%7D&variables=%7B%22v%22:[1]%7D&operationName=",
            200,
            "",
        ),
        Case {
            answered: &[("allow", "POST")],
            ..get("get mutation", "/graphql?query=mutation%7Bbump%7D", 405, "BAD_REQUEST")
        },
        get("get subscription", "/graphql?query=subscription%7Bcount(to:1)%7D", 405, "BAD_REQUEST"),
        get("get nothing", "/graphql", 400, "BAD_REQUEST"),
        get("get twice", "/graphql?query=%7Bhello%7D&query=%7Bhello%7D", 400, "BAD_REQUEST"),
        get("get bad variables", "/graphql?query=%7Bhello%7D&variables=7", 400, "BAD_REQUEST"),
        Case {
            headers: &[],
            ..get("get without token", "/graphql?query=%7Bhello%7D", 401, "UNAUTHENTICATED")
        },
        Case {
            headers: &[TOKEN, ("upgrade", "websocket")],
            ..get("half an upgrade", "/graphql", 400, "BAD_REQUEST")
        },
    ]
}

#[tokio::test]
async fn every_request_has_its_answer() {
    let world = World::start(development()).await;
    for case in cases() {
        let mut request = world.http.request(case.method, world.url(case.path)).body(case.body);
        for (name, value) in case.headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body: Value = response.json().await.unwrap();
        assert_eq!(status, case.status, "{}: {body}", case.name);
        let code = body["errors"][0]["extensions"]["code"].as_str().unwrap_or_default();
        assert_eq!(code, case.code, "{}: {body}", case.name);
        assert!(!body.to_string().contains("secret"), "{}: {body}", case.name);
        if code == "INTERNAL" {
            let trace = &headers["x-request-id"];
            assert_eq!(body["errors"][0]["extensions"]["traceId"], trace.to_str().unwrap(), "{}", case.name);
        }
        for (name, value) in case.answered {
            assert_eq!(headers.get(*name).map(|v| v.to_str().unwrap()), Some(*value), "{}", case.name);
        }
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(!headers.contains_key("access-control-allow-origin"), "{}", case.name);
    }
    assert_eq!(world.inside.bumps.load(Ordering::SeqCst), 0, "no mutation ran by GET");
    world.assert_alive().await;
}

#[tokio::test]
async fn what_did_not_run_has_no_data_and_what_ran_has() {
    let world = World::start(development()).await;
    for (query, has_data) in [("{", false), ("{nope}", false), ("{conflict}", true), ("{hello}", true)] {
        let (_, body) = world.query(json!({ "query": query })).await;
        assert_eq!(body.get("data").is_some(), has_data, "{query}: {body}");
    }
    let (_, body) = world.query(json!({ "query": "{conflict}" })).await;
    assert_eq!(body["data"]["conflict"], Value::Null);
    assert_eq!(body["errors"][0]["extensions"], json!({ "code": "CONFLICT", "version": 7 }));
    assert_eq!(body["errors"][0]["path"], json!(["conflict"]));
}

#[tokio::test]
async fn resolvers_know_who_asks_and_from_where() {
    let world = World::start(development()).await;
    let (_, body) = world.query(json!({ "query": "{ me address }" })).await;
    assert_eq!(body["data"], json!({ "me": "Ada", "address": "127.0.0.1" }));
    let (_, body) = world.query(json!({ "query": "mutation { bump }" })).await;
    assert_eq!(body["data"], json!({ "bump": 1 }));
}

#[tokio::test]
async fn a_sane_request_id_comes_back() {
    let world = World::start(development()).await;
    for (given, kept) in [("abc-123", true), ("bad id", false), ("\"quoted\"", false)] {
        let response = world.post().header("x-request-id", given).body(HELLO).send().await.unwrap();
        assert_eq!(response.headers()["x-request-id"] == given, kept, "{given}");
    }
    let response = world.http.get(world.url("/nowhere")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(response.headers().contains_key("x-request-id"));
}

#[tokio::test]
async fn a_request_has_its_time() {
    let settings = Settings { request_time: Duration::from_millis(50), ..development() };
    let world = World::start(settings).await;
    let (status, body) = world.query(json!({ "query": "{ hello forever }" })).await;
    assert_eq!(status, 503);
    assert_eq!(
        body["errors"][0]["extensions"],
        json!({ "code": "LIMIT_EXCEEDED", "limit": "requestTime", "max": body["errors"][0]["extensions"]["max"] })
    );
    world.assert_alive().await;
}

#[tokio::test]
async fn a_panic_harms_its_own_response_alone() {
    let world = World::start(development()).await;
    let calls = (0..20).map(|i| {
        let query = if i % 2 == 0 { "{ boom }" } else { "{ hello }" };
        world.query(json!({ "query": query }))
    });
    for (i, (status, _)) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(status, if i % 2 == 0 { 500 } else { 200 });
    }
    world.assert_alive().await;
}

/// The query that GraphiQL and the usual code generators send.
const INTROSPECTION: &str = include_str!("introspection.graphql");

#[tokio::test]
async fn introspection_and_graphiql_are_for_development() {
    let world = World::start(development()).await;
    let (status, body) =
        world.query(json!({ "query": INTROSPECTION, "operationName": "IntrospectionQuery" })).await;
    assert_eq!((status, body.get("errors")), (200, None));
    assert_eq!(body["data"]["__schema"]["queryType"]["name"], "Query");
    let page = world.http.get(world.url("/graphiql")).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("graphiql@4.1.2/"));

    let world = World::start(Settings::default()).await;
    for query in [INTROSPECTION, "{ hello ...f } fragment f on Query { x: __type(name: \"Query\") { name } }"]
    {
        let (_, body) = world.query(json!({ "query": query })).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "FORBIDDEN", "{body}");
    }
    let (_, body) = world.query(json!({ "query": "{ __typename }" })).await;
    assert_eq!(body["data"]["__typename"], "Query");
    assert_eq!(world.http.get(world.url("/graphiql")).send().await.unwrap().status(), 404);
}
