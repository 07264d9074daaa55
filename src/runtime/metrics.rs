//! Metrics in Prometheus's text format.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

/// Bounds of the buckets of every histogram of seconds.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Bounds of the buckets of every histogram of how many locations went together.
const BATCH: &[f64] = &[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0];

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// The process's recorder; the first call installs it, so that roles which share a process share their numbers.
///
/// Names end in their unit, as Prometheus's conventions have it: `_seconds`, `_total`, `_locations`.
pub fn recorder() -> PrometheusHandle {
    RECORDER
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
                .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_locations".to_owned()), BATCH))
                .expect("the bounds are not empty")
                .build_recorder();
            let handle = recorder.handle();
            // Fails only when something else in this process has one, as a test may.
            let _ = metrics::set_global_recorder(recorder);
            metrics::gauge!("udaconnect_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            handle
        })
        .clone()
}
