//! Sockets that stay open: they end with the rights of who opened them, what they share is what each
//! would be told, and a stream goes on at the next server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::auth::DomainTokens;
use api::server::auth::{Authenticate, RequestOrigin};
use api::server::settings::{Settings, Sockets};
use async_graphql::{Request, Value, Variables};
use domain::Domain;
use domain::access::{Actor, Portfolio, Role};
use domain::error::{Error, Result};
use domain::intake::import::ImportRequest;
use domain::inventory::membership::MembershipChange;
use domain::inventory::service_account::ServiceAccount;
use domain::inventory::token::{Holder, NewToken};
use domain::inventory::user::{NewUser, UserChange};
use domain::vocabulary::time::Span;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value as Json, json};
use support::{Heard, Socket, Wire, World, node, on_both, tell};

on_both!(
    a_socket_ends_with_the_rights_of_its_caller,
    what_is_shared_is_what_each_would_be_told,
    a_stream_goes_on_at_the_next_server,
    graphql_ws_works_unchanged,
);

/// How long anything may take that is waited for by looking.
const PATIENCE: Duration = Duration::from_secs(240);

const CHANGES: &str = "subscription($filter: Criteria, $after: String) {
    findingChanged(filter: $filter, after: $after) {
        ... on FindingSnapshot { cursor } ... on FindingChange { cursor delta event finding { id title tags } } } }";

async fn tag(wire: &Wire, finding: &Json, tag: &str) {
    let add = "mutation($id: ID!, $tag: String!) {
        findingTag(id: $id, input: { add: [$tag] }) { userErrors { code message } } }";
    wire.done(add, json!({ "id": finding, "tag": tag })).await;
}

fn line(title: &str, severity: &str) -> Json {
    json!({ "scanner_reference": title, "title": title, "asset": format!("host of {title}"), "severity": severity })
}

/// The ids of findings, by their titles' order.
async fn findings(wire: &Wire) -> Vec<Json> {
    let all = "{ findings(first: 500, orderBy: { field: TITLE }) { nodes { id } } }";
    let all = wire.ask(all, json!({})).await["findings"]["nodes"].clone();
    all.as_array().expect("findings are listed").iter().map(|finding| finding["id"].clone()).collect()
}

/// A stream that has begun.
async fn watching(wire: &Wire, token: &str) -> Socket {
    let mut socket = wire.with(token).subscribe(CHANGES, json!({})).await;
    socket.item().await.expect("it opens with a snapshot");
    socket
}

/// Somebody of Acme who is about to lose something.
struct Leaver {
    user: domain::inventory::user::User,
    token: domain::inventory::token::Token,
    secret: String,
}

impl Leaver {
    async fn join(world: &World, name: &str) -> Self {
        let (domain, admin) = (&world.domain, world.acme.admin());
        let grant = Some((Role::Analyst, Portfolio::Whole));
        let email = format!("{}@leaver.example", name.replace(' ', "-"));
        let new = NewUser { email, name: name.to_owned(), grant, platform_admin: false };
        let user = domain.user_create(admin, new).await.expect("the address is free");
        let system = Actor::system(world.acme.id, "test");
        let new = new_token(Holder::User(user.id));
        let (token, secret) = domain.token_create(&system, new).await.expect("members may have tokens");
        Self { user, token, secret: secret.reveal().to_owned() }
    }

    async fn change(&self, domain: &Domain, admin: &Actor, change: MembershipChange) {
        let membership = domain.memberships_of(admin, &[self.user.id]).await.expect("members are seen");
        let membership = &membership[&self.user.id];
        let changed = domain.membership_update(admin, membership.id, membership.version, change).await;
        changed.expect("an admin changes members");
    }
}

fn new_token(holder: Holder) -> NewToken {
    NewToken { holder: Some(holder), name: "test".to_owned(), scopes: None, life: None }
}

async fn robot(world: &World) -> (ServiceAccount, String) {
    let (domain, admin) = (&world.domain, world.acme.admin());
    let account = domain.service_account_create(admin, "robot", Role::Viewer, Portfolio::Whole).await;
    let account = account.expect("the name is free");
    let made = domain.token_create(admin, new_token(Holder::ServiceAccount(account.id))).await;
    let (_, secret) = made.expect("an admin makes tokens of accounts");
    (account, secret.reveal().to_owned())
}

/// Everything is taken away at another server, of which this one hears nothing but what it looks for.
async fn a_socket_ends_with_the_rights_of_its_caller(world: &World) {
    let admin = world.acme.admin();
    world.import_lines(&[line("a", "high")]).await;
    let wire = Wire::serve(&world.domain, Settings::default()).await;
    let other = world.start(1).await;
    let names =
        ["revoked", "given another role", "moved out", "given a portfolio", "disabled", "left as it is"];
    let mut people = Vec::new();
    for name in names {
        people.push(Leaver::join(world, name).await);
    }
    let (account, robots) = robot(world).await;
    let mut sockets = Vec::new();
    for person in &people {
        sockets.push(watching(&wire, &person.secret).await);
    }
    let mut robots = watching(&wire, &robots).await;
    let [revoked, another_role, moved, narrowed, disabled, stays] = &people[..] else { unreachable!() };

    other.token_revoke(admin, revoked.token.id).await.expect("an admin ends tokens");
    let viewer = MembershipChange { role: Some(Role::Viewer), portfolio: None };
    another_role.change(&other, admin, viewer).await;
    let membership = other.memberships_of(admin, &[moved.user.id]).await.expect("members are seen");
    let membership = &membership[&moved.user.id];
    other
        .membership_remove(admin, membership.id, membership.version)
        .await
        .expect("an admin removes members");
    let only = Portfolio::Only { projects: BTreeSet::from([world.acme.project]), teams: BTreeSet::new() };
    narrowed.change(&other, admin, MembershipChange { role: None, portfolio: Some(only) }).await;
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    other
        .user_update(admin, disabled.user.id, disabled.user.version, change)
        .await
        .expect("they are alone here");
    other
        .service_account_archive(admin, account.id, account.version)
        .await
        .expect("an admin archives accounts");

    let taken = Instant::now();
    let mut stays_open = sockets.pop().expect("the last one stays");
    let ends = sockets.iter_mut().zip(names).map(|(socket, name)| async move {
        assert_eq!(socket.hear().await, Heard::Closed(Some(4403)), "{name}");
        (name, taken.elapsed())
    });
    let (ends, robots) = tokio::join!(futures_util::future::join_all(ends), robots.hear());
    assert_eq!(robots, Heard::Closed(Some(4403)), "archived");
    for (name, took) in ends {
        tell(&format!("{:?}: the stream of one who was {name} ended after {took:.2?}", world.engine));
    }
    // Who lost nothing is told on; and who comes back has the rights of now.
    let wire = wire.with(&stays.secret);
    tag(&wire, &findings(&wire).await[0], "seen").await;
    assert_eq!(stays_open.item().await.expect("it goes on")["findingChanged"]["finding"]["title"], "a");
    let mut again = watching(&wire, &another_role.secret).await;
    tag(&wire, &findings(&wire).await[0], "seen again").await;
    assert!(again.item().await.is_some());

    // A token that ends while its stream is open, and one that is renewed before.
    let system = Actor::system(world.acme.id, "test");
    let life = Some(Span(60 * Span::SECOND.0));
    let short = NewToken { life, ..new_token(Holder::User(stays.user.id)) };
    let (_, short) = other.token_create(&system, short).await.expect("members may have tokens");
    let mut ends = watching(&wire, short.reveal()).await;
    let mut goes_on = watching(&wire, short.reveal()).await;
    goes_on.say(&json!({ "type": "ping", "payload": { "token": stays.secret } })).await;
    let Heard::Said(said) = goes_on.hear().await else { panic!("it is renewed") };
    assert_eq!((&said["type"], &said["payload"]["renewed"]), (&json!("pong"), &json!(true)));
    world.clock.advance(Span(61 * Span::SECOND.0));
    assert_eq!(ends.hear().await, Heard::Closed(Some(4403)));
    tag(&wire, &findings(&wire).await[0], "seen after all").await;
    assert!(goes_on.item().await.is_some());
}

/// The JSON of a value, in which bytes are JSON that was encoded before.
fn decoded(value: &Value) -> Json {
    match value {
        Value::Binary(bytes) => serde_json::from_slice(bytes).expect("it was encoded"),
        Value::List(items) => items.iter().map(decoded).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, member)| (name.to_string(), decoded(member)));
            Json::Object(members.collect())
        }
        leaf => leaf.clone().into_json().expect("a leaf is JSON"),
    }
}

async fn what_is_shared_is_what_each_would_be_told(world: &World) {
    const READERS: usize = 3;
    let acme = &world.acme;
    world.import_lines(&[line("a", "critical"), line("b", "low")]).await;
    let elsewhere = ImportRequest { project: acme.other_project, ..world.request("elsewhere") };
    let report = format!("{}\n{}\n", line("c", "critical"), line("d", "low"));
    world.import(acme.analyst(), elsewhere, &report).await;
    let wire = Wire::of(world, acme.person(Role::Author)).await;
    let plain = api::graphql::schema(world.domain.clone()).finish();
    let documents = [
        CHANGES,
        "subscription($filter: Criteria) { findingChanged(filter: $filter) { __typename
            ... on FindingChange { at finding { severity asset { name } project { name }
                assignees { users { name } teams { name } } viewerCan { edit { allowed reason } release { allowed } } } } } }",
        "subscription($filter: Criteria) { it: findingChanged(filter: $filter) { ...change } }
            fragment change on FindingChange { finding { b: title a: id audit(first: 1) { totalCount } tags @skip(if: true) } }",
    ];
    let filters =
        [json!({}), json!({ "filter": { "field": "severity", "operator": "eq", "value": "critical" } })];
    let people =
        [acme.person(Role::Viewer), acme.person(Role::Auditor), acme.person(Role::Analyst), &acme.narrow];
    // Of each document, filter and person: one stream by itself, and sockets.
    let mut streams = Vec::new();
    for document in documents {
        for variables in &filters {
            for person in people {
                let request = Request::new(document)
                    .variables(Variables::from_json(variables.clone()))
                    .data(person.actor.clone());
                let mut alone = plain.execute_stream(request);
                let mut sockets = Vec::new();
                for _ in 0..READERS {
                    sockets.push(wire.with(&person.token).subscribe(document, variables.clone()).await);
                }
                let opening = alone.next().await.expect("it opens with a snapshot");
                let opening = decoded(&opening.data);
                for socket in &mut sockets {
                    let Heard::Said(said) = socket.hear().await else { panic!("it opens") };
                    assert_eq!(said["payload"]["data"], opening);
                }
                streams.push((document, variables, person, alone, sockets));
            }
        }
    }
    let ids = findings(&wire).await;
    for edit in 0..6 {
        for (at, id) in ids.iter().enumerate() {
            tag(&wire, id, &format!("edit {edit}")).await;
            let (critical, elsewhere) = (at % 2 == 0, at >= 2);
            for (document, variables, person, alone, sockets) in &mut streams {
                if elsewhere && person.token == acme.narrow.token {
                    // It lies outside of what they see: had it been told, the next answer would be another.
                    continue;
                }
                let expected = alone.next().await.expect("it goes on");
                let errors = !expected.errors.is_empty();
                let expected = decoded(&expected.data);
                let text = expected.to_string();
                assert!(variables.get("filter").is_none() || critical || !text.contains("CHANGED"), "{text}");
                for socket in sockets {
                    let Heard::Said(said) = socket.hear().await else { panic!("it goes on") };
                    assert_eq!(said["payload"]["data"], expected, "{document}");
                    assert_eq!(said["payload"]["errors"].is_array(), errors, "{document}");
                }
            }
        }
    }
}

async fn a_stream_goes_on_at_the_next_server(world: &World) {
    const EDITS: usize = 60;
    world.import_lines(&[line("a", "high")]).await;
    let person = world.acme.person(Role::Author);
    let first = Wire::serve(&world.domain, Settings::default()).await.with(&person.token);
    let finding = findings(&first).await.remove(0);
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(first.subscribe(CHANGES, json!({})).await);
    }
    let mut seen: Vec<Vec<Json>> = Vec::new();
    for socket in &mut sockets {
        seen.push(vec![socket.item().await.expect("it opens")["findingChanged"].clone()]);
    }
    // The edits are made at a server of its own, so that they go on while the other stops.
    let editor = Wire::serve(&world.start(2).await, Settings::default()).await.with(&person.token);
    let edits = async {
        for edit in 0..EDITS {
            if edit == EDITS / 3 {
                first.stop();
            }
            tag(&editor, &finding, &format!("edit {edit}")).await;
        }
    };
    let reading = sockets.iter_mut().zip(&mut seen).map(|(socket, seen)| async move {
        loop {
            match socket.try_item().await {
                Ok(item) => seen.push(item.expect("it does not complete")["findingChanged"].clone()),
                Err(heard) => return assert_eq!(heard, Heard::Closed(Some(1001))),
            }
        }
    });
    tokio::join!(edits, futures_util::future::join_all(reading));
    drop(sockets);
    let second = Wire::serve(&world.start(1).await, Settings::default()).await.with(&person.token);
    for seen in &mut seen {
        let after = &seen.last().expect("it opened")["cursor"];
        let mut socket = second.subscribe(CHANGES, json!({ "after": after })).await;
        while seen.len() < EDITS + 1 {
            seen.push(socket.item().await.expect("it goes on")["findingChanged"].clone());
        }
        let cursors: BTreeSet<String> = seen.iter().map(|item| item["cursor"].to_string()).collect();
        assert_eq!(cursors.len(), EDITS + 1, "nothing twice");
        let tags = seen.last().expect("it went on")["finding"]["tags"].as_array().map(Vec::len);
        assert_eq!(tags, Some(EDITS), "and nothing else comes before the last");
    }
}

/// Knows whom the domain knows, and breaks at one token.
struct Brittle(DomainTokens);

impl Authenticate for Brittle {
    fn authenticate<'a>(&'a self, bearer: &'a str, origin: RequestOrigin) -> BoxFuture<'a, Result<Actor>> {
        match bearer {
            "broken" => async { Err(Error::internal("the tokens cannot be read")) }.boxed(),
            bearer => self.0.authenticate(bearer, origin),
        }
    }

    fn standing<'a>(&'a self, actors: &'a [Arc<Actor>]) -> BoxFuture<'a, Result<Vec<bool>>> {
        self.0.standing(actors)
    }
}

async fn graphql_ws_works_unchanged(world: &World) {
    let sockets = Sockets {
        init_time: Duration::from_secs(1),
        ping_every: Duration::from_millis(200),
        per_actor: 3,
        ..Sockets::default()
    };
    let settings = Settings { development: true, sockets, ..Settings::default() };
    let serve = async |address, domain: &Domain| {
        let tokens = Arc::new(Brittle(DomainTokens(domain.clone())));
        Wire::serve_at(address, domain, tokens, settings.clone()).await
    };
    world.import_lines(&[line("a", "high")]).await;
    let author = world.acme.person(Role::Author);
    let first = serve(([127, 0, 0, 1], 0).into(), &world.domain).await.with(&author.token);
    let finding = findings(&first).await.remove(0);
    let leaver = Leaver::join(world, "leaver").await;
    let tokens = "{ tokens { nodes { id } } }";
    let leaver_id =
        first.with(&leaver.secret).ask(tokens, json!({})).await["tokens"]["nodes"][0]["id"].clone();
    let flag = tempfile::tempdir().expect("a folder can be made");
    let stop = flag.path().join("stop");
    let address = first.address();
    let script = async {
        let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
        let arguments = [
            &address.to_string(),
            &author.token,
            &text(&finding),
            &leaver.secret,
            &text(&leaver_id),
            &world.acme.narrow.token,
            &stop.display().to_string(),
        ];
        node::run("sockets.mjs", &arguments.map(String::as_str)).await
    };
    // Where there is no Node.js nothing asks for the stop.
    let next = async {
        let end = Instant::now() + PATIENCE;
        while !stop.exists() {
            assert!(Instant::now() < end, "the script comes to the stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        first.stop();
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let domain = world.start(1).await;
        serve(address, &domain).await
    };
    let mut script = Box::pin(script);
    let said = tokio::select! {
        said = &mut script => said,
        second = next => {
            let said = script.await;
            drop(second);
            said
        }
    };
    let Some(said) = said else { return };
    let mut codes: Vec<&str> = said.iter().filter_map(|line| line.split(' ').next()).collect();
    codes.sort_unstable();
    let expected =
        ["1001", "1009", "4400", "4401", "4403", "4403", "4406", "4408", "4409", "4429", "4429", "4500"];
    assert_eq!(codes, expected, "{said:#?}");
    for line in &said {
        tell(&format!("{:?}: {line}", world.engine));
    }
}
