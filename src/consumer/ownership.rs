//! Which partitions this worker pumps. It reports that it is alive, learns its share, and starts and stops pumps accordingly.

use super::letters::{self, Letters};
use super::pump::{self, Worker};
use super::{ConsumeArgs, Status};
use crate::domain::Result;
use crate::runtime::Backoff;
use crate::service::clock::Clock;
use crate::store::{Owned, Store};
use crate::stream::{Cluster, KafkaArgs};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// How long a worker keeps its partitions without saying that it lives. With one heartbeat, the longest time until the
/// partitions of a killed worker are taken over.
const LEASE: Duration = Duration::from_secs(5);
/// How long a transaction under way may take to end when the process is to end.
const STOP: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often Kafka is asked whether the topic has grown, and so whether it answers.
const REFRESH: Duration = Duration::from_secs(2);
/// How long Kafka may answer nothing at all until a worker gives its partitions up: others may still reach it. With one heartbeat
/// each of this worker and another, the longest time until they are taken over.
const SILENCE: Duration = Duration::from_secs(6);

/// Stores what the topic holds, together with all other workers, until the token is cancelled.
pub async fn consume(
    store: Store,
    kafka: &KafkaArgs,
    args: &ConsumeArgs,
    clock: Clock,
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
        memory: Arc::default(),
        args: args.clone(),
        clock,
        status,
    });
    let mut pumps =
        Pumps { worker: worker.clone(), running: HashMap::new(), tasks: JoinSet::new(), partitions: HashMap::new() };
    let (found, partitions) = watch::channel(0);
    // Only these are cut short by the token; a pump ends where nothing is lost.
    tokio::select! {
        () = watch_topic(&worker, &found) => {}
        () = keep_share(&worker, &mut pumps, partitions) => {}
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

/// Asks Kafka again and again how many partitions the topic has. Beside the heartbeats, which no broker may hold up.
async fn watch_topic(worker: &Worker, partitions: &watch::Sender<i32>) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        match worker.cluster.partitions().await {
            Ok(found) => {
                backoff.reset();
                worker.status.topic(None);
                if partitions.send_replace(found) != found {
                    let (topic, worker) = (worker.cluster.topic(), &worker.name);
                    tracing::info!(topic, partitions = found, worker, "connected to kafka");
                }
                tokio::time::sleep(REFRESH).await;
            }
            Err(error) => {
                if backoff.is_fresh() {
                    tracing::warn!(%error, "kafka does not answer, trying again until it does");
                }
                worker.status.topic(Some(error.to_string()));
                backoff.wait().await;
            }
        }
    }
}

async fn keep_share(worker: &Worker, pumps: &mut Pumps, mut partitions: watch::Receiver<i32>) {
    let mut contact = Contact { well: true, heard: Instant::now() };
    let mut away = false;
    loop {
        // While the topic was never found there is nothing to share.
        let Ok(found) = partitions.wait_for(|found| *found > 0).await.map(|found| *found) else { return };
        if worker.status.silence() < SILENCE {
            away = false;
            heartbeat(worker, pumps, found, &mut contact).await;
        } else if !away {
            tracing::warn!("kafka answers nothing, partitions are given up until it does");
            away = true;
            pumps.adjust(&[]);
            // If the database does not answer either, the lease ends.
            let leave = worker.store.leave(worker.cluster.topic(), &worker.name);
            if !matches!(tokio::time::timeout(LEASE, leave).await, Ok(Ok(()))) {
                tracing::warn!("partitions are given up when the lease ends");
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

/// How it stands with the database.
struct Contact {
    /// Whether it answered when it was asked last.
    well: bool,
    /// When it answered last.
    heard: Instant,
}

/// Says that this worker lives, and starts and stops pumps as its share says.
async fn heartbeat(worker: &Worker, pumps: &mut Pumps, partitions: i32, contact: &mut Contact) {
    let topic = worker.cluster.topic();
    match tokio::time::timeout(LEASE, worker.store.heartbeat(topic, &worker.name, partitions, LEASE)).await {
        Ok(Ok(owned)) => {
            if !contact.well {
                tracing::info!("the database answers again");
            }
            *contact = Contact { well: true, heard: Instant::now() };
            pumps.adjust(&owned);
        }
        failed => {
            if contact.well {
                let error = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer".to_owned(),
                };
                tracing::warn!(error, "the database does not answer, trying again until it does");
            }
            // Until the lease is over the pumps go on; then others have these partitions.
            contact.well = false;
            if contact.heard.elapsed() >= LEASE {
                pumps.give_up().await;
            }
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

    /// Ends all pumps at once: their partitions are others' by now. Whether a batch under way was stored, the offset in
    /// the database says.
    async fn give_up(&mut self) {
        if !self.running.is_empty() {
            tracing::warn!(
                partitions = self.running.len(),
                "no word from the database for a lease: partitions given up"
            );
        }
        self.tasks.abort_all();
        self.stop_all().await;
        self.worker.owned.store(0, Ordering::Relaxed);
    }

    /// Ends the pumps where nothing is begun twice; those that take too long, where they are.
    async fn stop_all(&mut self) {
        self.running.values().for_each(CancellationToken::cancel);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP, ended).await.is_err() {
            tracing::warn!("what is being stored takes too long to wait for; whoever comes next stores it");
            self.tasks.shutdown().await;
        }
        self.partitions.clear();
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
