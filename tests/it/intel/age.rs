//! Feeds that grow old: who is told, and how.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

use domain::access::Role;
use domain::intel::feed::Feed;
use domain::vocabulary::time::Span;
use metrics_exporter_prometheus::PrometheusBuilder;
use support::{World, on_both};

use super::{kev, loaded};

on_both!(feeds_grow_old);

async fn feeds_grow_old(world: &World) {
    loaded(world, &world.root, Feed::Kev, &kev(&[("CVE-2026-0001", "2026-12-01", true)])).await;
    let standing = async || {
        let feeds = world.domain.intel_feeds(&world.acme.person(Role::Viewer).actor).await.unwrap();
        feeds.into_iter().find(|feed| feed.feed == Feed::Kev).unwrap()
    };
    let now = world.clock.now();
    let fresh = standing().await;
    assert_eq!((fresh.age(now), fresh.is_stale(now), fresh.warning(now)), (Some(Span(0)), false, None));
    world.clock.advance(Span(8 * Span::DAY.0));
    let now = world.clock.now();
    let old = standing().await;
    assert_eq!(old.age(now), Some(Span(8 * Span::DAY.0)));
    assert!(old.is_stale(now));
    assert!(old.warning(now).unwrap().contains("8 days old"));
    assert_eq!(old.source, None, "where it came from is for who manages it");

    // Operators hear of it in the log, once until it is loaded again, and at any time by the metric.
    let recorder = PrometheusBuilder::new().build_recorder();
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer({
        let log = log.clone();
        move || log.clone()
    });
    let _recorded = metrics::set_default_local_recorder(&recorder);
    let _logged = tracing::subscriber::set_default(subscriber.finish());
    let mut warned = BTreeSet::new();
    for age in [8, 9] {
        world.domain.tidy_up(&mut warned).await.unwrap();
        let told = recorder.handle().render();
        let seconds = format!("countersign_intel_feed_age_seconds{{feed=\"KEV\"}} {}", age * 86_400);
        assert!(told.contains(&seconds), "{told}");
        assert_eq!(log.lines("CISA KEV is 8 days old"), 1, "after {age} days");
        world.clock.advance(Span::DAY);
    }
    loaded(world, &world.root, Feed::Kev, &kev(&[("CVE-2026-0001", "2026-12-01", true)])).await;
    world.domain.tidy_up(&mut warned).await.unwrap();
    assert!(warned.is_empty(), "it is the newest again");
    world.clock.advance(Span(8 * Span::DAY.0));
    world.domain.tidy_up(&mut warned).await.unwrap();
    assert_eq!(log.lines("CISA KEV is 8 days old"), 2);
}

/// What is logged, to be read again.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// How many lines have this in them.
    fn lines(&self, text: &str) -> usize {
        let log = self.0.lock().expect("no test failed here");
        String::from_utf8_lossy(&log).lines().filter(|line| line.contains(text)).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test failed here").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
