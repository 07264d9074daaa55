//! Keeps the dead letters of a topic within their bounds while the consumer runs.

use super::pump::Worker;
use crate::store::{DeadLetterLimits, DeadLetterStock};
use chrono::TimeDelta;
use metrics::{counter, gauge};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// How often is looked, and after how many new letters of this process without waiting for that.
const EVERY: Duration = Duration::from_secs(60);
const MANY: usize = 5_000;

/// How much of what cannot be stored is kept, and for how long.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Dead letters")]
pub struct LetterArgs {
    /// Dead letters of the topic, at most; beyond it the oldest are dropped
    #[arg(long, env, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    dead_letters_most: u32,
    /// What dead letters of the topic may take, in MiB; beyond it the oldest are dropped
    #[arg(long, env, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    dead_letters_mib: u32,
    /// Days that dead letters are kept; 0 for ever
    #[arg(long, env, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=36_500))]
    dead_letters_days: u32,
}

impl LetterArgs {
    fn limits(&self) -> DeadLetterLimits {
        DeadLetterLimits {
            letters: self.dead_letters_most.into(),
            bytes: i64::from(self.dead_letters_mib) << 20,
            age: (self.dead_letters_days > 0).then(|| TimeDelta::days(self.dead_letters_days.into())),
        }
    }
}

/// How many letters have come since the last look.
#[derive(Default)]
pub(super) struct Letters {
    new: AtomicUsize,
    many: Notify,
}

impl Letters {
    pub(super) fn came(&self, count: usize) {
        if count > 0 && self.new.fetch_add(count, Ordering::Relaxed) + count >= MANY {
            self.many.notify_one();
        }
    }
}

/// Looks again and again, for ever.
pub(super) async fn bound(worker: &Worker) {
    let mut well = true;
    loop {
        worker.letters.new.store(0, Ordering::Relaxed);
        let limits = worker.args.letters.limits();
        match worker.store.bound_dead_letters(worker.cluster.topic(), limits).await {
            Ok(stock) => {
                well = true;
                say(stock);
            }
            Err(error) => {
                if well {
                    tracing::warn!(%error, "cannot look after dead letters, trying again later");
                }
                well = false;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = worker.letters.many.notified() => {}
        }
    }
}

fn say(stock: DeadLetterStock) {
    gauge!("udaconnect_dead_letters").set(stock.letters as f64);
    gauge!("udaconnect_dead_letters_bytes").set(stock.bytes as f64);
    for (reason, count) in [("room", stock.dropped_for_room), ("age", stock.dropped_for_age)] {
        if count > 0 {
            counter!("udaconnect_dead_letters_dropped_total", "reason" => reason).increment(count as u64);
            tracing::warn!(count, reason, "dead letters were dropped");
        }
    }
}
