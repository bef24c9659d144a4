//! The API of the NVD, which answers in pages: from a server of the test's own.

use std::sync::Mutex;

use domain::intel::feed::Feed;
use domain::job::JobState;
use domain::vocabulary::time::Span;
use serde_json::json;
use support::{World, finished, on_both};

use super::fetch::{Answer, NOTHING, Server, standing_of, whole};
use super::{line, nvd_item};

on_both!(pages_are_one_load, pages_that_do_not_fit_together_are_refused);

const EVERY: Span = Span(2 * Span::HOUR.0);

/// The number behind `name=` in a request.
fn asked(request: &str, name: &str) -> Option<u64> {
    let (_, rest) = request.split_once(&format!("{name}="))?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// Answers with the page that was asked for, of `total` CVEs, two at a time.
fn page(request: &str, total: u64) -> Answer {
    let from = asked(request, "startindex").expect("a page is asked for");
    let items: Vec<_> =
        (from..total.min(from + 2)).map(|at| nvd_item(&format!("CVE-2026-{at:04}"))).collect();
    let page = json!({
        "resultsPerPage": items.len(), "startIndex": from, "totalResults": total, "format": "NVD_CVE",
        "timestamp": "2026-11-21T07:59:00.000", "vulnerabilities": items,
    });
    whole("200 OK", "", &page.to_string())
}

async fn pages_are_one_load(world: &World) {
    world.import_lines(&[line("a", "CVE-2026-0000"), line("b", "CVE-2026-0004")]).await;
    let server = Server::start().await;
    let plan = server.plan_of(Feed::Nvd, "rest/json/cves/2.0?resultsPerPage=500 every 2h");
    // Each page but the first fails once, as the NVD does under load.
    let failed = Mutex::new(std::collections::BTreeSet::new());
    server.answers(move |request| {
        let from = asked(request, "startindex");
        if from != Some(0) && failed.lock().unwrap().insert(from) {
            return whole("503 Service Unavailable", "", "");
        }
        page(request, 5)
    });
    let loads = world.domain.fetch_due(&plan).await.unwrap();
    assert_eq!(loads.len(), 1);
    let job = finished(&world.domain, &world.root, loads[0]).await;
    assert_eq!((job.state, job.counts["rows"].as_i64()), (JobState::Completed, Some(5)), "{:?}", job.error);
    for title in ["a", "b"] {
        assert_eq!(world.finding(title).await.shown.cvss_score, Some(7.5));
    }
    let requests = server.asked();
    let pages: Vec<_> = requests.iter().map(|request| asked(request, "startindex")).collect();
    assert_eq!(pages, [0, 2, 2, 4, 4].map(Some));
    assert!(requests.iter().all(|request| asked(request, "resultsperpage") == Some(500)));
    assert!(requests.iter().all(|request| !request.contains("lastmod")), "the first time all is asked for");

    // From then on what changed since an hour before the last time; nothing did.
    let begun = world.clock.now();
    world.clock.advance(EVERY);
    server.answers(|request| page(request, 0));
    assert_eq!(world.domain.fetch_due(&plan).await.unwrap(), NOTHING);
    let request = server.asked().pop().unwrap();
    let day = |at: domain::vocabulary::time::Timestamp| at.to_string().to_lowercase()[..19].to_owned();
    assert!(
        request.contains(&format!("lastmodstartdate={}.000z", day(begun.minus(Span::HOUR)))),
        "{request}"
    );
    assert!(request.contains(&format!("lastmodenddate={}.000z", day(world.clock.now()))), "{request}");
    let now = standing_of(world, Feed::Nvd).await;
    assert_eq!((now.facts, now.current_at, now.error), (5, Some(world.clock.now()), None));

    // Something did: only that is loaded, and the rest stays.
    world.clock.advance(EVERY);
    server.answers(|request| page(request, 1));
    let loads = world.domain.fetch_due(&plan).await.unwrap();
    let job = finished(&world.domain, &world.root, loads[0]).await;
    assert_eq!((job.counts["rows"].as_i64(), job.counts["facts"].as_i64()), (Some(1), Some(0)));
    assert_eq!(standing_of(world, Feed::Nvd).await.facts, 5);

    // What changed in more time than the NVD tells of at once is asked for as a whole.
    world.clock.advance(Span(120 * Span::DAY.0));
    server.answers(|request| page(request, 2));
    assert_eq!(world.domain.fetch_due(&plan).await.unwrap().len(), 1);
    assert!(!server.asked().pop().unwrap().contains("lastmod"));
}

/// What a server answers to a query string.
type Answers = Box<dyn Fn(&str) -> Answer + Send + Sync>;

async fn pages_that_do_not_fit_together_are_refused(world: &World) {
    let server = Server::start().await;
    let plan = server.plan_of(Feed::Nvd, "rest/json/cves/2.0");
    let head = |from: u64, per: u64, total: u64| {
        let page = json!({ "startIndex": from, "resultsPerPage": per, "totalResults": total, "vulnerabilities": [] });
        whole("200 OK", "", &page.to_string())
    };
    let cases: Vec<(&str, Answers)> = vec![
        ("begins at 0", Box::new(move |_| head(1, 1, 2))),
        ("begins at 0", Box::new(move |_| head(0, 0, 2))),
        ("begins at 0", Box::new(|_| whole("200 OK", "", "<html>"))),
        ("begins at 1", Box::new(move |_| head(0, 1, 9))),
        ("status 403", Box::new(|_| whole("403 Forbidden", "", ""))),
    ];
    for (says, answer) in cases {
        server.answers(answer);
        assert_eq!(world.domain.fetch_due(&plan).await.unwrap(), NOTHING, "{says}");
        let told = standing_of(world, Feed::Nvd).await;
        assert!(told.error.as_deref().is_some_and(|error| error.contains(says)), "{says}: {:?}", told.error);
        world.clock.advance(Span::DAY);
    }
    let filter = domain::job::JobFilter { states: vec![JobState::Waiting], ..Default::default() };
    assert_eq!(world.domain.job_count(&world.root, &filter).await.unwrap(), 0, "nothing is left to wait");
}
