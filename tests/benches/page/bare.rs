//! The handler that one would write by hand for this page alone.

use std::collections::HashMap;

use api::graphql::id::Noun;
use axum::extract::State as Given;
use axum::routing::post;
use axum::{Json, Router};
use domain::Domain;
use domain::access::Actor;
use domain::finding::facts::Finding;
use domain::finding::layers::SetField;
use domain::finding::query::FindingOrder;
use domain::inventory::asset::Asset;
use domain::inventory::team::Team;
use domain::inventory::user::User;
use domain::ledger::audit::Audited;
use domain::page::{Page, PageArgs};
use domain::vocabulary::terms::Term;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Clone)]
pub struct State {
    pub domain: Domain,
    pub actor: Actor,
}

#[derive(Deserialize)]
struct Asked {
    variables: Variables,
}

#[derive(Deserialize)]
struct Variables {
    first: i64,
}

/// The route, which answers with the page, or with nothing.
pub fn router(state: State, encode: bool) -> Router {
    let answer = move |Given(state): Given<State>, Json(asked): Json<Asked>| async move {
        let found = Found::load(&state, asked.variables.first).await;
        if encode {
            serde_json::to_vec(&Body { data: Data { findings: found.page() } }).expect("it has a JSON")
        } else {
            found.page.edges.len().to_string().into_bytes()
        }
    };
    Router::new().route("/graphql", post(answer)).with_state(state)
}

pub fn ids(finding: &Finding, field: SetField) -> Vec<Uuid> {
    finding.shown.set(field).iter().filter_map(|id| id.parse().ok()).collect()
}

/// What the statements found.
struct Found {
    page: Page<Finding>,
    assets: HashMap<Uuid, Asset>,
    users: HashMap<Uuid, User>,
    teams: HashMap<Uuid, Team>,
    audit: HashMap<Uuid, Page<Audited>>,
}

impl Found {
    async fn load(State { domain, actor }: &State, first: i64) -> Self {
        let filter = domain.finding_filter(None).expect("no filter");
        let order = (FindingOrder::Severity, false);
        let page = domain.findings(actor, &filter, order, &PageArgs::first(first)).await.expect("a page");
        let findings = || page.edges.iter().map(|edge| &edge.node);
        let unique = |mut ids: Vec<Uuid>| {
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let assets = unique(findings().map(|finding| finding.asset).collect());
        let users = unique(findings().flat_map(|finding| ids(finding, SetField::AssignedUsers)).collect());
        let teams = unique(findings().flat_map(|finding| ids(finding, SetField::AssignedTeams)).collect());
        let records: Vec<Uuid> = findings().map(|finding| finding.id).collect();
        let three = PageArgs::first(3);
        let (assets, users, teams, audit) = tokio::try_join!(
            domain.assets_by_id(actor, &assets),
            domain.users_by_id(actor, &users),
            domain.teams_by_id(actor, &teams),
            domain.audit_entries_of(actor, &records, &three),
        )
        .expect("what it refers to");
        Self { page, assets, users, teams, audit }
    }

    fn page(&self) -> Findings<'_> {
        let nodes = self.page.edges.iter().map(|edge| self.node(&edge.node)).collect();
        let end_cursor = self.page.edges.last().map(|edge| edge.cursor.as_str());
        Findings { nodes, page_info: PageInfo { has_next_page: self.page.has_next, end_cursor } }
    }

    fn node<'f>(&'f self, finding: &'f Finding) -> Node<'f> {
        let asset = self.assets.get(&finding.asset).map(|asset| AssetNode {
            id: Noun::Asset.id(asset.id).0,
            name: &asset.name,
            kind: asset.kind.as_deref(),
            criticality: asset.criticality.map(|word| word.word().to_ascii_uppercase()),
            tags: &asset.tags,
        });
        let users = ids(finding, SetField::AssignedUsers);
        let users = users.iter().filter_map(|id| self.users.get(id)).map(|user| Person {
            id: Noun::User.id(user.id).0,
            name: &user.name,
            email: &user.email,
        });
        let teams = ids(finding, SetField::AssignedTeams);
        let teams = teams.iter().filter_map(|id| self.teams.get(id));
        let teams = teams.map(|team| TeamNode { id: Noun::Team.id(team.id).0, name: &team.name });
        let audit = self.audit.get(&finding.id).into_iter().flat_map(|page| &page.edges);
        let audit = audit.map(|edge| Entry {
            id: Noun::AuditEntry.numbered(edge.node.seq).0,
            at: edge.node.at.to_string(),
            action: &edge.node.action,
            actor: Speaker { name: &edge.node.actor.name },
        });
        Node {
            id: Noun::Finding.id(finding.id).0,
            title: &finding.shown.title,
            severity: finding.shown.severity.word().to_ascii_uppercase(),
            status: finding.shown.status.word().to_ascii_uppercase(),
            class: finding.evidence.class.word().to_ascii_uppercase(),
            description: finding.evidence.description.as_deref(),
            cvss_score: finding.shown.cvss_score,
            scanner_source: &finding.evidence.scanner_source,
            scanner_reference: finding.evidence.scanner_reference.as_deref(),
            tags: finding.shown.set(SetField::Tags),
            cve_ids: finding.shown.set(SetField::CveIds),
            first_seen_at: finding.first_seen_at.to_string(),
            last_seen_at: finding.last_seen_at.to_string(),
            version: finding.revision,
            asset,
            assignees: Assignees { users: users.collect(), teams: teams.collect() },
            audit: Audit { nodes: audit.collect() },
        }
    }
}

#[derive(Serialize)]
struct Body<'f> {
    data: Data<'f>,
}

#[derive(Serialize)]
struct Data<'f> {
    findings: Findings<'f>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Findings<'f> {
    nodes: Vec<Node<'f>>,
    page_info: PageInfo<'f>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo<'f> {
    has_next_page: bool,
    end_cursor: Option<&'f str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Node<'f> {
    id: String,
    title: &'f str,
    severity: String,
    status: String,
    class: String,
    description: Option<&'f str>,
    cvss_score: Option<f64>,
    scanner_source: &'f str,
    scanner_reference: Option<&'f str>,
    tags: &'f [String],
    cve_ids: &'f [String],
    first_seen_at: String,
    last_seen_at: String,
    version: i64,
    asset: Option<AssetNode<'f>>,
    assignees: Assignees<'f>,
    audit: Audit<'f>,
}

#[derive(Serialize)]
struct AssetNode<'f> {
    id: String,
    name: &'f str,
    #[serde(rename = "type")]
    kind: Option<&'f str>,
    criticality: Option<String>,
    tags: &'f [String],
}

#[derive(Serialize)]
struct Assignees<'f> {
    users: Vec<Person<'f>>,
    teams: Vec<TeamNode<'f>>,
}

#[derive(Serialize)]
struct Person<'f> {
    id: String,
    name: &'f str,
    email: &'f str,
}

#[derive(Serialize)]
struct TeamNode<'f> {
    id: String,
    name: &'f str,
}

#[derive(Serialize)]
struct Audit<'f> {
    nodes: Vec<Entry<'f>>,
}

#[derive(Serialize)]
struct Entry<'f> {
    id: String,
    at: String,
    action: &'f str,
    actor: Speaker<'f>,
}

#[derive(Serialize)]
struct Speaker<'f> {
    name: &'f str,
}
