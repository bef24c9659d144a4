//! A company to look at: people of every role, assets, rules, and a report that was taken in.
//!
//! Everything is made through the domain, as people would make it, so the audit tells the whole
//! story. Started again, the company is kept, and only fresh tokens are made.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use domain::Domain;
use domain::access::{Actor, Portfolio, Role};
use domain::error::{Error, Result};
use domain::intake::import::ImportRequest;
use domain::inventory::asset::NewAsset;
use domain::inventory::project::{NewProject, Project};
use domain::inventory::team::Team;
use domain::inventory::token::{Holder, NewToken};
use domain::inventory::user::{NewUser, User};
use domain::job::Job;
use domain::rule::pass::Mode;
use domain::rule::{OnExpiry, RuleDraft};
use domain::vocabulary::terms::{Criticality, Environment};
use domain::vocabulary::time::Span;
use futures_util::StreamExt;
use serde_json::{Value as Json, json};

use crate::cli::operator;

const COMPANY: &str = "Acme Retail";
const REPORT: &str = include_str!("demo/web.trivy.json");

/// Those for whom a link or a token is printed.
const ADMIN: &str = "ada.admin@acme.example";
const AUTHOR: &str = "ana.author@acme.example";
const ANALYST: &str = "noor.analyst@acme.example";

const PEOPLE: &[(&str, &str, Role)] = &[
    (ADMIN, "Ada Admin", Role::Admin),
    (AUTHOR, "Ana Author", Role::Author),
    ("omar.approver@acme.example", "Omar Approver", Role::Approver),
    (ANALYST, "Noor Analyst", Role::Analyst),
    ("vic.viewer@acme.example", "Vic Viewer", Role::Viewer),
    ("ulla.auditor@acme.example", "Ulla Auditor", Role::Auditor),
];

/// Makes what is missing, and prints how to look at it.
pub async fn run(domain: &Domain, address: SocketAddr) -> Result<()> {
    let company = match operator::company(domain, COMPANY).await? {
        Some(company) => company,
        None => {
            let company = domain.company_create(&operator::platform(), COMPANY, false).await?;
            furnish(domain, &operator::of(company.id)).await?;
            company
        }
    };
    let actor = operator::of(company.id);
    println!("\n{COMPANY} is ready: http://{address}/graphql");
    for (email, may) in [(AUTHOR, "writes rules"), (ANALYST, "triages findings")] {
        let Some(user) = crate::cli::member(domain, &actor, email).await? else { continue };
        let new = NewToken {
            holder: Some(Holder::User(user.id)),
            name: "demo".to_owned(),
            scopes: None,
            life: Some(Span(7 * Span::DAY.0)),
        };
        let (_, secret) = domain.token_create(&actor, new).await?;
        println!("  {} {may}; for seven days: {}", user.name, secret.reveal());
    }
    if let Some(admin) = crate::cli::member(domain, &actor, ADMIN).await? {
        let (user, link) = domain.password_link(&actor, admin.id).await?;
        let link = crate::sign_in::link_url(domain, &link);
        let base = if link.starts_with('/') { format!("http://{address}") } else { String::new() };
        println!("  {} sets a password, once, and is signed in:", user.name);
        println!("    curl {base}{link} -H 'Content-Type: application/json' -d '{{\"password\": \"…\"}}'");
    }
    Ok(())
}

async fn furnish(domain: &Domain, actor: &Actor) -> Result<()> {
    let mut users = Vec::new();
    for (email, name, role) in PEOPLE {
        let new = NewUser {
            email: (*email).to_owned(),
            name: (*name).to_owned(),
            grant: Some((*role, Portfolio::Whole)),
            platform_admin: false,
        };
        users.push(domain.user_create(actor, new).await?);
    }
    let analyst = &users[3];
    let appsec = domain.team_create(actor, "AppSec", &[analyst.id]).await?;
    let platform = domain.team_create(actor, "Platform", &[users[1].id]).await?;
    let project =
        |name: &str, text: &str| NewProject { name: name.to_owned(), description: Some(text.to_owned()) };
    let shop = domain.project_create(actor, project("Web shop", "What customers buy in.")).await?;
    let office = domain.project_create(actor, project("Back office", "What the company runs on.")).await?;
    assets(domain, actor, &appsec, &platform).await?;
    contractor(domain, actor, &office).await?;
    let of_shop = Portfolio::Only { projects: BTreeSet::from([shop.id]), teams: BTreeSet::new() };
    domain.service_account_create(actor, "build pipeline", Role::Analyst, of_shop).await?;
    for draft in rules(&appsec, analyst) {
        domain.rule_create(actor, draft).await?;
    }
    import(domain, actor, &shop).await
}

/// A viewer of one project alone.
async fn contractor(domain: &Domain, actor: &Actor, project: &Project) -> Result<()> {
    let portfolio = Portfolio::Only { projects: BTreeSet::from([project.id]), teams: BTreeSet::new() };
    let new = NewUser {
        email: "carl.contractor@acme.example".to_owned(),
        name: "Carl Contractor".to_owned(),
        grant: Some((Role::Viewer, portfolio)),
        platform_admin: false,
    };
    domain.user_create(actor, new).await?;
    Ok(())
}

async fn assets(domain: &Domain, actor: &Actor, appsec: &Team, platform: &Team) -> Result<()> {
    let asset =
        |name: &str, kind: &str, criticality, environment, exposed, owner: &Team, tags: &[&str]| NewAsset {
            name: name.to_owned(),
            kind: Some(kind.to_owned()),
            class: None,
            groups: vec!["retail".to_owned()],
            criticality: Some(criticality),
            environment: Some(environment),
            internet_exposed: Some(exposed),
            owner_team: Some(owner.id),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        };
    let live = Environment::Production;
    for new in [
        asset("shop/web:2.4.1", "container_image", Criticality::Critical, live, true, appsec, &["pci"]),
        asset("shop/api:1.9.0", "container_image", Criticality::High, live, true, appsec, &["pci"]),
        asset("db-01.acme.example", "host", Criticality::High, live, false, platform, &[]),
        asset(
            "build-01.acme.example",
            "host",
            Criticality::Low,
            Environment::Development,
            false,
            platform,
            &[],
        ),
    ] {
        domain.asset_create(actor, new).await?;
    }
    Ok(())
}

/// A small policy: it composes, each rule seeing what the earlier ones made of the finding.
fn rules(appsec: &Team, analyst: &User) -> Vec<RuleDraft> {
    let leaf = |field: &str, operator: &str, value: Json| json!({ "field": field, "operator": operator, "value": value });
    let all = |conditions: &[Json]| json!({ "logic": "AND", "conditions": conditions });
    let any = |conditions: &[Json]| json!({ "logic": "OR", "conditions": conditions });
    let rule = |order, name: &str, mode, criteria, action| RuleDraft {
        key: None,
        name: name.to_owned(),
        description: None,
        order,
        mode,
        expires_at: None,
        on_expiry: OnExpiry::Keep,
        criteria,
        action,
        requires_approval: false,
    };
    vec![
        rule(
            10,
            "Titles in one style",
            Mode::Enforce,
            all(&[leaf("scanner_source", "eq", json!("trivy"))]),
            json!({ "type": "normalize_title" }),
        ),
        rule(
            20,
            "Exposed and critical to urgent",
            Mode::Enforce,
            all(&[
                leaf("severity", "eq", json!("critical")),
                leaf("internet_exposed", "eq", json!(true)),
                leaf("fix_available", "eq", json!(true)),
            ]),
            json!({ "type": "override_severity", "config": { "severity": "urgent" } }),
        ),
        rule(
            30,
            "Critical without a fix to high",
            Mode::Enforce,
            all(&[leaf("severity", "eq", json!("critical")), leaf("fix_available", "neq", json!(true))]),
            json!({ "type": "override_severity", "config": { "severity": "high" } }),
        ),
        rule(
            40,
            "Card data is in scope of PCI",
            Mode::Enforce,
            all(&[leaf("asset_tags", "contains", json!("pci"))]),
            json!({ "type": "append_tag", "config": { "tags": ["pci"] } }),
        ),
        rule(
            50,
            "High and above to AppSec",
            Mode::Enforce,
            all(&[
                leaf("severity", "gte_ord", json!("high")),
                leaf("asset_type", "eq", json!("container_image")),
            ]),
            json!({ "type": "assign", "config": { "teams": [appsec.id], "users": [analyst.id] } }),
        ),
        rule(
            60,
            "Low noise of base images is accepted",
            Mode::Enforce,
            all(&[leaf("severity", "lte_ord", json!("low")), leaf("fix_available", "neq", json!(true))]),
            json!({ "type": "accepted_risk", "config": { "reason": "No fix, low impact, reviewed each quarter", "reference": "RISK-7" } }),
        ),
        rule(
            70,
            "Would secrets be urgent?",
            Mode::Observe,
            any(&[
                leaf("vulnerability_type", "contains", json!("secret")),
                leaf("scanner_category", "contains", json!("secret")),
            ]),
            json!({ "type": "override_severity", "config": { "severity": "urgent" } }),
        ),
    ]
}

async fn import(domain: &Domain, actor: &Actor, project: &Project) -> Result<()> {
    let request = ImportRequest {
        project: project.id,
        format: None,
        mapping: None,
        saved: None,
        asset: None,
        series: None,
        complete: true,
        name: "web.trivy.json".to_owned(),
    };
    let job = domain.import_start(actor, request).await?;
    let mut incoming = domain.import_upload(actor, job.id).await?;
    incoming.write(REPORT.as_bytes()).await?;
    incoming.finish().await?;
    println!("Importing web.trivy.json:");
    let steps = domain.job_steps(actor, job.id, Some(0)).await?;
    let mut steps = std::pin::pin!(steps);
    while let Some(step) = steps.next().await {
        println!("  {}", crate::cli::step(&step?.progress));
    }
    let ended: Job = domain.job(actor, job.id).await?;
    match ended.error {
        None => Ok(()),
        Some(error) => Err(Error::internal(format!("the demo's report was refused: {error}"))),
    }
}
