//! The rules of the house, held over the source itself.
//!
//! Each rule is a cheap look at the text. Its exceptions are lists, and they are exact: one that is
//! no longer needed fails too, so a list only shrinks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use domain::error::Code;
use domain::event::catalogue::EventKind;
use domain::intake::format::Format;
use domain::rule::action::ACTIONS;
use domain::vocabulary::operator::Operator;

/// The longest that a file of the product may be.
const LINES: usize = 700;

/// A file of the workspace.
struct Source {
    /// From the root, with `/`.
    path: String,
    text: String,
    /// The text without comments, up to its tests.
    code: String,
}

/// Every file that people write here.
static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace lies above its members");
    let mut paths = Vec::new();
    walk(root, &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
            let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let is_code = |line: &&str| !line.trim_start().starts_with("//");
            let code = product.lines().filter(is_code).map(|line| format!("{line}\n")).collect();
            let path = path.strip_prefix(root).expect("it lies below the root");
            Source { path: path.to_string_lossy().replace('\\', "/"), text, code }
        })
        .collect()
});

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    const WRITTEN: [&str; 9] = ["rs", "toml", "md", "sh", "graphql", "js", "mjs", "yml", "yaml"];
    for entry in std::fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("a folder can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", ".git", "node_modules", "__generated__"].contains(&name.as_str()) {
                walk(&path, paths);
            }
        } else if WRITTEN.iter().any(|kind| path.extension().is_some_and(|extension| extension == *kind))
            || folder.file_name().is_some_and(|folder| folder == ".ci")
        {
            paths.push(path);
        }
    }
}

/// The product's Rust: neither tests nor benchmarks.
fn product() -> impl Iterator<Item = &'static Source> {
    SOURCES.iter().filter(|source| source.path.ends_with(".rs") && !is_test(&source.path))
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || path.starts_with("bench-others/")
        || path.contains("/tests/")
        || path.contains("/benches/")
        || path.ends_with("/tests.rs")
        || path.ends_with("/properties.rs")
}

/// Holds what broke a rule against the exceptions it has.
fn only(rule: &str, broken: impl IntoIterator<Item = String>, exceptions: &[&str]) {
    let broken: BTreeSet<String> = broken.into_iter().collect();
    let excepted: BTreeSet<String> = exceptions.iter().map(|one| (*one).to_owned()).collect();
    let new: Vec<&String> = broken.difference(&excepted).collect();
    let stale: Vec<&String> = excepted.difference(&broken).collect();
    assert!(new.is_empty(), "{rule}: broken by {new:#?}");
    assert!(stale.is_empty(), "{rule}: take these off the list of exceptions {stale:#?}");
}

/// The files of the product outside of `home` whose code has one of `words`.
fn strays(words: &[&str], home: impl Fn(&str) -> bool) -> Vec<String> {
    product()
        .filter(|source| !home(&source.path) && words.iter().any(|word| source.code.contains(word)))
        .map(|source| source.path.clone())
        .collect()
}

fn is_store(path: &str) -> bool {
    path.ends_with("/store.rs") || path.contains("/store/")
}

#[test]
fn the_database_is_spoken_to_in_stores_alone() {
    let home = |path: &str| is_store(path) || path.starts_with("entity/") || path.starts_with("migration/");
    only("sea_orm and entity stay in stores", strays(&["sea_orm", "entity::"], home), &[]);
}

#[test]
fn graphql_is_spoken_at_the_edge_alone() {
    let strays = strays(&["async_graphql", "axum::", "hyper::"], |path| {
        // What is drawn from a declaration of the schema names its types.
        path.starts_with("api/") || path.starts_with("record/")
    });
    only("transports stay in api", strays, &[]);
}

#[test]
fn egress_goes_through_the_gateway() {
    let strays = strays(&["reqwest", "lettre"], |path| path.starts_with("domain/src/gateway/"));
    only("the outside is spoken to in the gateway", strays, &[]);
}

#[test]
fn pure_code_is_pure() {
    const EFFECTS: &[&str] = &[
        "async ",
        ".await",
        "std::fs",
        "std::env",
        "std::net",
        "tokio",
        "Clock",
        "::now()",
        "sea_orm",
        "static mut",
    ];
    let is_pure = |path: &str| {
        path.starts_with("domain/src/vocabulary")
            || path.starts_with("domain/src/rule/matcher")
            || path.starts_with("domain/src/rule/analysis")
            || path.starts_with("domain/src/finding/layers")
            || ["finding/lifecycle.rs", "finding/shown.rs", "rule/pass.rs", "rule/script.rs", "rule/title.rs"]
                .iter()
                .any(|pure| path == format!("domain/src/{pure}"))
    };
    let impure = strays(EFFECTS, |path| !is_pure(path));
    only(
        "vocabulary, layers, lifecycle, titles, the pass, the matcher and the analysis are pure",
        impure,
        &[],
    );
    assert!(product().filter(|source| is_pure(&source.path)).count() > 10, "they are where they were");
}

#[test]
fn time_and_ids_come_from_the_clock() {
    let words = ["Utc::now", "SystemTime::now", "now_v7", "new_v4"];
    let strays = strays(&words, |path| path == "domain/src/gateway/clock.rs");
    only("time and ids come from gateway/clock.rs", strays, &[]);
}

/// The scope that crosses companies is made where the server works for all of them, and only there.
#[test]
fn few_cross_companies() {
    const MAKERS: &[&str] = &[
        // What the clock does of approvals, and how many findings a global rule touches.
        "domain/src/approval/due.rs",
        "domain/src/rule/gate.rs",
        // Accepted risks of all companies whose end is near or has come.
        "domain/src/finding/acceptance/ending.rs",
        // A sign of life of a long load, and the companies that a global one speaks to.
        "domain/src/intel/load.rs",
        // Who comes with a token; the only account of an address.
        "domain/src/inventory/token.rs",
        "domain/src/inventory/user.rs",
        // Who comes in, before it is known for which company; and what ends with an account.
        "domain/src/signin/invitation.rs",
        "domain/src/signin/link.rs",
        "domain/src/signin/oidc.rs",
        "domain/src/signin/oidc/identity.rs",
        "domain/src/signin/password.rs",
        "domain/src/signin/session.rs",
        "domain/src/signin/setup.rs",
        "domain/src/signin/throttle.rs",
        // Whether those who are connected still may be.
        "domain/src/inventory/token/standing.rs",
        // Rules of all companies that have ended.
        "domain/src/rule/expiry.rs",
        // Claims.
        "domain/src/job/runner.rs",
        // Jobs of all companies that have waited for too long.
        "domain/src/job/waiting.rs",
        // The operator's proof of every chain.
        "domain/src/ledger/audit.rs",
    ];
    let makes =
        |line: &str| line.contains("Scope::System") && !line.contains("=>") && !line.contains("assert");
    let makers = product().filter(|source| source.code.lines().any(makes)).map(|source| source.path.clone());
    only("Scope::System is made where the server works for all companies", makers, MAKERS);
}

#[test]
fn rules_and_runs_do_not_know_each_other() {
    let knows = |of: &'static str, other: &'static str| {
        product()
            .filter(move |source| source.path.starts_with(&format!("domain/src/{of}")))
            .filter(move |source| source.code.contains(&format!("crate::{other}")))
            .map(|source| source.path.clone())
    };
    only("rule/ and run/ never import each other", knows("rule", "run::").chain(knows("run", "rule")), &[]);
}

#[test]
fn dependencies_go_one_way() {
    let names = |folder: &'static str, crates: &'static [&'static str]| {
        SOURCES
            .iter()
            .filter(move |source| source.path.starts_with(folder) && source.path.ends_with("Cargo.toml"))
            .flat_map(move |source| {
                crates
                    .iter()
                    .filter(|name| source.text.contains(&format!("\n{name}.workspace")))
                    .map(|name| format!("{} on {name}", source.path))
            })
    };
    let wrong = names("domain/", &["api"])
        .chain(names("entity/", &["api", "domain", "migration"]))
        .chain(names("migration/", &["api", "domain", "entity"]))
        .chain(names("api/", &["entity", "migration", "sea-orm"]));
    only("api -> domain -> entity; migration stands alone", wrong, &[]);
}

/// A query without a scope cannot be written: whatever of a store others can call on the database
/// takes one. What writes into a transaction has the transaction's company.
#[test]
fn every_store_function_takes_a_scope() {
    const EXCEPTIONS: &[&str] = &[
        // The database as a whole.
        "domain/src/store.rs: open",
        "domain/src/store.rs: open_within",
        "domain/src/store.rs: migrate",
        "domain/src/store.rs: read",
        "domain/src/store.rs: ping",
        "domain/src/store.rs: pools",
        "domain/src/store.rs: transaction",
        "domain/src/store.rs: news",
        "domain/src/store.rs: close",
        // The words that statements are made of.
        "domain/src/store/bulk.rs: insert",
        "domain/src/store/bulk.rs: update",
        "domain/src/store/column.rs: count",
        "domain/src/store/sql.rs: all",
        "domain/src/store/sql.rs: one",
        "domain/src/store/sql.rs: run",
        // The last step of a transaction, which has its company.
        "domain/src/ledger/store.rs: open",
        "domain/src/ledger/store.rs: lock",
        "domain/src/ledger/store.rs: seal",
        "domain/src/ledger/store.rs: seal_under",
    ];
    let mut unscoped = Vec::new();
    let mut scoped = 0;
    for source in product().filter(|source| is_store(&source.path) || source.path == "domain/src/store.rs") {
        let mut inside = false;
        let mut lines = source.code.lines();
        while let Some(line) = lines.next() {
            inside = inside || line.starts_with("impl Db ");
            inside = inside && !line.starts_with('}');
            let Some((visibility, rest)) = line.trim_start().split_once("fn ") else { continue };
            let on_connection =
                |signature: &str| signature.contains("conn: &") && !signature.contains("tx: &");
            if !visibility.starts_with("pub") {
                continue;
            }
            let mut signature = rest.to_owned();
            while !signature.contains('{') && !signature.contains(';') {
                signature.push_str(lines.next().expect("a signature ends"));
            }
            let name = signature.split(['(', '<']).next().unwrap_or_default();
            if signature.contains("&Scope") {
                scoped += 1;
            } else if inside || (is_store(&source.path) && on_connection(&signature)) {
                unscoped.push(format!("{}: {name}", source.path));
            }
        }
    }
    only("every store function takes a &Scope", unscoped, EXCEPTIONS);
    assert!(scoped > 60, "the look finds them: {scoped}");
}

#[test]
fn files_stay_small() {
    let long =
        product().filter(|source| source.text.lines().count() > LINES).map(|source| source.path.clone());
    only("no file has more than 700 lines", long, &[]);
}

#[test]
fn nothing_is_left_undone_or_waved_through() {
    // Put together here, so that this file does not break its own rule.
    let words: Vec<String> = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["to", "do!"],
        ["unimple", "mented!"],
        ["#[al", "low("],
        ["#![al", "low("],
    ]
    .iter()
    .map(|halves| halves.concat())
    .collect();
    let left = SOURCES.iter().flat_map(|source| {
        words
            .iter()
            .filter(|word| source.text.contains(word.as_str()))
            .map(|word| format!("{}: {word}", source.path))
    });
    only("nothing is left to do, and lints are expected with a reason", left, &[]);
    let unwraps = product().filter(|source| source.code.contains(".unwrap()")).map(|s| s.path.clone());
    only("what cannot fail says why", unwraps, &[]);
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let places = ["/wo", "/t"].map(|half| format!("{half}{}", if half == "/wo" { "rk/" } else { "mp/" }));
    let hosts = [["crates", ".io"], ["docker", ".io"], ["npmjs", ".org"], ["npmjs", ".com"], ["ghcr", ".io"]]
        .map(|halves| halves.concat());
    let tools = [["Cla", "ude"], ["Anthro", "pic"], ["Chat", "GPT"], ["Copi", "lot"]].map(|h| h.concat());
    let words: Vec<&str> = places.iter().chain(&hosts).chain(&tools).map(String::as_str).collect();
    // A comment that names something of a tracker by its number.
    let numbered = |line: &str| {
        let comment = line.trim_start().starts_with("//");
        let lower = line.to_ascii_lowercase();
        let number = |at: usize| line[at..].starts_with(|c: char| c.is_ascii_digit());
        comment
            && (lower.match_indices("issue ").any(|(at, word)| number(at + word.len()))
                || lower.match_indices(" #").any(|(at, word)| number(at + word.len())))
    };
    let told = SOURCES.iter().flat_map(|source| {
        source
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| words.iter().any(|word| line.contains(word)) || numbered(line))
            .map(|(at, line)| format!("{}:{}: {}", source.path, at + 1, line.trim()))
    });
    only("the project speaks of itself alone", told, &[]);
}

/// What is declared in a catalogue is produced somewhere, and named by a test or a document. Fields
/// are not looked for: random trees go through all of their catalogue.
#[test]
fn catalogues_hold_nothing_dead() {
    let product_code: String = product().map(|source| source.code.as_str()).collect();
    let silent = EventKind::ALL.iter().filter(|kind| !product_code.contains(&format!("EventKind::{kind:?}")));
    only("every kind of event has a producer", silent.map(|kind| kind.word().to_owned()), &[]);
    let unused = Code::ALL.iter().filter(|code| !product_code.contains(&format!("Code::{code:?}")));
    only("every code is given", unused.map(|code| code.word().to_owned()), &[]);

    // What tests and documents say: whole test files, the tests inside of others, and documents.
    let said: String = SOURCES
        .iter()
        .map(|source| match source.path.as_str() {
            path if path.ends_with("tidy.rs") => "",
            path if is_test(path) || path.ends_with(".md") => source.text.as_str(),
            _ => source.text.split_once("#[cfg(test)]\nmod tests {").map_or("", |(_, tests)| tests),
        })
        .collect();
    let words: BTreeSet<&str> = said
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .collect();
    let named = |debug: String, word: &str| words.contains(word) || words.contains(debug.as_str());
    let mut untold: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut look = |catalogue: &'static str, debug: String, word: &str| {
        if !named(debug, word) {
            untold.entry(catalogue).or_default().push(word.to_owned());
        }
    };
    EventKind::ALL.iter().for_each(|kind| look("event", format!("{kind:?}"), kind.word()));
    Code::ALL.iter().for_each(|code| look("code", format!("{code:?}"), code.word()));
    Operator::ALL.iter().for_each(|operator| look("operator", format!("{operator:?}"), operator.name()));
    Format::ALL.iter().for_each(|format| look("format", format!("{format:?}"), format.key()));
    ACTIONS.iter().for_each(|action| look("action", action.key.to_owned(), action.key));
    let untold = untold
        .into_iter()
        .flat_map(|(catalogue, words)| words.into_iter().map(move |word| format!("{catalogue} {word}")));
    only("every entry of a catalogue is named by a test or a document", untold, UNTOLD);
}

/// Entries that no test or document names yet.
const UNTOLD: &[&str] = &[
    "event asset_created",
    "event asset_deleted",
    "event asset_updated",
    "event company_created",
    "event company_updated",
    "event finding_bulk_updated",
    "event project_archived",
    "event project_created",
    "event project_updated",
    "event scan_failed",
];
