//! Whether Kafka accepts what is sent.

use super::unavailable;
use crate::domain::Error;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// How long an acknowledgement of one partition says that Kafka is there, while another one is not heard of.
const FRESH: Duration = Duration::from_secs(10);

/// Which partitions work at present and which do not.
pub(super) struct Health(Mutex<Inner>);

struct Inner {
    /// Why the cluster does not answer.
    cluster: Option<String>,
    /// How many partitions there are.
    partitions: usize,
    failing: BTreeMap<i32, Failing>,
    /// The last acknowledgement of any partition.
    acknowledged: Option<Instant>,
}

struct Failing {
    detail: String,
    /// No broker has answered; otherwise one has, that this partition takes nothing (it has no leader, for instance).
    silent: bool,
}

impl Health {
    pub(super) fn new() -> Self {
        let cluster = Some("not connected yet".to_owned());
        Self(Mutex::new(Inner { cluster, partitions: 0, failing: BTreeMap::new(), acknowledged: None }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The cluster has answered: it has so many partitions.
    pub(super) fn answered(&self, partitions: usize) {
        let mut inner = self.inner();
        (inner.cluster, inner.partitions) = (None, partitions);
    }

    pub(super) fn not_answered(&self, detail: String) {
        self.inner().cluster = Some(detail);
    }

    pub(super) fn acknowledged(&self, partition: i32) {
        let mut inner = self.inner();
        inner.failing.remove(&partition);
        inner.acknowledged = Some(Instant::now());
    }

    pub(super) fn failing(&self, partition: i32, detail: String, silent: bool) {
        self.inner().failing.insert(partition, Failing { detail, silent });
    }

    /// How many partitions take nothing at present.
    pub(super) fn failing_partitions(&self) -> usize {
        self.inner().failing.len()
    }

    /// Fails when no partition is acknowledged, and says why. A single partition that fails does not count.
    pub(super) fn check(&self) -> Result<(), Error> {
        let inner = self.inner();
        let first = inner.failing.iter().next();
        let is_fresh = inner.acknowledged.is_some_and(|then| then.elapsed() < FRESH);
        let all_fail = inner.failing.len() >= inner.partitions;
        let silent = inner.failing.values().any(|failing| failing.silent);
        match (&inner.cluster, first) {
            (Some(detail), _) => Err(unavailable(detail)),
            (None, Some((partition, failing))) if all_fail || (silent && !is_fresh) => {
                Err(unavailable(format!("partition {partition}: {}", failing.detail)))
            }
            (None, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_partition_is_not_kafka() {
        let health = Health::new();
        assert!(health.check().is_err());
        health.answered(3);
        assert!(health.check().is_ok());
        // No leader: a broker says so.
        health.failing(1, "no leader".to_owned(), false);
        health.failing(2, "no leader".to_owned(), false);
        assert!(health.check().is_ok());
        health.failing(0, "no leader".to_owned(), false);
        assert!(health.check().is_err());
        health.acknowledged(0);
        assert!(health.check().is_ok());
        // Silence is all that is heard.
        health.failing(1, "no answer".to_owned(), true);
        assert!(health.check().is_ok());
        tokio::time::advance(FRESH).await;
        assert!(health.check().is_err());
        assert_eq!(health.failing_partitions(), 2);
        health.acknowledged(0);
        assert!(health.check().is_ok());
    }
}
