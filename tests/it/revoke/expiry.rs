//! A rule that ends with REVERT takes along what it said, once.

use domain::finding::edit::Edit;
use domain::job::{Job, JobFilter, JobKind};
use domain::page::PageArgs;
use domain::rule::{OnExpiry, Rule, RuleDraft};
use domain::vocabulary::terms::Severity;
use domain::vocabulary::time::Span;
use support::{World, draft, finished, on_both};

use super::{counted, counts, is, line, make, outcomes};

on_both!(what_ends_with_revert_is_taken_back_once, a_global_rule_ends_in_every_company);

/// Ends in an hour.
fn ending(world: &World, name: &str, from: Severity, on_expiry: OnExpiry) -> RuleDraft {
    let expires_at = Some(world.clock.now().plus(Span::HOUR));
    RuleDraft { expires_at, on_expiry, ..draft(name, 1, is(from), make(Severity::Info)) }
}

/// The revokes of Acme, the oldest first, each at its end.
async fn revokes(world: &World) -> Vec<Job> {
    let filter = JobFilter { kinds: vec![JobKind::Revoke], ..JobFilter::default() };
    let page = world.domain.jobs(world.acme.admin(), &filter, &PageArgs::first(9)).await.unwrap();
    let mut jobs = Vec::new();
    for job in page.nodes() {
        jobs.push(finished(&world.domain, world.acme.admin(), job.id).await);
    }
    jobs.reverse();
    jobs
}

async fn what_ends_with_revert_is_taken_back_once(world: &World) {
    let (domain, author) = (&world.domain, world.acme.author());
    let rule: Rule = domain
        .rule_create(author, ending(world, "Reverts", Severity::Critical, OnExpiry::Revert))
        .await
        .unwrap();
    domain.rule_create(author, ending(world, "Keeps", Severity::High, OnExpiry::Keep)).await.unwrap();
    domain.rule_create(author, ending(world, "Idles", Severity::Urgent, OnExpiry::Revert)).await.unwrap();
    let report = [line("a", Severity::Critical), line("b", Severity::High), line("c", Severity::Critical)];
    world.import_lines(&report).await;
    let c = world.finding("c").await.id;
    world.edit(c, Edit::SetSeverity { severity: Severity::Low, reason: None }).await;
    assert!(domain.revert_expired().await.unwrap().is_empty(), "their time is not over");

    // No server was there at the end; then several look at once.
    world.stop().await;
    world.clock.advance(Span::DAY);
    let (one, two) = (world.start(1).await, world.start(2).await);
    let (one, two) = tokio::join!(one.revert_expired(), two.revert_expired());
    let started = [one.unwrap(), two.unwrap()].concat();
    assert_eq!(started.len(), 1, "one revoke, whoever looks");
    assert!(domain.revert_expired().await.unwrap().is_empty());
    let jobs = revokes(world).await;
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), started);
    assert_eq!(counts(&jobs[0]), counted(&[("restored", 1), ("conflict", 1)]));
    let conflicts: Vec<_> =
        outcomes(world, jobs[0].id).await.into_iter().filter(|o| !o.conflicts.is_empty()).collect();
    assert_eq!(conflicts.iter().map(|one| one.finding).collect::<Vec<_>>(), [c], "conflicts are listed");
    let severity = async |title: &str| world.finding(title).await.shown.severity;
    assert_eq!((severity("a").await, severity("b").await), (Severity::Critical, Severity::Info));
    assert_eq!(severity("c").await, Severity::Low);
    let none = domain::rule::exemption::ExemptionFilter::default();
    assert_eq!(domain.rule_exemption_count(author, &none).await.unwrap(), 0, "an end leaves no exemptions");

    // With another end it holds again, and ends again.
    let again = ending(world, "Reverts", Severity::Critical, OnExpiry::Revert);
    domain.rule_update(author, rule.id, rule.version, again).await.unwrap();
    world.sweep().await;
    assert_eq!(severity("a").await, Severity::Info);
    world.clock.advance(Span::DAY);
    assert_eq!(domain.revert_expired().await.unwrap().len(), 1);
    assert_eq!(revokes(world).await.len(), 2);
    assert_eq!(severity("a").await, Severity::Critical);
    let told = world.told_of(rule.id).await;
    assert_eq!(told.iter().filter(|entry| entry.action == "rule.expired").count(), 2);
    world.assert_ledger_whole().await;
}

async fn a_global_rule_ends_in_every_company(world: &World) {
    let draft = ending(world, "Reverts", Severity::Critical, OnExpiry::Revert);
    world.domain.rule_create(&world.root, draft).await.unwrap();
    world.import_lines(&[line("a", Severity::Critical)]).await;
    assert_eq!(world.finding("a").await.shown.severity, Severity::Info);
    world.clock.advance(Span::DAY);
    let started = world.domain.revert_expired().await.unwrap();
    assert_eq!(started.len(), 1, "where it did nothing there is nothing to do");
    assert_eq!(revokes(world).await[0].id, started[0]);
    assert_eq!(world.finding("a").await.shown.severity, Severity::Critical);
    assert!(world.domain.revert_expired().await.unwrap().is_empty());
}
