//! The predicate language: the same trees in memory and in SQL, over findings that came in through
//! the domain's own doors.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::access::Actor;
use domain::error::Code;
use domain::finding::edit::Edit;
use domain::finding::facts::{Facts, Finding};
use domain::finding::query::{Count, FindingOrder};
use domain::intel::feed::Feed;
use domain::inventory::asset::{Asset, AssetChange};
use domain::job::JobState;
use domain::page::PageArgs;
use domain::vocabulary::criteria::{Compiled, Criteria};
use domain::vocabulary::field::Field;
use domain::vocabulary::field::finding::FINDING;
use domain::vocabulary::kind::ValueKind;
use domain::vocabulary::operator::{Arity, Operator};
use domain::vocabulary::terms::{Criticality, Environment, FindingClass, Severity, Status, Term};
use proptest::prelude::Strategy;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value as Json, json};
use support::trees::{NUMBERS, TEXTS, TIMES, runner, tree};
use support::{NOW, World, finished, on_both};
use uuid::Uuid;

/// How many trees each database is asked, unless `COUNTERSIGN_TREES` says.
const TREES: usize = 1_500;
const FINDINGS: usize = 240;
const ASSETS: usize = 24;

on_both!(sql_and_memory_find_the_same);

/// Draws from random sources.
struct Dice(TestRunner);

impl Dice {
    fn of<S: Strategy>(&mut self, strategy: S) -> S::Value {
        strategy.new_tree(&mut self.0).expect("nothing is rejected").current()
    }

    fn below(&mut self, end: usize) -> usize {
        self.of(0..end)
    }

    /// One of them, or none one time out of four.
    fn maybe<T: Clone + std::fmt::Debug + 'static>(&mut self, of: &'static [T]) -> Option<T> {
        (self.below(4) > 0).then(|| self.of(select(of)))
    }

    fn some(&mut self, of: &'static [&'static str], most: usize) -> Vec<String> {
        (0..self.below(most + 1)).map(|_| self.of(select(of)).to_owned()).collect()
    }
}

/// A line of the report: what `mapping()` reads, with values that trees are likely to ask for.
fn line(dice: &mut Dice, at: usize) -> Json {
    let mut line = Map::new();
    line.insert("scanner_reference".to_owned(), json!(format!("ref-{at}")));
    line.insert("asset".to_owned(), json!(format!("asset {}", dice.below(ASSETS))));
    line.insert("title".to_owned(), json!(dice.of(select(TEXTS))));
    line.insert("severity".to_owned(), json!(dice.of(select(Severity::WORDS))));
    line.insert("class".to_owned(), json!(dice.of(select(FindingClass::WORDS))));
    for text in [
        "description",
        "scanner_category",
        "vulnerability_type",
        "endpoint",
        "file_path",
        "component_name",
        "component_version",
        "component_purl",
    ] {
        // An empty text is missing too.
        let word = dice.maybe(TEXTS).unwrap_or_default();
        line.insert(text.to_owned(), json!(word));
    }
    let within = |dice: &mut Dice, most: f64| dice.maybe(NUMBERS).filter(|n| (0.0..=most).contains(n));
    line.insert("cvss_score".to_owned(), json!(within(dice, 10.0)));
    line.insert("epss_score".to_owned(), json!(within(dice, 1.0)));
    line.insert("port".to_owned(), json!(dice.maybe(&[1, 22, 443, 65_535])));
    line.insert("known_exploit".to_owned(), json!(dice.maybe(&[true, false])));
    line.insert("fix_available".to_owned(), json!(dice.maybe(&[true, false])));
    line.insert("cve_ids".to_owned(), json!(dice.some(&["CVE-2021-44228", "CVE-2022-0778"], 2)));
    line.insert("cwe_ids".to_owned(), json!(dice.some(&["CWE-79", "CWE-89"], 2)));
    line.insert("tags".to_owned(), json!(dice.some(TEXTS, 3)));
    line.insert("first_seen_at".to_owned(), json!(dice.maybe(&TIMES[..6])));
    Json::Object(line)
}

/// Feeds say what only they can.
async fn inform(world: &World) {
    let kev = r#"{ "vulnerabilities": [
        { "cveID": "CVE-2021-44228", "dueDate": "2021-12-24", "knownRansomwareCampaignUse": "Known" },
        { "cveID": "CVE-2022-0778", "dueDate": "2026-12-01" } ] }"#;
    let epss = "cve,epss,percentile\nCVE-2021-44228,0.25,0.5\nCVE-2022-0778,0.125,0.25\n";
    for (feed, file) in [(Feed::Kev, kev), (Feed::Epss, epss)] {
        let admin = world.acme.admin();
        let job = world.domain.intel_load_start(admin, feed, "feed").await.expect("the load is in order");
        let mut incoming =
            world.domain.import_upload(admin, job.id).await.expect("the load waits for its file");
        incoming.write(file.as_bytes()).await.expect("the file is small enough");
        incoming.finish().await.expect("the file was received");
        let ended = finished(&world.domain, admin, job.id).await;
        assert_eq!(ended.state, JobState::Completed, "{:?}", ended.error);
    }
}

/// Findings with everything that the product can write of them, in both projects.
async fn populate(world: &World, dice: &mut Dice) {
    for project in [world.acme.project, world.acme.other_project] {
        let lines: Vec<String> = (0..FINDINGS / 2).map(|at| line(dice, at).to_string()).collect();
        let mut request = world.request("trees");
        request.project = project;
        let outcome = world.import(world.acme.analyst(), request, &lines.join("\n")).await;
        assert_eq!(outcome.counts(), [FINDINGS as i64 / 2, 0, 0, 0]);
    }
    inform(world).await;
    let actor = world.acme.analyst();
    let mut assets: BTreeSet<Uuid> = BTreeSet::new();
    for finding in world.findings(actor, None).await {
        assets.insert(finding.asset);
        let people = [world.acme.analyst().id, world.acme.author().id];
        let edit = match dice.below(6) {
            0 => {
                Edit::SetStatus { status: dice.of(select(Status::ALL)), reason: Some("as diced".to_owned()) }
            }
            1 => Edit::SetSeverity { severity: dice.of(select(Severity::ALL)), reason: None },
            2 => Edit::Tag { add: vec!["pci".to_owned()], remove: vec!["a".to_owned(), "b".to_owned()] },
            3 => Edit::Assign {
                add_users: people[..=dice.below(2)].to_vec(),
                add_teams: vec![world.acme.team; dice.below(2)],
                remove_users: Vec::new(),
                remove_teams: Vec::new(),
            },
            _ => continue,
        };
        world.edit(finding.id, edit).await;
    }
    for id in assets {
        let change = AssetChange {
            kind: Some(dice.maybe(TEXTS).map(|text| text.replace('\n', " "))),
            class: Some(dice.maybe(TEXTS).map(|text| text.replace('\n', " "))),
            groups: Some(dice.some(&["dmz", "é", "a", "PCI"], 3)),
            criticality: Some(dice.maybe(Criticality::ALL)),
            environment: Some(dice.maybe(Environment::ALL)),
            internet_exposed: Some(dice.maybe(&[true, false])),
            tags: Some(dice.some(&["pci", "A", "straße", "%"], 3)),
            ..AssetChange::default()
        };
        world.domain.asset_update(actor, id, 1, change).await.expect("the asset can be changed");
    }
    let technique = json!({ "type": "set_remediation", "config": { "techniques": ["a", "PCI"] } });
    let high = json!({ "field": "severity", "operator": "gte_ord", "value": "high" });
    world.rule("Techniques", 1, high, technique).await;
    world.sweep().await;
}

/// What is compared: every finding with its asset.
struct Data {
    findings: Vec<Finding>,
    assets: HashMap<Uuid, Asset>,
}

impl Data {
    async fn read(world: &World, actor: &Actor) -> Self {
        let findings = world.findings(actor, None).await;
        let ids: Vec<Uuid> = findings.iter().map(|finding| finding.asset).collect();
        let assets = world.domain.assets_by_id(actor, &ids).await.expect("assets can be read");
        Self { findings, assets }
    }

    fn matching(&self, tree: &Compiled) -> BTreeSet<Uuid> {
        let holds = |finding: &&Finding| {
            let facts = Facts { finding, asset: &self.assets[&finding.asset], shown: &finding.shown };
            tree.matches(&facts, NOW).is_true()
        };
        self.findings.iter().filter(holds).map(|finding| finding.id).collect()
    }
}

async fn sql_and_memory_find_the_same(world: &World) {
    let mut dice = Dice(runner(1));
    populate(world, &mut dice).await;
    let actor = world.acme.analyst().clone();
    let data = Arc::new(Data::read(world, &actor).await);
    assert_eq!(data.findings.len(), FINDINGS);
    let trees = std::env::var("COUNTERSIGN_TREES").ok().and_then(|trees| trees.parse().ok()).unwrap_or(TREES);
    let ids =
        [world.acme.project, world.acme.id, world.acme.analyst().id, world.acme.author().id, world.acme.team];
    let fields: Vec<&'static Field> = FINDING.fields.iter().collect();
    let forest = tree(&fields, &ids);
    let trees: Vec<Json> = (0..trees).map(|_| dice.of(&forest)).collect();
    let trees = Arc::new(trees);
    let next = Arc::new(AtomicUsize::new(0));
    let partial = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (domain, actor) = (world.domain.clone(), actor.clone());
            let (data, trees) = (Arc::clone(&data), Arc::clone(&trees));
            let (next, partial) = (Arc::clone(&next), Arc::clone(&partial));
            tokio::spawn(async move {
                while let Some(tree) = trees.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let filter = domain.finding_filter(Some(tree)).expect("the tree is well formed");
                    let criteria = Criteria::parse(&FINDING, tree).expect("the tree is well formed");
                    let wanted = data.matching(&Compiled::new(&criteria));
                    let order = (FindingOrder::LastSeen, false);
                    let page = domain.findings(&actor, &filter, order, &PageArgs::first(500)).await;
                    let page = page.unwrap_or_else(|error| panic!("{tree}: {error}"));
                    let found: BTreeSet<Uuid> = page.nodes().map(|finding| finding.id).collect();
                    let odd: Vec<&Uuid> = found.symmetric_difference(&wanted).collect();
                    assert!(odd.is_empty(), "{tree}: SQL and memory differ on {odd:?}");
                    let count = domain.finding_count(&actor, &filter).await;
                    let count = count.unwrap_or_else(|error| panic!("{tree}: {error}"));
                    assert_eq!(count, Count::Exact(wanted.len() as i64), "{tree}");
                    let some = !wanted.is_empty() && wanted.len() < data.findings.len();
                    partial.fetch_add(usize::from(some), Ordering::Relaxed);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("SQL and memory agree");
    }
    let partial = partial.load(Ordering::Relaxed);
    support::tell(&format!(
        "{:?}: {} trees on {FINDINGS} findings in SQL and in memory, no difference; {partial} found some but not all",
        world.engine,
        trees.len()
    ));
    assert!(partial > trees.len() / 4, "the trees tell findings apart");
    assert_fields_vary(&data);
}

/// Every field that the product can write has values here, and more than one.
fn assert_fields_vary(data: &Data) {
    use domain::vocabulary::criteria::Subject;

    /// Nothing writes these yet: service levels, and code lists that no action sets.
    const UNWRITTEN: &[&str] = &["sla_breached", "due_at", "effects", "root_causes", "attack_techniques"];
    /// The company is the actor's own.
    const CONSTANT: &[&str] = &["company", "scanner_source", "last_seen_at"];
    let mut values: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for finding in &data.findings {
        let facts = Facts { finding, asset: &data.assets[&finding.asset], shown: &finding.shown };
        for (at, field) in FINDING.fields.iter().enumerate() {
            let value = facts.read(at).expect("every field can be read").to_json(field.kind);
            values.entry(field.key).or_default().insert(value.to_string());
        }
    }
    for (field, values) in values {
        let constant = UNWRITTEN.contains(&field) || CONSTANT.contains(&field);
        assert_eq!(values.len() == 1, constant, "{field}: {values:?}");
    }
}

/// Every way in which a leaf can be wrong, for every field: each is refused, and the refusal points
/// to the place.
#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    let mut tried = 0;
    let mut refused = |leaf: Json, member: &str, code: Code| {
        // The leaf is the second of a group inside of a group.
        let good = json!({ "field": "title", "operator": "is_not_empty" });
        let tree = json!({ "logic": "AND", "conditions": [
            good, { "logic": "OR", "conditions": [good, leaf] },
        ]});
        let faults = Criteria::parse(&FINDING, &tree).expect_err(&format!("{leaf} does not fit"));
        let pointer = format!("/conditions/1/conditions/1{member}");
        assert!(
            faults.iter().all(|fault| fault.pointer.starts_with(&pointer) && fault.code == code),
            "{leaf}: {faults:?}"
        );
        tried += 1;
    };
    for field in FINDING.fields {
        for operator in Operator::ALL {
            let leaf = |value: Json| json!({ "field": field.key, "operator": operator, "value": value });
            if !operator.fits(field.kind) {
                refused(leaf(json!("a")), "/operator", Code::CriteriaInvalid);
                continue;
            }
            let kind = operator.value_kind(field.kind);
            for wrong in wrong_values(kind) {
                let wrong = if operator.arity() == Arity::Many { json!([wrong]) } else { wrong };
                refused(leaf(wrong), "/value", Code::CriteriaInvalid);
            }
            match operator.arity() {
                Arity::None => {}
                Arity::One => refused(leaf(json!([])), "/value", Code::CriteriaInvalid),
                Arity::Many => {
                    refused(leaf(json!({})), "/value", Code::CriteriaInvalid);
                    refused(leaf(json!([])), "/value", Code::CriteriaInvalid);
                }
            }
        }
        let unknown = json!({ "field": field.key, "operator": "resembles", "value": "a" });
        refused(unknown, "/operator", Code::CriteriaInvalid);
    }
    refused(json!({ "field": "colour", "operator": "eq", "value": "a" }), "/field", Code::CriteriaInvalid);
    refused(json!({ "logic": "AND", "conditions": [] }), "", Code::CriteriaEmpty);
    let good = json!({ "field": "title", "operator": "is_not_empty" });
    refused(json!({ "logic": "XOR", "conditions": [good] }), "/logic", Code::CriteriaInvalid);
    support::tell(&format!("{tried} leaves that do not fit: each refused, with its place"));
}

/// Values that are not of this kind.
fn wrong_values(kind: ValueKind) -> Vec<Json> {
    let object = json!({ "a": 1 });
    match kind {
        ValueKind::Nothing => vec![],
        ValueKind::Text | ValueKind::Code => vec![json!(1), json!(true), Json::Null, object],
        ValueKind::Pattern => vec![json!(1), json!("("), json!("(?=a)"), Json::Null],
        ValueKind::Number => vec![json!("1"), json!(true), Json::Null, object],
        ValueKind::Bool => vec![json!("true"), json!(1), Json::Null],
        ValueKind::Time => vec![json!("yesterday"), json!(1_795_248_000), json!("2026-13-01"), Json::Null],
        ValueKind::Span => vec![json!("7"), json!("1y"), json!("-1d"), json!(7), Json::Null],
        ValueKind::Word => vec![json!("dire"), json!(2), Json::Null],
        ValueKind::Reference => vec![json!("me"), json!(1), Json::Null],
    }
}
