//! What other people's audits and clients make of GraphQL over HTTP and over server-sent events.

use std::collections::BTreeMap;
use std::time::Duration;

use api::server::settings::{Settings, Turns};
use domain::Domain;
use domain::access::Role;
use domain::error::Code;
use domain::store::Db;
use sea_orm::{ConnectionTrait, Database, TransactionTrait};
use serde_json::{Value as Json, json};
use support::{Engine, Wire, World, node, on_both, tell};
use uuid::Uuid;

on_both!(
    every_audit_of_graphql_http_passes,
    clients_of_event_streams_work_unchanged,
    one_company_s_flood_leaves_room_for_others,
    a_statement_that_takes_too_long_is_ended,
);

fn lines(said: Vec<String>) -> Vec<Json> {
    said.iter().map(|line| serde_json::from_str(line).expect("a script prints JSON")).collect()
}

async fn every_audit_of_graphql_http_passes(world: &World) {
    let person = world.acme.person(Role::Viewer);
    let wire = Wire::of(world, person).await;
    let Some(said) = node::run("audits.js", &[&wire.url(), &person.token]).await else { return };
    let audits = lines(said);
    let mut counts = BTreeMap::<String, (usize, usize)>::new();
    let mut failed = Vec::new();
    for audit in &audits {
        let (name, passed) = (audit["name"].as_str().expect("it has a name"), audit["status"] == "ok");
        let word = name.split(' ').next().unwrap_or_default().to_owned();
        let count = counts.entry(word).or_default();
        count.1 += 1;
        if passed {
            count.0 += 1;
        } else {
            failed.push(format!("{audit}"));
        }
    }
    if world.engine == Engine::Sqlite {
        for (word, (passed, all)) in &counts {
            tell(&format!("graphql-http audits, {word}: {passed} of {all}"));
        }
    }
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(audits.len(), 61, "{counts:?}");
}

async fn clients_of_event_streams_work_unchanged(world: &World) {
    let person = world.acme.person(Role::Author);
    let wire = Wire::of(world, person).await;
    let sweep = wire.done("mutation { ruleSweep { job { id } userErrors { code } } }", json!({})).await;
    let id = sweep["job"]["id"].as_str().expect("a sweep is a job").to_owned();
    let watch = "subscription($id: ID!) { jobProgress(id: $id) { state } }";
    let steps = wire.watch(watch, json!({ "id": id })).await;
    let expected: Vec<Json> = steps.into_iter().map(|data| json!({ "data": data })).collect();
    assert_eq!(expected.last().expect("it has steps")["data"]["jobProgress"]["state"], "COMPLETED");

    let Some(said) = node::run("sse.js", &[&wire.url(), &person.token, &id]).await else { return };
    let said: BTreeMap<String, Json> = lines(said)
        .into_iter()
        .map(|line| (line["name"].as_str().expect("it has a name").to_owned(), line))
        .collect();
    for client in ["graphql-sse", "EventSource"] {
        // Who comes late is told where the job stands.
        let told = said[&format!("{client} subscription")]["answers"].as_array().expect("it was answered");
        assert_eq!(told.last(), expected.last(), "{client}");
        let query = &said[&format!("{client} query")]["answers"];
        assert_eq!(query, &json!([{ "data": { "__typename": "Query" } }]), "{client}");
        let refused = &said[&format!("{client} refused")]["answers"][0];
        assert_eq!(refused["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED", "{client}");
    }
    for encoding in ["br", "gzip"] {
        assert_eq!(said[encoding]["encoding"], encoding);
        assert!(said[encoding]["types"].as_u64() > Some(100), "{}", said[encoding]);
    }
}

/// Of one company hundreds ask at once; the other is answered each time, and the first is refused in
/// part by the code that says so.
async fn one_company_s_flood_leaves_room_for_others(world: &World) {
    let turns = Turns { at_once: 4, per_company: 2, per_actor: 2, waiting: 8 };
    let server = Wire::serve(&world.domain, Settings { turns, ..Settings::default() }).await;
    let flood = server.with(&world.acme.person(Role::Analyst).token);
    let other = server.with(&world.globex.person(Role::Analyst).token);
    let query = "{ findings { totalCount nodes { id } } viewer { roles permissions } }";
    let flooding = futures_util::future::join_all((0..200).map(|_| flood.answer(query, json!({}))));
    let asking = async {
        for _ in 0..20 {
            let answer = other.ask(query, json!({})).await;
            assert_eq!(answer["findings"]["totalCount"], 0);
        }
    };
    let (answers, ()) = tokio::join!(flooding, asking);
    let (ran, refused): (Vec<&Json>, Vec<&Json>) =
        answers.iter().partition(|answer| answer["errors"].is_null());
    assert!(!ran.is_empty());
    for answer in &refused {
        let told = &answer["errors"][0]["extensions"];
        assert_eq!(told, &json!({ "code": "OVERLOADED", "retryAfter": 1 }));
    }
    tell(&format!("{:?}: of 200 at once {} ran, {} were refused", world.engine, ran.len(), refused.len()));
}

/// Reading from a table that somebody else has locked.
async fn a_statement_that_takes_too_long_is_ended(world: &World) {
    // SQLite's readers wait for nobody; that theirs is ended is shown where its statements are made.
    if world.engine == Engine::Sqlite {
        return;
    }
    let db = Db::open_within(world.url(), Duration::from_millis(100)).await.expect("it opens");
    let domain = Domain::new(db.clone(), world.clock.clone(), world.domain.settings().clone(), Uuid::nil());
    let locker = Database::connect(world.url()).await.expect("it opens");
    let lock = locker.begin().await.expect("it begins");
    lock.execute_unprepared("LOCK TABLE project IN ACCESS EXCLUSIVE MODE").await.expect("it is free");
    let asked = [world.acme.project];
    let error = domain.projects_by_id(world.acme.analyst(), &asked).await.expect_err("it waits");
    assert_eq!((error.code, &error.details["limit"]), (Code::LimitExceeded, &json!("statementTime")));
    lock.rollback().await.expect("it ends");
    domain.projects_by_id(world.acme.analyst(), &asked).await.expect("the next one has its own time");
    drop(domain);
    db.close().await.expect("it closes");
    locker.close().await.expect("it closes");
}
