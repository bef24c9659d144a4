//! A company's records, one of each noun at least, every text of them marked.

use domain::access::{Actor, Portfolio, Role};
use domain::finding::acceptance::AcceptanceFilter;
use domain::finding::bulk::Selection;
use domain::finding::edit::Edit;
use domain::finding::export::ExportRequest;
use domain::finding::layers::RevokeMode;
use domain::finding::selection::Selected;
use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::intake::saved::NewSavedMapping;
use domain::inventory::code::CodeList;
use domain::inventory::project::NewProject;
use domain::inventory::token::{Holder, NewToken};
use domain::inventory::user::NewUser;
use domain::inventory::view::{NewView, ViewNoun};
use domain::page::PageArgs;
use domain::policy::Policy;
use domain::rule::application::ApplicationFilter;
use domain::rule::exemption::ExemptionFilter;
use domain::rule::pass::Mode;
use domain::rule::revoke::{RevokeOf, RevokeRequest};
use domain::signin::Visitor;
use domain::signin::invitation::NewInvitation;
use domain::signin::link::Acceptance;
use domain::signin::password::Password;
use domain::vocabulary::terms::{Status, Term};
use serde_json::json;
use support::{House, World, draft, mapping};
use uuid::Uuid;

use super::calls::Ids;

/// What all members of a company see, whatever their portfolio.
pub async fn wide(world: &World, house: &House, mark: &str) -> Ids {
    let (domain, admin) = (&world.domain, house.admin());
    let named = |noun: &str| format!("{mark} {noun}");
    let new = NewUser {
        email: format!("{mark}@house.example"),
        name: named("user"),
        grant: Some((Role::Viewer, Portfolio::Whole)),
        platform_admin: false,
    };
    let user = domain.user_create(admin, new).await.unwrap().id;
    let membership = domain.memberships_of(admin, &[user]).await.unwrap()[&user].id;
    let team = domain.team_create(admin, &named("team"), &[user]).await.unwrap().id;
    let account = domain
        .service_account_create(admin, &named("account"), Role::Viewer, Portfolio::Whole)
        .await
        .unwrap();
    let new = NewToken {
        holder: Some(Holder::ServiceAccount(account.id)),
        name: named("token"),
        scopes: None,
        life: None,
    };
    let token = domain.token_create(admin, new).await.unwrap().0.id;
    let new = NewView { name: named("view"), noun: ViewNoun::Findings, filter: title(mark), shared: true };
    let view = domain.view_create(admin, new).await.unwrap().id;
    let new = NewSavedMapping { name: named("mapping"), format: Format::Jsonl, mapping: mapping() };
    let saved = domain.saved_mapping_create(admin, new).await.unwrap().id;
    for list in CodeList::ALL {
        domain.code_set(admin, *list, &named("code"), &named("label")).await.unwrap();
    }
    let criteria = json!({ "field": "title", "operator": "contains", "value": mark });
    // The admin's own: nobody sees another's.
    let (_, link) = domain.password_link(&Actor::system(house.id, "seed"), admin.id).await.unwrap();
    let with = Acceptance { password: Some(Password::new("seven sheep jump over")), ..Acceptance::default() };
    let session = domain.link_accept(link.reveal(), with, &Visitor::default()).await.unwrap().session.id;
    let invite = NewInvitation {
        email: format!("{mark}-invited@house.example"),
        role: Role::Viewer,
        portfolio: Portfolio::Whole,
        life: None,
    };
    let invitation = domain.invitation_create(admin, invite).await.unwrap().0.id;
    // Calling a finding false takes a second person from here on.
    let policy = Policy { false_positive: true, ..Policy::default() };
    domain.change_policy_set(admin, 0, policy).await.unwrap();
    let action = json!({ "type": "append_tag", "config": { "tags": [named("tag")] } });
    let rule = draft(&named("rule"), 1, criteria, action);
    let rule =
        domain.rule_create(admin, domain::rule::RuleDraft { mode: Mode::Enforce, ..rule }).await.unwrap();
    // It speaks of all findings that are entered below.
    let criteria = json!({ "field": "title", "operator": "contains", "value": " flaw " });
    let action = json!({ "type": "set_vuln_type", "config": { "vulnerability_type": named("type") } });
    domain.rule_create(admin, draft(&named("second rule"), 2, criteria, action)).await.unwrap();
    // Two that contradict each other, of which no finding is.
    for (order, severity) in [(3, "high"), (4, "low")] {
        let criteria = json!({ "field": "title", "operator": "eq", "value": named("nothing") });
        let action = json!({ "type": "override_severity", "config": { "severity": severity } });
        domain.rule_create(admin, draft(&named(severity), order, criteria, action)).await.unwrap();
    }
    // One whose change waits for a second person.
    let other = json!({ "type": "append_tag", "config": { "tags": [named("other tag")] } });
    let criteria = json!({ "field": "title", "operator": "contains", "value": mark });
    let gated =
        domain::rule::RuleDraft { requires_approval: true, ..draft(&named("gated"), 2, criteria, other) };
    let gated = domain.rule_create(admin, gated).await.unwrap();
    let approval = domain.rule_submit(admin, gated.id, gated.version).await.unwrap().id;
    let versions = domain.rule_versions(admin, rule.id, &PageArgs::first(1)).await.unwrap();
    let version = versions.nodes().next().unwrap().id;
    Ids::from([
        ("RuleVersion", version),
        ("Approval", approval),
        ("Company", house.id),
        ("User", user),
        ("Membership", membership),
        ("Team", team),
        ("ServiceAccount", account.id),
        ("Token", token),
        ("Session", session),
        ("Invitation", invitation),
        ("View", view),
        ("SavedMapping", saved),
        ("Rule", rule.id),
    ])
}

/// What lies in portfolios, in a project of its own or in `project`; and the ids of every job.
pub async fn bound(world: &World, house: &House, project: Option<Uuid>, mark: &str) -> (Ids, Vec<Uuid>) {
    let (domain, admin) = (&world.domain, house.admin());
    let project = match project {
        Some(project) => project,
        None => {
            let new = NewProject { name: format!("{mark} project"), description: Some(mark.to_owned()) };
            domain.project_create(admin, new).await.unwrap().id
        }
    };
    let lines: String = (0..3)
        .map(|at| {
            let line = json!({
                "scanner_reference": format!("{mark} {at}"), "title": format!("{mark} flaw {at}"),
                "asset": format!("{mark} asset"), "severity": "high", "tags": [format!("{mark} tag {at}")],
                "description": mark, "component_name": mark, "file_path": mark, "endpoint": mark,
            });
            format!("{line}\n")
        })
        .collect();
    let upload = || ImportRequest { project, name: format!("{mark} report"), ..world.request(mark) };
    let import = world.import(admin, upload(), &lines).await.job.id;
    let waiting = domain.import_start(admin, upload()).await.unwrap().id;
    let findings = world.findings(admin, Some(title(mark))).await;
    let finding = findings[0].id;
    let comment = domain.finding_comment(admin, finding, &format!("{mark} comment")).await.unwrap().id;
    let edit = Edit::Tag { add: vec![format!("{mark} by hand")], remove: vec![] };
    let bulk = domain.finding_bulk(admin, Selection::Matching(title(mark)), edit).await.unwrap();
    let bulk = bulk.done().unwrap().id;
    let why = || Some(format!("{mark} reason"));
    let accept = Edit::SetStatus { status: Status::AcceptedRisk, reason: why() };
    domain.finding_edit(admin, findings[1].id, None, accept).await.unwrap();
    let of = AcceptanceFilter { finding: Some(findings[1].id), ..AcceptanceFilter::default() };
    let accepted = domain.acceptances(admin, &of, &PageArgs::first(1)).await.unwrap().nodes().next().unwrap();
    let call_false = Edit::SetStatus { status: Status::FalsePositive, reason: why() };
    let request = domain.finding_edit(admin, finding, None, call_false).await.unwrap().asked().unwrap();
    let selected = Selected { filter: Some(title(mark)), ..Selected::default() };
    let asked = ExportRequest { selected, ..ExportRequest::default() };
    let export = domain.finding_export(admin, asked).await.unwrap().id;
    let statement = json!({ "vulnerability": "CVE-2026-0001", "products": [mark], "status": "not_affected",
        "justification": mark, "impact_statement": mark });
    let vex =
        json!({ "@context": "https://openvex.dev/ns/v0.2.0", "author": mark, "statements": [statement] });
    let said = ImportRequest { format: Some(Format::Openvex), mapping: None, ..upload() };
    let vex = world.import(admin, said, &vex.to_string()).await.job.id;
    let scan = domain.job(admin, import).await.unwrap().params["scan"].as_str().unwrap().parse().unwrap();
    let (application, exemption, revoke) = taken_back(world, admin, &[findings[0].id, findings[2].id]).await;
    let ids = Ids::from([
        ("RuleApplication", application),
        ("RuleExemption", exemption),
        ("Project", project),
        ("Asset", findings[0].asset),
        ("Scan", scan),
        ("Finding", finding),
        ("Comment", comment),
        ("Acceptance", accepted.id),
        ("ChangeRequest", request.id),
        ("Job", waiting),
    ]);
    (ids, vec![waiting, import, bulk, export, vex, revoke])
}

/// An application of a rule to the first finding; and the exemption of the second, from which the rule
/// was taken back, with the revoke.
async fn taken_back(world: &World, admin: &Actor, findings: &[Uuid; 2]) -> (Uuid, Uuid, Uuid) {
    let domain = &world.domain;
    let [kept, taken] =
        findings.map(|finding| ApplicationFilter { finding: Some(finding), ..Default::default() });
    let newest = async |filter: &ApplicationFilter| {
        let page = domain.rule_applications(admin, filter, &PageArgs::first(1)).await.unwrap();
        page.nodes().next().unwrap().id()
    };
    let of = RevokeOf::Applications(vec![newest(&taken).await]);
    let request = RevokeRequest { of, mode: RevokeMode::Safe, turn_off: false, sweep: false, reason: None };
    let revoke = domain.rule_revoke(admin, request).await.unwrap().id;
    let filter = ExemptionFilter { finding: taken.finding, ..Default::default() };
    let exemptions = domain.rule_exemptions(admin, &filter, &PageArgs::first(1)).await.unwrap();
    (newest(&kept).await, exemptions.nodes().next().unwrap().id, revoke)
}

pub fn title(mark: &str) -> serde_json::Value {
    json!({ "field": "title", "operator": "contains", "value": mark })
}

/// The number of the company's newest audit entry.
pub async fn newest_entry(world: &World, admin: &Actor) -> i64 {
    let newest = world.domain.audit_entries(admin, &Default::default(), &PageArgs::first(1)).await.unwrap();
    newest.nodes().next().unwrap().seq
}
