//! The counts of what all phones have done.

use hdrhistogram::Histogram;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts of all phones.
pub struct Stats {
    /// With those that are sent again.
    pub sent: AtomicU64,
    /// Each location once, however often it was sent.
    pub acknowledged: AtomicU64,
    pub refused: AtomicU64,
    pub offline: AtomicU64,
    /// Measured and not acknowledged by the end.
    pub left: AtomicU64,
    /// Times that a stream broke which nobody had closed.
    pub broken: AtomicU64,
    latencies: Mutex<Histogram<u64>>,
    first_error: Mutex<Option<String>>,
}

impl Stats {
    pub fn new() -> Self {
        // A microsecond to ten minutes, to three digits.
        let latencies = Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are valid");
        Self {
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            offline: AtomicU64::new(0),
            left: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            latencies: Mutex::new(latencies),
            first_error: Mutex::new(None),
        }
    }

    /// From sending to acknowledgement.
    pub fn latencies(&self, all: impl Iterator<Item = Duration>) {
        let mut latencies = self.latencies.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for latency in all {
            latencies.saturating_record(latency.as_micros().max(1) as u64);
        }
    }

    /// Keeps the first of what went wrong.
    pub fn error(&self, text: String) {
        self.first_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(text);
    }

    pub fn first_error(&self) -> Option<String> {
        self.first_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Half, 95 % and 99 % of the acknowledgements came so fast; and the slowest.
    pub fn percentiles(&self) -> String {
        let latencies = self.latencies.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let ms = |micros: u64| format!("{:.1}", micros as f64 / 1e3);
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|quantile| ms(latencies.value_at_quantile(quantile)));
        format!("p50 {p50}, p95 {p95}, p99 {p99}, most {} ms", ms(latencies.max()))
    }

    pub fn line(&self, seconds: f64) -> String {
        let acknowledged = self.acknowledged.load(Relaxed);
        format!(
            "{} sent, {acknowledged} acknowledged ({:.0} a second), {} offline; {}",
            self.sent.load(Relaxed),
            acknowledged as f64 / seconds.max(1e-3),
            self.offline.load(Relaxed),
            self.percentiles()
        )
    }
}
