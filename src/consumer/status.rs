//! The state of the consumer's work, for readiness and metrics.

use chrono::{DateTime, Utc};
use metrics::gauge;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What a worker does at this moment. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Status(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// Whether the topic was ever found.
    connected: bool,
    /// When Kafka has answered last, whatever was asked.
    heard: Option<Instant>,
    topic: Option<String>,
    partitions: BTreeMap<i32, Progress>,
    /// Partitions that were owned and whose gauges are still to be set to nothing.
    given_up: Vec<i32>,
}

/// How far one partition is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The offset after the last record that is stored.
    pub next_offset: i64,
    /// The offset behind the last record that can be read: what belongs to a transaction that is under way cannot.
    pub high_watermark: i64,
    /// When the last record that is stored was written.
    pub last_time: Option<DateTime<Utc>>,
    /// Why nothing can be read from it at present.
    pub error: Option<String>,
    /// Why what was read from it cannot be stored at present.
    pub not_stored: Option<String>,
}

impl Status {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether Kafka gives what is asked of it; the error is a sentence for operators.
    pub fn check(&self) -> Result<(), String> {
        let inner = self.inner();
        if let Some(error) = &inner.topic {
            return Err(error.clone());
        }
        if !inner.connected {
            return Err("not connected yet".to_owned());
        }
        let failing = inner.partitions.iter().find_map(|(id, progress)| Some((id, progress.error.as_ref()?)));
        failing.map_or(Ok(()), |(id, error)| Err(format!("partition {id}: {error}")))
    }

    /// Whether what was read can be stored; the error is a sentence for operators.
    pub fn check_storing(&self) -> Result<(), String> {
        let inner = self.inner();
        let failing = inner.partitions.iter().find_map(|(id, progress)| Some((id, progress.not_stored.as_ref()?)));
        failing.map_or(Ok(()), |(id, error)| Err(format!("partition {id}: {error}")))
    }

    /// Writes the gauges that `/metrics` shows.
    pub(super) fn measure(&self) {
        gauge!("udaconnect_kafka_up").set(f64::from(u8::from(self.check().is_ok())));
        let mut inner = self.inner();
        let waiting = inner.partitions.values().filter(|progress| progress.not_stored.is_some()).count();
        gauge!("udaconnect_consume_partitions_waiting").set(waiting as f64);
        gauge!("udaconnect_kafka_partitions_owned").set(inner.partitions.len() as f64);
        for (id, progress) in &inner.partitions {
            let records = (progress.high_watermark - progress.next_offset).max(0);
            // Of what is not stored, the oldest is a little younger than the youngest that is.
            let seconds = match progress.last_time {
                Some(time) if records > 0 => (Utc::now() - time).as_seconds_f64().max(0.0),
                _ => 0.0,
            };
            gauge!("udaconnect_kafka_lag_records", "partition" => id.to_string()).set(records as f64);
            gauge!("udaconnect_kafka_lag_seconds", "partition" => id.to_string()).set(seconds);
        }
        for id in std::mem::take(&mut inner.given_up) {
            gauge!("udaconnect_kafka_lag_records", "partition" => id.to_string()).set(0.0);
            gauge!("udaconnect_kafka_lag_seconds", "partition" => id.to_string()).set(0.0);
        }
    }

    /// Notes whether the topic could be asked about.
    pub(super) fn topic(&self, error: Option<String>) {
        let mut inner = self.inner();
        if error.is_none() {
            inner.connected = true;
            inner.heard = Some(Instant::now());
        }
        inner.topic = error;
    }

    /// Notes that Kafka has answered.
    pub(super) fn heard(&self) {
        self.inner().heard = Some(Instant::now());
    }

    /// For how long Kafka has answered nothing; not at all before it has answered for the first time.
    pub(super) fn silence(&self) -> Duration {
        self.inner().heard.map_or(Duration::ZERO, |heard| heard.elapsed())
    }

    pub(super) fn update(&self, partition: i32, change: impl FnOnce(&mut Progress)) {
        if let Some(progress) = self.inner().partitions.get_mut(&partition) {
            change(progress);
        }
    }

    pub(super) fn taken(&self, partition: i32, next_offset: i64) {
        let progress = Progress { next_offset, high_watermark: next_offset, ..Progress::default() };
        let mut inner = self.inner();
        inner.given_up.retain(|id| *id != partition);
        inner.partitions.insert(partition, progress);
    }

    pub(super) fn given_up(&self, partition: i32) {
        let mut inner = self.inner();
        if inner.partitions.remove(&partition).is_some() {
            inner.given_up.push(partition);
        }
    }
}
