//! Assets and projects: what is written, what is told, and who sees them.

use std::collections::BTreeSet;

use domain::access::{Actor, Portfolio, Role};
use domain::error::Code;
use domain::finding::edit::NewFinding;
use domain::intake::report::Reported;
use domain::inventory::asset::{Asset, AssetChange, AssetFilter, AssetOrder, NewAsset};
use domain::inventory::project::{NewProject, ProjectChange, ProjectFilter, ProjectOrder};
use domain::ledger::audit::AuditFilter;
use domain::page::{OrderBy, PageArgs};
use domain::vocabulary::terms::{Criticality, Environment};
use domain::vocabulary::time::Span;
use serde_json::json;
use uuid::Uuid;

use support::{World, content, on_both};

use crate::ground::{Ground, refused};

on_both!(
    an_asset_lives,
    what_is_typed_is_bounded,
    a_list_has_what_its_filter_says,
    a_portfolio_is_the_end_of_the_world,
    a_project_lives,
);

fn named(name: &str) -> NewAsset {
    NewAsset { name: name.into(), ..NewAsset::default() }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

async fn an_asset_lives(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let team = ground.team("Blue", &[]).await;
    let new = NewAsset {
        kind: Some("host".into()),
        class: Some("  ".into()),
        groups: words(&["b", "a", " b "]),
        criticality: Some(Criticality::High),
        environment: Some(Environment::Production),
        internet_exposed: Some(true),
        owner_team: Some(team.id),
        tags: words(&["x"]),
        ..named("  web-01 ")
    };
    let asset = domain.asset_create(&ground.admin, new.clone()).await.unwrap();
    assert_eq!((asset.name.as_str(), asset.class.as_deref(), asset.version), ("web-01", None, 1));
    assert_eq!(asset.groups, ["a", "b"]);
    assert_eq!(domain.asset(&ground.admin, asset.id).await.unwrap(), asset);
    let error = refused(domain.asset_create(&ground.admin, new).await, Code::Taken);
    assert_eq!(error.field, ["name"]);

    ground.clock.advance(Span::HOUR);
    let change = AssetChange {
        criticality: Some(None),
        tags: Some(words(&["y", "x"])),
        owner_team: Some(None),
        ..AssetChange::default()
    };
    let changed = domain.asset_update(&ground.admin, asset.id, 1, change.clone()).await.unwrap();
    assert_eq!((changed.criticality, changed.owner_team, changed.version), (None, None, 2));
    assert_eq!(changed.updated_at, ground.clock.now());
    assert_eq!(domain.asset(&ground.admin, asset.id).await.unwrap(), changed);
    let same = domain.asset_update(&ground.admin, asset.id, 2, change.clone()).await.unwrap();
    assert_eq!(same, changed, "a change that changes nothing writes nothing");
    let stale =
        refused(domain.asset_update(&ground.admin, asset.id, 1, change.clone()).await, Code::Conflict);
    assert_eq!((&stale.details["currentVersion"], &stale.details["author"]), (&json!(2), &json!("Ada")));

    let archived = domain.asset_archive(&ground.admin, asset.id, 2, true).await.unwrap();
    assert_eq!(archived.archived_at, Some(ground.clock.now()));
    refused(domain.asset_update(&ground.admin, asset.id, 3, change).await, Code::IllegalState);
    let back = domain.asset_archive(&ground.admin, asset.id, 3, false).await.unwrap();
    assert_eq!((back.archived_at, back.version), (None, 4));

    let filter = AuditFilter { record: Some(asset.id), ..AuditFilter::default() };
    let entries = domain.audit_entries(&ground.admin, &filter, &PageArgs::default()).await.unwrap();
    let entries: Vec<_> = entries.nodes().collect();
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["asset.unarchived", "asset.archived", "asset.updated", "asset.created"]);
    assert_eq!(
        (content(&entries[2].before), content(&entries[2].after)),
        (
            json!({ "criticality": "high", "tags": ["x"], "owner_team": team.id }),
            json!({ "criticality": null, "tags": ["x", "y"], "owner_team": null })
        )
    );
}

async fn what_is_typed_is_bounded(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let many: Vec<String> = (0..201).map(|at| at.to_string()).collect();
    let cases: Vec<(NewAsset, &[&str])> = vec![
        (named("  "), &["name"]),
        (named("a\0b"), &["name"]),
        (named(&"x".repeat(1_025)), &["name"]),
        (NewAsset { kind: Some("k".repeat(201)), ..named("a") }, &["type"]),
        (NewAsset { tags: many, ..named("a") }, &["tags"]),
        (NewAsset { groups: words(&["ok", ""]), ..named("a") }, &["groups", "1"]),
        (NewAsset { owner_team: Some(Uuid::nil()), ..named("a") }, &["ownerTeam"]),
    ];
    for (new, field) in cases {
        let error = domain.asset_create(&ground.admin, new).await.unwrap_err();
        assert_eq!(error.field, field, "{error}");
    }
    let archived = ground.team("Old", &[]).await;
    domain.team_archive(&ground.admin, archived.id, 1, true).await.unwrap();
    let new = NewAsset { owner_team: Some(archived.id), ..named("a") };
    refused(domain.asset_create(&ground.admin, new).await, Code::IllegalState);
}

async fn a_list_has_what_its_filter_says(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let team = ground.team("Blue", &[]).await;
    let make = async |new: NewAsset| domain.asset_create(&ground.admin, new).await.unwrap();
    make(NewAsset { kind: Some("Host".into()), criticality: Some(Criticality::Low), ..named("Web-1") }).await;
    make(NewAsset { environment: Some(Environment::Test), internet_exposed: Some(true), ..named("web_2") })
        .await;
    make(NewAsset { owner_team: Some(team.id), internet_exposed: Some(false), ..named("db%1") }).await;
    let old = make(named("old web")).await;
    domain.asset_archive(&ground.admin, old.id, 1, true).await.unwrap();
    let list = async |filter: AssetFilter| {
        let by = OrderBy::ascending(AssetOrder::Name);
        let page = domain.assets(&ground.admin, &filter, by, &PageArgs::default()).await.unwrap();
        assert_eq!(domain.asset_count(&ground.admin, &filter).await.unwrap(), page.edges.len() as i64);
        page.nodes().map(|asset| asset.name).collect::<Vec<_>>()
    };
    let any = AssetFilter::default;
    assert_eq!(list(any()).await, ["Web-1", "db%1", "old web", "web_2"]);
    assert_eq!(list(AssetFilter { query: Some("WEB".into()), ..any() }).await, ["Web-1", "old web", "web_2"]);
    assert_eq!(list(AssetFilter { query: Some("b_".into()), ..any() }).await, ["web_2"]);
    assert_eq!(list(AssetFilter { query: Some("%".into()), ..any() }).await, ["db%1"]);
    assert_eq!(list(AssetFilter { archived: Some(true), ..any() }).await, ["old web"]);
    assert_eq!(list(AssetFilter { kind: Some("HOST".into()), ..any() }).await, ["Web-1"]);
    let low = Some(vec![Criticality::Low, Criticality::High]);
    assert_eq!(list(AssetFilter { criticality: low, ..any() }).await, ["Web-1"]);
    assert!(list(AssetFilter { criticality: Some(Vec::new()), ..any() }).await.is_empty());
    assert_eq!(list(AssetFilter { environment: Some(vec![Environment::Test]), ..any() }).await, ["web_2"]);
    assert_eq!(list(AssetFilter { internet_exposed: Some(false), ..any() }).await, ["db%1"]);
    assert_eq!(list(AssetFilter { owner_team: Some(team.id), ..any() }).await, ["db%1"]);
}

async fn a_portfolio_is_the_end_of_the_world(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let (own, other) = (ground.project("Own").await, ground.project("Other").await);
    let (blue, red) = (ground.team("Blue", &[]).await, ground.team("Red", &[]).await);
    let make = async |actor: &Actor, name: &str, owner: Option<Uuid>| {
        domain.asset_create(actor, NewAsset { owner_team: owner, ..named(name) }).await
    };
    let inside = make(&ground.admin, "inside", Some(blue.id)).await.unwrap();
    let outside = make(&ground.admin, "outside", Some(red.id)).await.unwrap();
    let portfolio = Portfolio::Only { projects: BTreeSet::from([own.id]), teams: BTreeSet::from([blue.id]) };
    let ann = ground.member("Ann", Role::Analyst, portfolio.clone()).await;
    let (_, nia) = ground.neighbour().await;

    let by = OrderBy::ascending(AssetOrder::Name);
    let seen = domain.assets(&ann, &AssetFilter::default(), by, &PageArgs::default()).await.unwrap();
    assert_eq!(seen.nodes().collect::<Vec<Asset>>(), std::slice::from_ref(&inside));
    let by = OrderBy::ascending(ProjectOrder::Name);
    let seen = domain.projects(&ann, &ProjectFilter::default(), by, &PageArgs::default()).await.unwrap();
    assert_eq!(seen.nodes().map(|project| project.name).collect::<Vec<_>>(), ["Own"]);
    assert_eq!(domain.project_count(&ann, &ProjectFilter::default()).await.unwrap(), 1);
    let both = domain.assets_by_id(&ann, &[inside.id, outside.id]).await.unwrap();
    assert_eq!(both.into_keys().collect::<Vec<_>>(), [inside.id]);

    // A finding in one of the projects brings its asset along.
    let found = make(&ground.admin, "found", None).await.unwrap();
    refused(domain.asset(&ann, found.id).await, Code::NotFound);
    for (project, seen) in [(other.id, false), (own.id, true)] {
        let reported = Reported { title: "Old library".into(), ..Reported::default() };
        let new = NewFinding { project, asset: found.id, scanner: None, reported };
        domain.finding_create(&ground.admin, new).await.unwrap();
        assert_eq!(domain.asset(&ann, found.id).await.is_ok(), seen);
    }
    assert_eq!(domain.asset_count(&ann, &AssetFilter::default()).await.unwrap(), 2);

    for (actor, id) in [(&ann, outside.id), (&nia, inside.id), (&ann, ground.clock.id())] {
        let change = AssetChange { name: Some("x".into()), ..AssetChange::default() };
        let errors = [
            refused(domain.asset(actor, id).await, Code::NotFound),
            refused(domain.asset_update(actor, id, 1, change).await, Code::NotFound),
            refused(domain.asset_archive(actor, id, 1, true).await, Code::NotFound),
        ];
        assert!(errors.iter().all(|error| error.message == "There is no such asset."));
    }
    for (actor, id) in [(&ann, other.id), (&nia, own.id)] {
        refused(domain.project(actor, id).await, Code::NotFound);
        refused(domain.project_update(actor, id, 1, ProjectChange::default()).await, Code::NotFound);
        refused(domain.project_archive(actor, id, 1, true).await, Code::NotFound);
    }

    // What would fall out of one's own sight is not made.
    refused(make(&ann, "nobody's", None).await, Code::Invalid);
    refused(make(&ann, "theirs", Some(red.id)).await, Code::Invalid);
    make(&ann, "ours", Some(blue.id)).await.unwrap();
    let away = AssetChange { owner_team: Some(Some(red.id)), ..AssetChange::default() };
    refused(domain.asset_update(&ann, inside.id, 1, away).await, Code::Invalid);
    let new = NewProject { name: "New".into(), description: None };
    refused(domain.project_create(&ann, new).await, Code::Forbidden);
    // A name is taken in the whole company, seen or not.
    let error = refused(make(&ann, "outside", Some(blue.id)).await, Code::Taken);
    assert_eq!(error.field, ["name"]);
    // Settings and people take the whole company.
    let narrow_admin = ground.member("Nan", Role::Admin, portfolio).await;
    refused(domain.team_create(&narrow_admin, "T", &[]).await, Code::Forbidden);
    refused(domain.audit_count(&narrow_admin, &AuditFilter::default()).await, Code::Forbidden);
}

async fn a_project_lives(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let new = NewProject { name: " Web  shop ".into(), description: Some(" a\nb ".into()) };
    let project = domain.project_create(&ground.admin, new.clone()).await.unwrap();
    assert_eq!((project.name.as_str(), project.description.as_deref()), ("Web  shop", Some("a\nb")));
    refused(domain.project_create(&ground.admin, new).await, Code::Taken);
    let change = ProjectChange { description: Some(None), ..ProjectChange::default() };
    let project = domain.project_update(&ground.admin, project.id, 1, change.clone()).await.unwrap();
    assert_eq!((project.description.as_deref(), project.version), (None, 2));
    let project = domain.project_archive(&ground.admin, project.id, 2, true).await.unwrap();
    refused(domain.project_update(&ground.admin, project.id, 3, change).await, Code::IllegalState);
    let again = domain.project_archive(&ground.admin, project.id, 3, true).await.unwrap();
    assert_eq!(again, project);
    let active = ProjectFilter { archived: Some(false), ..ProjectFilter::default() };
    assert_eq!(domain.project_count(&ground.admin, &active).await.unwrap(), 0);
    domain.project_archive(&ground.admin, project.id, 3, false).await.unwrap();
    assert_eq!(domain.project_count(&ground.admin, &active).await.unwrap(), 1);
}
