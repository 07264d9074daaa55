//! Which partitions this worker pumps: it says that it lives, is told its share, and starts and stops pumps accordingly.

use super::letters::{self, Letters};
use super::pump::{self, Worker};
use super::{ConsumeArgs, Status};
use crate::domain::Result;
use crate::store::{Owned, Store};
use crate::stream::{Backoff, Cluster, KafkaArgs};
use chrono::TimeDelta;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// How long a worker keeps its partitions without saying that it lives. With one heartbeat, the longest time until the
/// partitions of a killed worker are taken over.
const LEASE: Duration = Duration::from_secs(5);
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often the topic is asked whether it has grown.
const REFRESH: Duration = Duration::from_secs(10);

/// Stores what the topic holds, together with all other workers, until the token is cancelled.
pub async fn consume(
    store: Store,
    kafka: &KafkaArgs,
    args: &ConsumeArgs,
    max_ahead: TimeDelta,
    status: Status,
    shutdown: CancellationToken,
) -> Result<()> {
    let cluster = Arc::new(Cluster::new(kafka)?);
    let worker = Arc::new(Worker {
        name: name(),
        permits: Semaphore::new(args.consume_writers as usize),
        owned: AtomicUsize::new(0),
        letters: Letters::default(),
        store,
        cluster,
        args: args.clone(),
        max_ahead,
        status,
    });
    let mut pumps =
        Pumps { worker: worker.clone(), running: HashMap::new(), tasks: JoinSet::new(), partitions: HashMap::new() };
    // Only this is cut short by the token; a pump ends where nothing is lost.
    tokio::select! {
        () = keep_share(&worker, &mut pumps) => {}
        () = letters::bound(&worker) => {}
        () = shutdown.cancelled() => {}
    }
    pumps.stop_all().await;
    // Otherwise the others wait until the lease is over.
    match tokio::time::timeout(LEASE, worker.store.leave(worker.cluster.topic(), &worker.name)).await {
        Ok(Ok(())) => tracing::info!(worker = worker.name, "partitions given up"),
        Ok(Err(error)) => tracing::warn!(%error, "partitions are given up when the lease ends"),
        Err(_) => tracing::warn!("partitions are given up when the lease ends"),
    }
    Ok(())
}

async fn keep_share(worker: &Worker, pumps: &mut Pumps) {
    let mut partitions = 0;
    let mut asked: Option<Instant> = None;
    let mut topic_backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let mut well = true;
    loop {
        if asked.is_none_or(|asked| asked.elapsed() >= REFRESH) {
            match worker.cluster.partitions().await {
                Ok(found) => {
                    if partitions != found {
                        tracing::info!(
                            topic = worker.cluster.topic(),
                            partitions = found,
                            worker = worker.name,
                            "connected to kafka"
                        );
                    }
                    partitions = found;
                    asked = Some(Instant::now());
                    topic_backoff.reset();
                    worker.status.topic(None);
                }
                Err(error) => {
                    if topic_backoff.is_fresh() {
                        tracing::warn!(%error, "kafka does not answer, trying again until it does");
                    }
                    worker.status.topic(Some(error.to_string()));
                    if partitions == 0 {
                        topic_backoff.wait().await;
                        continue;
                    }
                    // What is owned stays owned: when Kafka is back, it goes on where it was.
                    asked = Some(Instant::now());
                    topic_backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
                }
            }
        }
        let topic = worker.cluster.topic();
        match tokio::time::timeout(LEASE, worker.store.heartbeat(topic, &worker.name, partitions, LEASE)).await {
            Ok(Ok(owned)) => {
                if !well {
                    tracing::info!("the database answers again");
                }
                well = true;
                pumps.adjust(&owned);
            }
            failed => {
                if well {
                    let error = match failed {
                        Ok(Err(error)) => error.to_string(),
                        _ => "no answer".to_owned(),
                    };
                    tracing::warn!(error, "the database does not answer, trying again until it does");
                }
                // The pumps go on: if somebody else has got a partition meanwhile, the commit says so.
                well = false;
            }
        }
        worker.status.measure();
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT) => {}
            // One that has lost its partition, or whose offset was elsewhere: ask at once whose it is.
            () = pumps.ended() => {}
        }
    }
}

/// The pumps that run, by partition.
struct Pumps {
    worker: Arc<Worker>,
    running: HashMap<i32, CancellationToken>,
    tasks: JoinSet<()>,
    /// Which pump a task is.
    partitions: HashMap<Id, i32>,
}

impl Pumps {
    fn adjust(&mut self, owned: &[Owned]) {
        self.worker.owned.store(owned.len(), Ordering::Relaxed);
        for (partition, stop) in &self.running {
            if !owned.iter().any(|owned| owned.partition == *partition) && !stop.is_cancelled() {
                tracing::info!(partition, "partition given up");
                stop.cancel();
                self.worker.status.given_up(*partition);
            }
        }
        for owned in owned {
            // One that is being stopped is still here; its successor starts at the next heartbeat.
            if !self.running.contains_key(&owned.partition) {
                tracing::info!(partition = owned.partition, offset = owned.next_offset, "partition taken");
                let stop = CancellationToken::new();
                self.worker.status.taken(owned.partition, owned.next_offset);
                self.running.insert(owned.partition, stop.clone());
                let task = self.tasks.spawn(pump::run(self.worker.clone(), *owned, stop));
                self.partitions.insert(task.id(), owned.partition);
            }
        }
    }

    /// Waits for a pump to end; for ever while none runs.
    async fn ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => {
                // A defect; the next heartbeat starts it again where the database says.
                tracing::error!(%error, "a pump has failed");
                error.id()
            }
            None => std::future::pending().await,
        };
        if let Some(partition) = self.partitions.remove(&id) {
            self.running.remove(&partition);
            self.worker.status.given_up(partition);
        }
    }

    async fn stop_all(&mut self) {
        self.running.values().for_each(CancellationToken::cancel);
        while self.tasks.join_next().await.is_some() {}
        for (partition, _) in self.running.drain() {
            self.worker.status.given_up(partition);
        }
    }
}

/// Tells workers apart, and operators which one it is.
fn name() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "worker".to_owned());
    let chance = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8);
    format!("{host}-{}-{:08x}", std::process::id(), chance as u32)
}
