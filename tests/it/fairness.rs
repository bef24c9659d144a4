//! Large imports share the server: a small one, and another company, do not wait for their end.

use domain::intake::import::ImportRequest;
use domain::job::JobState;
use futures_util::future::join_all;
use serde_json::json;
use support::{Held, World, finished, on_both, upload};

on_both!(nobody_waits_for_the_large_imports_of_another);

async fn nobody_waits_for_the_large_imports_of_another(world: &World) {
    let line = json!({ "scanner_reference": "a", "title": "a", "asset": "web-01", "severity": "low" });
    let small = format!("{line}\n");
    let large = format!("{}{small}", "\n".repeat(9 << 20));
    let acme = world.acme.analyst();
    world.stop().await;
    let mut waiting = Vec::new();
    for _ in 0..6 {
        let job = upload(&world.domain, acme, world.request("large"), large.as_bytes()).await;
        waiting.push((job, Held::hold(&world.domain, job)));
    }
    let request = ImportRequest { project: world.globex.project, ..world.request("large") };
    let other = upload(&world.domain, world.globex.analyst(), request, large.as_bytes()).await;
    let short = upload(&world.domain, acme, world.request("small"), small.as_bytes()).await;

    let domain = world.start(0).await;
    for (actor, job) in [(acme, short), (world.globex.analyst(), other)] {
        assert_eq!(finished(&domain, actor, job).await.state, JobState::Completed);
    }
    for (job, _) in &waiting {
        assert!(!domain.job(acme, *job).await.unwrap().state.is_end(), "it is still held");
    }
    join_all(waiting.iter().map(async |(_, held)| held.begun().await.let_go("?\n"))).await;
    for (job, _) in waiting {
        assert_eq!(finished(&domain, acme, job).await.state, JobState::Failed, "what it gets is no report");
    }
}
