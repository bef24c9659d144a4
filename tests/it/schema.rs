//! The schema that is kept is the schema that is served, it breaks no client by accident, and other
//! people's tools and clients find it in order.

use std::path::Path;

use domain::access::Role;
use domain::inventory::asset::NewAsset;
use serde_json::json;
use support::{Engine, Wire, World, node};
use tempfile::TempDir;

/// A file of the project, as it is now.
fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(path).expect("the file is there")
}

#[test]
fn schema_graphql_is_in_step() {
    let kept = file("schema.graphql");
    let served = api::graphql::sdl();
    let differ = kept.lines().zip(served.lines()).position(|(kept, served)| kept != served);
    assert!(
        kept == served,
        "schema.graphql differs from line {:?}; write it anew: cargo run --bin countersign -- schema > schema.graphql",
        differ.map(|at| at + 1)
    );
}

/// What the check of changes finds between two schemas, with this list of what may break.
async fn changes(released: &str, current: &str, listed: &str) -> Option<Vec<String>> {
    let folder = TempDir::new().expect("the temporary folder can be written to");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the temporary folder can be written to");
        path.display().to_string()
    };
    let (released, current) = (file("released.graphql", released), file("current.graphql", current));
    let listed = file("listed.md", listed);
    node::run("schema-changes.mjs", &[&released, &current, &listed]).await
}

#[tokio::test]
async fn what_breaks_clients_is_listed_with_its_reason() {
    let (released, current) = (file("schema.released.graphql"), file("schema.graphql"));
    let listed = file("docs/schema-changes.md");
    let Some(found) = changes(&released, &current, &listed).await else { return };
    assert_eq!(found, Vec::<String>::new(), "see docs/schema-changes.md");
}

#[tokio::test]
async fn the_check_of_changes_finds_what_breaks() {
    const RELEASED: &str = "
        type Query { count: Int, asset(id: ID!): Asset, assets(kind: Kind): [Asset!]! }
        type Asset { id: ID!, name: String!, size: Int! }
        enum Kind { HOST IMAGE }
        input Draft { name: String }
        type Mutation { create(draft: Draft!): Asset }";
    const BREAKING: &[(&str, &str, &str)] = &[
        // A field removed, a type narrowed both ways, new required arguments, an enum value removed.
        (", size: Int!", "", "Asset.size was removed."),
        ("name: String!", "name: String", "Asset.name changed type from String! to String."),
        ("kind: Kind)", "kind: Kind!)", "Query.assets arg kind has changed type from Kind to Kind!."),
        ("asset(id: ID!)", "asset(id: ID!, first: Int!)", "A required arg first on Query.asset was added."),
        ("HOST IMAGE", "HOST", "IMAGE was removed from enum type Kind."),
        (
            "{ name: String }",
            "{ name: String, owner: ID! }",
            "A required field owner on input type Draft was added.",
        ),
    ];
    // What adds breaks nothing.
    let added =
        RELEASED.replace("HOST IMAGE", "HOST IMAGE REPOSITORY").replace("size: Int!", "size: Int!, b: Int");
    let Some(found) = changes(RELEASED, &added, "Nothing.").await else { return };
    assert_eq!(found, Vec::<String>::new());

    let all = BREAKING.iter().fold(RELEASED.to_owned(), |schema, (old, new, _)| {
        let changed = schema.replacen(old, new, 1);
        assert_ne!(changed, schema, "{old}");
        changed
    });
    let mut expected: Vec<String> =
        BREAKING.iter().map(|(_, _, told)| format!("breaks, and is not listed: {told}")).collect();
    // The two changes of one field's arguments are told each.
    let mut found = changes(RELEASED, &all, "Nothing.").await.expect("Node.js is installed");
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);

    // Listed with a reason they pass; without one, misspelt or for nothing they do not.
    let listed: String =
        BREAKING.iter().map(|(_, _, told)| format!("- `{told}`: It had to\n  be.\n")).collect();
    let found = changes(RELEASED, &all, &format!("# Changes\n\n{listed}\nMore text.\n")).await;
    assert_eq!(found.expect("Node.js is installed"), Vec::<String>::new());
    let poor = "- `Asset.size was removed.`\n- `Asset.sise was removed.`: A slip.\n- no entry\n";
    let smaller = RELEASED.replace(", size: Int!", "");
    let found = changes(RELEASED, &smaller, poor).await.expect("Node.js is installed");
    assert_eq!(
        found,
        [
            "not an entry: - no entry",
            "listed without a reason: Asset.size was removed.",
            "listed, and breaks nothing: Asset.sise was removed.",
        ]
    );
}

#[tokio::test]
async fn other_peoples_rules_find_the_schema_in_order() {
    let Some(found) = node::run("lint.mjs", &[]).await else { return };
    let ran = ["ran graphql-schema-linter", "ran eslint: schema.graphql", "ran eslint: operations.graphql"];
    assert_eq!(found, ran);
}

/// Apollo Client, urql with Graphcache, and Relay: each pages, merges, and refetches through `node`.
#[test]
fn other_peoples_clients_page_and_merge() {
    support::run(Engine::Sqlite, clients);
}

async fn clients(world: &World) {
    let admin = world.acme.person(Role::Admin);
    for at in 0..23 {
        let new = NewAsset { name: format!("asset {at:02}"), ..NewAsset::default() };
        world.domain.asset_create(&admin.actor, new).await.expect("an admin makes assets");
    }
    world
        .import_lines(&[
            json!({ "scanner_reference": "a", "title": "a", "asset": "web-01", "severity": "high" }),
        ])
        .await;
    let wire = Wire::of(world, admin).await;
    let Some(seen) = node::run("clients.mjs", &[&wire.url(), &admin.token]).await else { return };
    let expected = [
        "relay-compiler: 10 artifacts",
        "apollo: 3 pages merged into 24 rows",
        "apollo: a mutation's answer changes the row of the list",
        "apollo: a refetch through node changes the row of the list",
        "apollo: values without an id stay inside of their records",
        "urql: 3 pages merged into 24 rows",
        "urql: a mutation's answer changes the row of the list",
        "urql: a refetch through node changes the row of the list",
        "urql: the cache makes sense of every type",
        "relay: 3 pages merged into 24 rows",
        "relay: a mutation's answer changes the row of the list",
        "relay: a refetch through node changes the row of the list",
        "relay: what a subscription tells is in the store",
    ];
    assert_eq!(seen, expected);
}
