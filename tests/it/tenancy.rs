//! No company sees, counts or changes what is another's, and nobody what lies outside of a
//! portfolio: a walk through every field of the schema, over HTTP and sockets.
//!
//! Each field that takes ids is called with the id of a record out of sight and with one that
//! does not exist: the two answers are the same. Each other field answers the same before and
//! after the records out of sight came into being. Their texts are marked, and the marks appear
//! in no answer.

pub mod calls;
mod seed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use api::files::{export_path, upload_path};
use api::graphql::id::Noun;
use api::server::limits::Limits;
use api::server::settings::Settings;
use domain::access::{Actor, Permission, Role};
use domain::finding::edit::Edit;
use domain::inventory::token::NewToken;
use serde_json::{Value as Json, json};
use support::{Heard, Reply, Wire, World, on_both, tell};
use uuid::Uuid;

use calls::{Filling, Ids, Schema, codes, global, masked};

on_both!(nobody_reaches_what_is_not_theirs);

/// The marks of Acme's records: those that all of Acme sees, those in a project out of the narrow
/// member's portfolio, and those inside of it.
const WIDE: &str = "acmewide7";
const BOUND: &str = "acmebound7";
const INSIDE: &str = "acmeinside7";
/// The marks of Globex's.
const GLOBEX: &str = "globexown7";

/// What no answer to Globex may hold: nothing of Acme has another name.
const ACME: &[&str] = &["acmewide7", "acmebound7", "acmeinside7", "Acme ", "@acme.example"];

/// Fields that are not walked as all others are, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("Query.node", "its id is of any noun: it is called with the records of every one"),
    ("Query.ruleBacktested", "backtests have ids of no noun: others' are asked for where they are tested"),
    ("Query.rulePreviewed", "previews have ids of no noun: others' are asked for where they are tested"),
    ("Query.ruleRevokePreviewed", "the same holds for previews of a revoke"),
    (
        "Query.rulePreviewExplanation",
        "previews have ids of no noun: others' are asked for where they are tested",
    ),
];

/// Fields whose answer to Acme's admin holds no mark, so that their silence to others proves little:
/// they tell of the server, of the caller, or of what the caller sent.
const UNMARKED: &[&str] = &[
    "changePolicy",
    // No rule of theirs would be gated; the acceptances are counted.
    "changePolicyConformance",
    "company",
    "companies",
    "criteriaSchema",
    "criteriaSentence",
    "eventTypes",
    "importPreview",
    "intelFeeds",
    "reportFormats",
    // They tell of findings that their criteria hold for: whose those are is tested with previews.
    "ruleAffected",
    "ruleBacktest",
    "ruleBuilder",
    "rulePreview",
    // Its rows are edges, which are not read: it is tested where revokes are.
    "ruleRevokePreview",
    "ruleTest",
    "ruleValidate",
    // The narrow member may rename the company's mappings, and has when it is looked.
    "savedMapping",
    "savedMappings",
    "serverInfo",
    // Shipped with the server.
    "suggestedRules",
    // The caller's own.
    "sessions",
    "viewer",
];

/// Mutations that Acme's admin has no right to: the platform's.
const PLATFORM: &[&str] = &["companyCreate", "membershipCreate"];

/// Fields that a narrow member reads without the right to the audit.
const SHUT: &[&str] = &["Finding.audit"];

/// The nouns that lie in portfolios.
const BOUND_NOUNS: &[Noun] = &[
    Noun::Project,
    Noun::Asset,
    Noun::Scan,
    Noun::Finding,
    Noun::Comment,
    Noun::Job,
    Noun::Acceptance,
    Noun::ChangeRequest,
    Noun::RuleApplication,
    Noun::RuleExemption,
];

const CHANGES: &str = "subscription { findingChanged { __typename
    ... on FindingSnapshot { cursor } ... on FindingChange { delta finding { id title } } } }";

/// Somebody who walks.
struct Walker<'a> {
    schema: &'a Schema,
    wire: Wire,
    shut: &'a [&'a str],
    /// What no answer may hold.
    hidden: &'a [&'a str],
    /// What the walker may name.
    own: &'a Ids,
    figures: &'a Figures,
}

/// What was tried.
#[derive(Default)]
struct Figures {
    calls: AtomicU64,
    ids: AtomicU64,
}

/// A number that makes names unique; masked like every id.
fn nonce() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u128(0xFEED << 64 | u128::from(NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Ids of nothing.
fn missing() -> Ids {
    Noun::ALL.iter().map(|noun| (noun.name(), Uuid::from_u128(7))).collect()
}

impl Walker<'_> {
    fn filling(&self) -> Filling<'_> {
        Filling { own: self.own, odd: None, search: BOUND, member: 0, bare: false, nonce: nonce() }
    }

    /// What the server answers to a call, which holds nothing hidden.
    async fn call(&self, root: &str, field: &str, filling: Filling<'_>) -> Reply {
        let call = self.schema.call(root, field, self.shut, filling);
        let (status, body) = self.wire.reply(&call.query, &call.variables).await;
        self.figures.calls.fetch_add(1, Ordering::Relaxed);
        self.assert_blind(field, &body);
        for code in ["GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED", "LIMIT_EXCEEDED", "INTERNAL"] {
            assert!(!codes(&body).contains(code), "{field}: {body}\n{}\n{}", call.query, call.variables);
        }
        (status, body)
    }

    fn assert_blind(&self, field: &str, body: &str) {
        let seen = self.hidden.iter().find(|mark| body.contains(**mark));
        assert!(seen.is_none(), "{field} shows {seen:?}: {body}");
    }

    /// The nouns of a field's ids, for each form of its input.
    fn slots(&self, root: &str, field: &str) -> Vec<(usize, Vec<Noun>)> {
        let forms = 0..self.schema.members(root, field);
        let slots =
            |member| self.schema.call(root, field, self.shut, Filling { member, ..self.filling() }).slots;
        forms.map(|member| (member, slots(member))).collect()
    }

    /// Calls a field with each of its ids in turn out of sight, and not there: no difference. The
    /// caller's own records stand in the other places.
    async fn cannot_tell(&self, root: &str, field: &str, hidden: &Ids, nouns: &[Noun]) {
        for (member, slots) in self.slots(root, field) {
            for (place, noun) in slots.into_iter().enumerate().filter(|(_, noun)| nouns.contains(noun)) {
                let nothing = missing();
                let mut answers = Vec::new();
                for odd in [&nothing, hidden] {
                    let filling = Filling { odd: Some((place, odd)), member, ..self.filling() };
                    let (status, body) = self.call(root, field, filling).await;
                    answers.push((status, masked(&body)));
                }
                assert_eq!(answers[0], answers[1], "{root}.{field} tells of a {} (id {place})", noun.name());
                self.figures.ids.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// What every query answers that is asked for nothing by its id.
    async fn view(&self) -> BTreeMap<String, String> {
        let mut view = BTreeMap::new();
        for field in self.schema.fields("Query").iter().filter(|field| !is_excepted("Query", field)) {
            for bare in [true, false] {
                let (_, body) = self.call("Query", field, Filling { bare, ..self.filling() }).await;
                view.insert(format!("{field}, bare: {bare}"), masked(&body));
            }
        }
        view
    }

    /// `node` of every record, and of none.
    async fn nodes(&self, hidden: &Ids, jobs: &[Uuid], entry: Option<i64>, nouns: &[Noun]) {
        let mut ids: Vec<String> = jobs.iter().map(|job| global(Noun::Job, *job)).collect();
        let known = nouns.iter().filter_map(|noun| Some(global(*noun, *hidden.get(noun.name())?)));
        ids.extend(known);
        ids.extend(entry.map(|entry| Noun::AuditEntry.numbered(entry).to_string()));
        for id in ids {
            let answer = self.wire.reply(NODE, &json!({ "id": id })).await;
            assert_eq!(answer, (200, json!({ "data": { "node": null } }).to_string()));
            self.figures.ids.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The subscriptions that take an id.
    async fn subscriptions(&self, hidden: &Ids) {
        for field in self.schema.fields("Subscription") {
            for (_, slots) in self.slots("Subscription", &field) {
                for place in (0..slots.len()).filter(|place| slots[*place] == Noun::Job) {
                    let mut heard = Vec::new();
                    for odd in [&missing(), hidden] {
                        let filling = Filling { odd: Some((place, odd)), ..self.filling() };
                        let call = self.schema.call("Subscription", &field, self.shut, filling);
                        let mut socket = self.wire.subscribe(&call.query, call.variables).await;
                        let Heard::Said(said) = socket.hear().await else { panic!("the socket stays open") };
                        self.assert_blind(&field, &said.to_string());
                        heard.push(masked(&said.to_string()));
                    }
                    assert_eq!(heard[0], heard[1], "Subscription.{field}");
                    assert!(heard[0].contains("NOT_FOUND"), "Subscription.{field}: {}", heard[0]);
                    self.figures.ids.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// The paths of files.
    async fn files(&self, jobs: &[Uuid]) {
        let nothing = Uuid::from_u128(7);
        let uploaded = self.wire.try_put(&upload_path(nothing), "{}".into()).await.unwrap();
        let fetched = self.wire.get(&export_path(nothing)).await;
        assert_eq!((uploaded.0, fetched.0), (404, 404));
        for job in jobs {
            assert_eq!(self.wire.try_put(&upload_path(*job), "{}".into()).await.unwrap(), uploaded);
            assert_eq!(self.wire.get(&export_path(*job)).await, fetched);
            self.figures.ids.fetch_add(2, Ordering::Relaxed);
        }
    }

    /// Takes out all that the walker may see, and returns it.
    async fn export(&self) -> String {
        let asked = "mutation { findingExport { url userErrors { code } } }";
        let url = self.wire.done(asked, json!({})).await["url"].clone();
        let (status, file) = self.wire.get(url.as_str().unwrap()).await;
        assert_eq!(status, 200);
        self.assert_blind("findingExport", &file);
        file
    }
}

const NODE: &str = "query($id: ID!) { node(id: $id) { __typename id } }";

fn is_excepted(root: &str, field: &str) -> bool {
    EXCEPTIONS.iter().any(|(name, _)| *name == format!("{root}.{field}"))
}

/// The records in the project out of the portfolio, as Acme's admin reads them.
async fn bound_records(admin: &Wire, project: &str) -> Json {
    let query = "query($filter: Criteria, $mark: String, $project: ID) {
        findings(filter: $filter) { totalCount nodes {
            id title version status severity tags updatedAt comments { id } assignees { users { id } } } }
        assets(filter: { query: $mark, archived: null }) { nodes { id name version archivedAt } }
        projects(filter: { query: $mark, archived: null }) { nodes { id name version archivedAt } }
        scans(filter: { project: $project }) { nodes { id name version archivedAt status } }
        jobs(filter: { project: $project }) { nodes { id state counts { name count } } } }";
    admin.ask(query, json!({ "filter": seed::title(BOUND), "mark": BOUND, "project": project })).await
}

async fn token(world: &World, actor: &Actor, scope: Permission) -> String {
    let new = NewToken { holder: None, name: "least".into(), scopes: Some(vec![scope]), life: None };
    world.domain.token_create(actor, new).await.unwrap().1.reveal().to_owned()
}

async fn nobody_reaches_what_is_not_theirs(world: &World) {
    let limits = Limits {
        tokens: 1_000_000,
        selections: 1_000_000,
        complexity: u64::MAX / 2,
        aliases: 1_000,
        ..Limits::default()
    };
    let server =
        Wire::serve(&world.domain, Settings { development: true, limits, ..Settings::default() }).await;
    let schema = Schema::of(&server.with(&world.acme.person(Role::Admin).token)).await;
    let stale: Vec<_> = EXCEPTIONS
        .iter()
        .filter(|(name, _)| {
            let (root, field) = name.split_once('.').unwrap();
            !schema.fields(root).iter().any(|one| one == field)
        })
        .collect();
    assert!(stale.is_empty(), "these exceptions are of no field: {stale:?}");

    // What each walker may name, and what each sees before the others' records are there.
    let (mut globex, _) = {
        let wide = seed::wide(world, &world.globex, GLOBEX).await;
        let (bound, jobs) = seed::bound(world, &world.globex, None, GLOBEX).await;
        (wide.into_iter().chain(bound).collect::<Ids>(), jobs)
    };
    globex.insert("Company", world.globex.id);
    let figures = Figures::default();
    let (walked, narrow_figures) = (Figures::default(), Figures::default());
    let stranger = Walker {
        schema: &schema,
        wire: server.with(&world.globex.person(Role::Admin).token),
        shut: &[],
        hidden: ACME,
        own: &globex,
        figures: &walked,
    };
    let strangers_view = stranger.view().await;
    let mut acme = seed::wide(world, &world.acme, WIDE).await;
    let (inside, _) = seed::bound(world, &world.acme, Some(world.acme.project), INSIDE).await;
    let narrow_own: Ids = acme.clone().into_iter().chain(inside.clone()).collect();
    let narrow = Walker {
        schema: &schema,
        wire: server.with(&world.acme.narrow.token),
        shut: SHUT,
        hidden: &[BOUND],
        own: &narrow_own,
        figures: &narrow_figures,
    };
    let narrows_view = narrow.view().await;
    let mut watching = Vec::new();
    for walker in [&stranger, &narrow] {
        let mut socket = walker.wire.subscribe(CHANGES, json!({})).await;
        assert_eq!(socket.item().await.unwrap()["findingChanged"]["__typename"], "FindingSnapshot");
        watching.push((walker, socket));
    }
    let (bound, jobs) = seed::bound(world, &world.acme, None, BOUND).await;
    acme.extend(bound.clone());
    assert_same_view("Globex", &strangers_view, &stranger.view().await);
    assert_same_view("the narrow member", &narrows_view, &narrow.view().await);

    // What one watches tells of one's own alone.
    let tag = || Edit::Tag { add: vec!["sentinel".into()], remove: vec![] };
    world.domain.finding_edit(world.globex.admin(), globex["Finding"], None, tag()).await.unwrap();
    world.domain.finding_edit(world.acme.admin(), inside["Finding"], None, tag()).await.unwrap();
    for (walker, mut socket) in watching {
        let item = socket.item().await.unwrap();
        walker.assert_blind("findingChanged", &item.to_string());
        assert_eq!(item["findingChanged"]["finding"]["id"], global(Noun::Finding, walker.own["Finding"]));
    }

    let admin = server.with(&world.acme.person(Role::Admin).token);
    let project = global(Noun::Project, bound["Project"]);
    let records = bound_records(&admin, &project).await;
    assert_eq!(records["findings"]["totalCount"], 4);
    let ledger = world.ledger().await;
    let entry = seed::newest_entry(world, world.acme.admin()).await;
    assert!(entry > seed::newest_entry(world, world.globex.admin()).await, "Acme has more to tell");

    // Another company's admin.
    stranger.nodes(&acme, &jobs, Some(entry), Noun::ALL).await;
    for root in ["Query", "Mutation"] {
        for field in schema.fields(root).iter().filter(|field| !is_excepted(root, field)) {
            stranger.cannot_tell(root, field, &acme, Noun::ALL).await;
        }
    }
    stranger.subscriptions(&acme).await;
    stranger.files(&jobs).await;
    assert!(stranger.export().await.contains(GLOBEX));
    for field in schema.fields("Mutation") {
        for member in 0..schema.members("Mutation", &field) {
            stranger.call("Mutation", &field, Filling { member, ..stranger.filling() }).await;
        }
    }
    assert_eq!(world.ledger().await, ledger, "Globex wrote into Acme's ledger");
    assert_eq!(bound_records(&admin, &project).await, records);

    // A member whose portfolio does not cover the records.
    let jobs_of_project = &jobs[..2];
    for root in ["Query", "Mutation"] {
        for field in schema.fields(root).iter().filter(|field| !is_excepted(root, field)) {
            narrow.cannot_tell(root, field, &bound, BOUND_NOUNS).await;
        }
    }
    narrow.nodes(&bound, &jobs, None, BOUND_NOUNS).await;
    narrow.subscriptions(&bound).await;
    narrow.files(jobs_of_project).await;
    assert!(narrow.export().await.contains(INSIDE));
    for field in schema.fields("Mutation") {
        for member in 0..schema.members("Mutation", &field) {
            narrow.call("Mutation", &field, Filling { member, ..narrow.filling() }).await;
        }
    }
    assert_eq!(bound_records(&admin, &project).await, records);

    // A token that may read writes nothing, and one that may not read reads nothing.
    let ledger = world.ledger().await;
    let reading = token(world, world.acme.admin(), Permission::Read).await;
    let viewing = token(world, world.acme.admin(), Permission::EditViews).await;
    let ledger = (ledger.0 + 2, ledger.1);
    let reader = Walker {
        wire: server.with(&reading),
        shut: &[],
        hidden: &[],
        own: &acme,
        figures: &figures,
        schema: &schema,
    };
    for field in schema.fields("Mutation") {
        for member in 0..schema.members("Mutation", &field) {
            let (_, body) = reader.call("Mutation", &field, Filling { member, ..reader.filling() }).await;
            // Anybody may end a token of their own; others' are out of sight.
            let code = if field == "tokenRevoke" { "NOT_FOUND" } else { "FORBIDDEN" };
            assert_eq!(codes(&body), BTreeSet::from([code.to_owned()]), "{field}: {body}");
        }
    }
    let uploaded = reader.wire.try_put(&upload_path(jobs[0]), "{}".into()).await.unwrap();
    assert_eq!((uploaded.0, reader.wire.get(&export_path(jobs[3])).await.0), (403, 403));
    assert_eq!(world.ledger().await, ledger);
    let blind = Walker { wire: server.with(&viewing), hidden: ACME, ..reader };
    for field in schema.fields("Query").iter().filter(|field| !is_excepted("Query", field)) {
        for bare in [true, false] {
            blind.call("Query", field, Filling { bare, ..blind.filling() }).await;
        }
    }
    for (noun, id) in &acme {
        let noun = Noun::ALL.iter().find(|one| one.name() == *noun).unwrap();
        let (_, body) = blind.wire.reply(NODE, &json!({ "id": global(*noun, *id) })).await;
        assert_eq!(codes(&body), BTreeSet::from(["FORBIDDEN".to_owned()]), "{noun:?}: {body}");
    }

    without_a_token(&schema, &server, &acme, &jobs).await;
    assert_eq!(world.ledger().await, ledger);
    within_sight(&schema, &admin, &acme, &figures).await;

    let count = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
    tell(&format!(
        "tenancy on {:?}: {} queries, {} mutations and {} subscriptions, {} exceptions; {} calls and {} foreign ids by \
         another company, {} and {} out of a portfolio",
        world.engine,
        schema.fields("Query").len(),
        schema.fields("Mutation").len(),
        schema.fields("Subscription").len(),
        EXCEPTIONS.len(),
        count(&walked.calls),
        count(&walked.ids),
        count(&narrow_figures.calls),
        count(&narrow_figures.ids),
    ));
}

fn assert_same_view(who: &str, before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
    for (field, before) in before {
        assert_eq!(before, &after[field], "{field} tells {who} of what is out of sight");
    }
}

/// Nothing is answered without a token: by no field, on no socket, at no path.
async fn without_a_token(schema: &Schema, server: &Wire, ids: &Ids, jobs: &[Uuid]) {
    let nobody = server.nobody();
    let filling = Filling { own: ids, odd: None, search: BOUND, member: 0, bare: false, nonce: nonce() };
    for root in ["Query", "Mutation"] {
        for field in schema.fields(root).iter().filter(|field| !is_excepted(root, field)) {
            let call = schema.call(root, field, &[], filling);
            for wire in [&nobody, &server.with("cst_nobody")] {
                let (status, body) = wire.reply(&call.query, &call.variables).await;
                assert_eq!(status, 401, "{root}.{field}");
                let answer: Json = serde_json::from_str(&body).unwrap();
                assert_eq!(answer["data"], Json::Null, "{root}.{field}");
                assert_eq!(codes(&body), BTreeSet::from(["UNAUTHENTICATED".to_owned()]), "{root}.{field}");
            }
        }
    }
    for field in schema.fields("Subscription") {
        let call = schema.call("Subscription", &field, &[], filling);
        let mut socket = nobody.socket().await;
        socket.subscribe(&call.query, call.variables).await;
        assert_eq!(socket.hear().await, Heard::Closed(Some(4401)), "{field}");
    }
    for payload in [Json::Null, json!({}), json!({ "token": "cst_nobody" })] {
        let mut socket = nobody.socket().await;
        socket.say(&json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.hear().await, Heard::Closed(Some(4403)), "{payload}");
    }
    for job in jobs {
        assert_eq!(nobody.try_put(&upload_path(*job), "{}".into()).await.unwrap().0, 401);
        assert_eq!(nobody.get(&export_path(*job)).await.0, 401);
    }
}

/// The same calls by who may: every query shows marks, and every mutation finds its records. So the
/// calls are in order, and the silence of the others' is not that of a mistake.
async fn within_sight(schema: &Schema, admin: &Wire, ids: &Ids, figures: &Figures) {
    let all = Walker { schema, wire: admin.clone(), shut: &[], hidden: &[], own: ids, figures };
    let mut silent = BTreeSet::new();
    for field in schema.fields("Query").iter().filter(|field| !is_excepted("Query", field)) {
        let mut seen = false;
        for bare in [true, false] {
            let (_, body) = all.call("Query", field, Filling { bare, search: WIDE, ..all.filling() }).await;
            assert_eq!(codes(&body), BTreeSet::new(), "{field}: {body}");
            seen |= [WIDE, BOUND, INSIDE].iter().any(|mark| body.contains(mark));
        }
        if !seen {
            silent.insert(field.clone());
        }
    }
    assert_eq!(silent, UNMARKED.iter().map(|field| (*field).to_owned()).collect());
    for (noun, id) in ids {
        let noun = Noun::ALL.iter().find(|one| one.name() == *noun).unwrap();
        let found = admin.ask(NODE, json!({ "id": global(*noun, *id) })).await;
        assert_eq!(found["node"]["id"], global(*noun, *id));
    }
    // What takes records away comes last.
    let takes = |field: &str| {
        ["Remove", "Delete", "Revoke", "Cancel", "End", "Clear"].iter().any(|word| field.ends_with(word))
    };
    let mut fields = schema.fields("Mutation");
    fields.sort_by_key(|field| (takes(field), field.starts_with("importCancel")));
    let mut refused = BTreeSet::new();
    for field in fields {
        for member in 0..schema.members("Mutation", &field) {
            let (_, body) = all.call("Mutation", &field, Filling { member, ..all.filling() }).await;
            let codes = codes(&body);
            assert!(!codes.contains("NOT_FOUND") && !codes.contains("INVALID"), "{field}: {body}");
            if codes.contains("FORBIDDEN") {
                refused.insert(field.clone());
            }
        }
    }
    assert_eq!(refused, PLATFORM.iter().map(|field| (*field).to_owned()).collect());
}
