//! What waits for something that never comes ends after its time, and says why.

use domain::error::Code;
use domain::finding::export::ExportRequest;
use domain::intel::feed::Feed;
use domain::inventory::scan::ScanStatus;
use domain::job::JobState;
use domain::vocabulary::time::Span;
use support::{World, on_both};
use uuid::Uuid;

on_both!(what_waits_for_too_long_ends);

async fn what_waits_for_too_long_ends(world: &World) {
    let (domain, admin) = (&world.domain, world.acme.admin());
    let export = domain.finding_export(admin, ExportRequest::default()).await.unwrap();
    let import = domain.import_start(admin, world.request("nightly")).await.unwrap();
    let load = domain.intel_load_start(admin, Feed::Kev, "kev.json").await.unwrap();
    // An upload that came in time is not touched, whenever its import ends.
    let taken = domain.import_start(admin, world.request("weekly")).await.unwrap();
    world.stop().await;
    domain.import_upload(admin, taken.id).await.unwrap().finish().await.unwrap();

    let mut late = domain.import_upload(admin, import.id).await.unwrap();
    late.write(b"{}").await.unwrap();
    let steps = [
        (Span::HOUR, vec![]),
        (Span::SECOND, vec![export.id]),
        (Span(23 * Span::HOUR.0 - Span::SECOND.0), vec![]),
        (Span::SECOND, vec![import.id, load.id]),
        (Span::DAY, vec![]),
    ];
    for (wait, expected) in steps {
        world.clock.advance(wait);
        let mut ended: Vec<Uuid> = domain.end_overdue().await.unwrap();
        ended.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(ended, expected, "after {wait} more");
    }
    for (id, says) in [(export.id, "within 1h"), (import.id, "within 1d"), (load.id, "within 1d")] {
        let job = domain.job(admin, id).await.unwrap();
        let message = job.error.unwrap()["message"].as_str().unwrap().to_owned();
        assert!(job.state == JobState::Failed && message.contains(says), "{says}: {message}");
        let told = world.told_of(id).await;
        assert_eq!(told.last().unwrap().action, "job.failed");
    }
    let scan = domain.scan(admin, import.scan().unwrap()).await.unwrap();
    assert_eq!(scan.status, ScanStatus::Failed);
    // What comes after the end is refused.
    assert_eq!(late.finish().await.unwrap_err().code, Code::IllegalState);
    assert_eq!(domain.job(admin, taken.id).await.unwrap().state, JobState::Pending);
}
