//! Large revokes: jobs that can be watched, stopped, and that know what they began with.

use std::collections::BTreeSet;

use domain::error::Code;
use domain::finding::edit::NewFinding;
use domain::finding::layers::SetField;
use domain::intake::report::Reported;
use domain::inventory::asset::NewAsset;
use domain::job::JobState;
use domain::rule::pass::{Mode, Turn};
use domain::rule::revoke::{RevokeOf, RevokeOutcome};
use domain::vocabulary::terms::Severity;
use serde_json::Value as Json;
use support::{World, finished, on_both};
use uuid::Uuid;

use super::{
    ApplicationFilter, RevokeRequest, all_of, applications, by_hand, counted, counts, every, forced, line,
    outcomes, tag, take_back, turns_on,
};

on_both!(a_large_revoke_is_a_job, what_the_rule_does_meanwhile_is_left_alone, a_revoke_can_be_stopped);

const MANY: usize = 650;

fn lines() -> Vec<Json> {
    (0..MANY).map(|at| line(&format!("f{at:04}"), Severity::High)).collect()
}

async fn tagged(world: &World) -> usize {
    let all = world.findings(world.acme.admin(), None).await;
    all.iter().filter(|finding| !finding.shown.set(SetField::Tags).is_empty()).count()
}

async fn a_large_revoke_is_a_job(world: &World) {
    let rule = world.rule("Tagged", 1, every(), tag(&["x"])).await;
    world.import_lines(&lines()).await;
    let kept = [world.finding("f0003").await.id, world.finding("f0600").await.id];
    for finding in kept {
        world.edit(finding, by_hand(&["x"])).await;
    }
    let author = world.acme.author();
    let request = RevokeRequest { turn_off: true, sweep: true, ..all_of(rule.id) };
    let started = world.domain.rule_revoke(author, request).await.unwrap();
    assert_eq!(world.domain.rule(author, rule.id).await.unwrap().mode, Mode::Off, "off as it begins");
    let job = finished(&world.domain, author, started.id).await;
    let rest = i64::try_from(MANY - kept.len()).unwrap();
    assert_eq!(counts(&job), counted(&[("restored", rest), ("conflict", 2)]));
    assert_eq!((job.done, job.total), (rest + 2, Some(rest + 2)));
    let came = outcomes(world, job.id).await;
    let findings: BTreeSet<Uuid> = came.iter().map(|one| one.finding).collect();
    assert_eq!((came.len(), findings.len()), (MANY, MANY), "each finding once");
    let conflicts: BTreeSet<Uuid> =
        came.iter().filter(|one| one.outcome == RevokeOutcome::Conflict).map(|one| one.finding).collect();
    assert_eq!(conflicts, BTreeSet::from(kept));
    assert_eq!(tagged(world).await, kept.len());
    let steps = world.domain.job_progress(author, job.id, 0).await.unwrap();
    assert!(steps.len() >= 4, "{} steps", steps.len());
    assert!(steps.windows(2).all(|pair| pair[0].done <= pair[1].done));
    let sweep = job.revoke().unwrap().sweep.unwrap();
    assert_eq!(finished(&world.domain, author, sweep).await.state, JobState::Completed);

    let follow = RevokeRequest { of: RevokeOf::Conflicts { job: job.id }, ..all_of(rule.id) };
    let follow = take_back(world, forced(follow)).await;
    assert_eq!(counts(&follow), counted(&[("restored", 2)]));
    assert_eq!(tagged(world).await, 0);
    world.assert_ledger_whole().await;
}

/// Somebody enters a finding: the rules speak of it at once, without a worker.
async fn enter(world: &World, asset: Uuid, title: &str) -> Uuid {
    let reported = Reported { title: title.to_owned(), ..Reported::default() };
    let new = NewFinding { project: world.acme.project, asset, scanner: None, reported };
    world.domain.finding_create(world.acme.analyst(), new).await.unwrap().id
}

async fn what_the_rule_does_meanwhile_is_left_alone(world: &World) {
    let author = world.acme.author();
    let rule = world.rule("Tagged", 1, every(), tag(&["x"])).await;
    world.import_lines(&lines()).await;
    let asset = NewAsset { name: "db-01".to_owned(), ..NewAsset::default() };
    let asset = world.domain.asset_create(world.acme.analyst(), asset).await.unwrap().id;
    world.stop().await;
    let job = world.domain.rule_revoke(author, all_of(rule.id)).await.unwrap();
    assert_eq!(job.state, JobState::Pending);
    let later = enter(world, asset, "later").await;
    world.start(0).await;
    let job = finished(&world.domain, author, job.id).await;
    assert_eq!(counts(&job), counted(&[("restored", i64::try_from(MANY).unwrap())]));
    assert_eq!(tagged(world).await, 1);
    assert_eq!(turns_on(world, rule.id, later).await, [Turn::Added]);
}

async fn a_revoke_can_be_stopped(world: &World) {
    let author = world.acme.author();
    let rule = world.rule("Tagged", 1, every(), tag(&["x"])).await;
    world.import_lines(&lines()).await;
    world.stop().await;
    let job = world.domain.rule_revoke(author, all_of(rule.id)).await.unwrap();
    let refused = world.domain.job_cancel(world.acme.analyst(), job.id).await.unwrap_err();
    assert_eq!(refused.code, Code::Forbidden);
    let early = RevokeRequest { of: RevokeOf::Conflicts { job: job.id }, ..all_of(rule.id) };
    let refused = world.domain.rule_revoke(author, early).await.unwrap_err();
    assert_eq!(refused.code, Code::IllegalState, "what goes on is not followed up");
    let job = world.domain.job_cancel(author, job.id).await.unwrap();
    assert_eq!(job.state, JobState::Cancelled);
    world.start(0).await;
    assert_eq!(tagged(world).await, MANY);
    assert!(outcomes(world, job.id).await.is_empty());
    // Asked for again, it is done.
    let done = take_back(world, all_of(rule.id)).await;
    assert_eq!(counts(&done), counted(&[("restored", i64::try_from(MANY).unwrap())]));
    let filter = ApplicationFilter { change: Some(Turn::Withdrawn), ..Default::default() };
    let withdrawn = world.domain.rule_application_count(author, &filter).await.unwrap();
    assert_eq!(withdrawn, i64::try_from(MANY).unwrap());
    assert_eq!(applications(world, filter).await.len(), 500, "a page has its most");
}
