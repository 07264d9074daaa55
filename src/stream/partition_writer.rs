//! Writes to one partition, one batch at a time, so that order is kept. What waits meanwhile makes up the next batch.

use super::producer::detail;
use super::{Cluster, Health, ProducerArgs, unavailable};
use crate::codec::{self, Origin};
use crate::domain::{Error, NewLocation, Result};
use crate::runtime::Backoff;
use chrono::Utc;
use rskafka::client::error::{Error as Kafka, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient};
use rskafka::record::Record;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout};

/// How long finding the partition's leader and connecting to it may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long the leader may take to acknowledge, before the connection is thrown away and the batch sent again. It may have been
/// written then; a location that is written twice is stored once.
const ATTEMPT: Duration = Duration::from_secs(5);
/// After so long without an acknowledgement the partition is said to fail.
const SLOW: Duration = Duration::from_secs(2);

/// Locations of one request for one partition, acknowledged together.
pub(super) struct PendingBatch {
    pub(super) locations: Vec<NewLocation>,
    /// The request that brought them.
    pub(super) origin: Origin,
    /// Gets the offset of each.
    pub(super) acknowledge: oneshot::Sender<Result<Vec<i64>>>,
    /// When it is given up.
    pub(super) deadline: Instant,
    /// Given back when the batch is acknowledged or given up.
    pub(super) _permits: Permits,
}

/// The permits of a batch: its partition's, and the whole buffer's. Given back when dropped.
pub(super) struct Permits {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
    count: usize,
    waiting: Arc<AtomicUsize>,
}

impl Permits {
    /// Permits for `count` locations. `waiting` counts these as long as the permits are kept.
    pub(super) fn new(
        own: OwnedSemaphorePermit,
        all: OwnedSemaphorePermit,
        count: usize,
        waiting: &Arc<AtomicUsize>,
    ) -> Self {
        waiting.fetch_add(count, Ordering::Relaxed);
        Self { _own: own, _all: all, count, waiting: waiting.clone() }
    }
}

impl Drop for Permits {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// The near end of a partition's way out.
#[derive(Clone)]
pub(super) struct PartitionWriter {
    batches: mpsc::UnboundedSender<PendingBatch>,
    /// How many locations may wait for this partition, so that one that takes nothing leaves room for the others.
    pub(super) buffer: Arc<Semaphore>,
    capacity: usize,
}

impl PartitionWriter {
    /// A writer and the task behind it. The task ends when the last clone of the writer is gone and everything is written or given up.
    pub(super) fn new(
        cluster: Arc<Cluster>,
        partition: i32,
        capacity: usize,
        args: ProducerArgs,
        health: Arc<Health>,
    ) -> (Self, impl Future<Output = ()>) {
        // Unbounded, but whoever sends has a permit.
        let (batches, receiver) = mpsc::unbounded_channel();
        let work = Work { cluster, partition, compression: args.kafka_compression.into(), health, client: None };
        (Self { batches, buffer: Arc::new(Semaphore::new(capacity)), capacity }, work.run(receiver, args))
    }

    /// How many permits so many locations take: all of them at most.
    pub(super) fn permits(&self, count: usize) -> u32 {
        count.min(self.capacity) as u32
    }

    /// A batch that comes too late (the writer has ended) is dropped, which its sender notices.
    pub(super) fn send(&self, batch: PendingBatch) {
        let _ = self.batches.send(batch);
    }
}

struct Work {
    cluster: Arc<Cluster>,
    partition: i32,
    compression: Compression,
    health: Arc<Health>,
    client: Option<PartitionClient>,
}

/// A batch, and how much of it is acknowledged.
struct Waiting {
    batch: PendingBatch,
    offsets: Vec<i64>,
}

/// What came of one attempt.
enum Attempt {
    Acknowledged(Vec<i64>),
    /// The broker's limit is lower than ours.
    TooLarge(String),
    /// It may work the next time.
    Failed {
        detail: String,
        silent: bool,
    },
}

impl Work {
    async fn run(mut self, mut batches: mpsc::UnboundedReceiver<PendingBatch>, args: ProducerArgs) {
        let most = args.kafka_batch as usize;
        while let Some(first) = batches.recv().await {
            let mut count = first.locations.len();
            let mut group = VecDeque::from([Waiting { batch: first, offsets: Vec::new() }]);
            let close = tokio::time::sleep(args.linger());
            tokio::pin!(close);
            while count < most {
                tokio::select! {
                    biased;
                    batch = batches.recv() => match batch {
                        Some(batch) => {
                            count += batch.locations.len();
                            group.push_back(Waiting { batch, offsets: Vec::new() });
                        }
                        None => break,
                    },
                    () = &mut close => break,
                }
            }
            self.write(group, most).await;
        }
    }

    /// Writes until all is acknowledged or given up.
    async fn write(&mut self, mut group: VecDeque<Waiting>, most: usize) {
        let mut size = most;
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        loop {
            self.give_up(&mut group);
            let records = next_records(&group, size);
            if records.is_empty() {
                return;
            }
            let (count, began) = (records.len(), Instant::now());
            match self.attempt(records).await {
                Attempt::Acknowledged(offsets) => {
                    metrics::histogram!("udaconnect_kafka_produce_seconds").record(began.elapsed());
                    metrics::histogram!("udaconnect_kafka_produce_batch_locations").record(count as f64);
                    metrics::counter!("udaconnect_kafka_produced_total").increment(count as u64);
                    self.health.acknowledged(self.partition);
                    if !backoff.is_fresh() {
                        backoff.reset();
                        tracing::info!(partition = self.partition, "kafka takes records again");
                    }
                    acknowledge(&mut group, offsets);
                }
                Attempt::TooLarge(_) if count > 1 => size = count / 2,
                Attempt::TooLarge(reason) => {
                    if let Some(refused) = group.pop_front() {
                        let _ = refused.batch.acknowledge.send(Err(Error::Internal(reason)));
                    }
                }
                Attempt::Failed { detail, silent } => {
                    metrics::counter!("udaconnect_kafka_produce_errors_total").increment(1);
                    if backoff.is_fresh() {
                        tracing::warn!(
                            partition = self.partition,
                            error = detail,
                            "kafka takes no records, trying again until it does"
                        );
                    }
                    self.health.failing(self.partition, detail, silent);
                    backoff.wait().await;
                }
            }
        }
    }

    /// Tells those whose time is over. They may have been written all the same; sending them again is safe.
    fn give_up(&self, group: &mut VecDeque<Waiting>) {
        let now = Instant::now();
        let mut count = 0;
        for index in (0..group.len()).rev() {
            if group[index].batch.deadline <= now
                && let Some(late) = group.remove(index)
            {
                count += late.batch.locations.len();
                let late_error = unavailable(format!("partition {} did not acknowledge in time", self.partition));
                let _ = late.batch.acknowledge.send(Err(late_error));
            }
        }
        if count > 0 {
            metrics::counter!("udaconnect_kafka_given_up_total").increment(count as u64);
            tracing::warn!(
                partition = self.partition,
                locations = count,
                "locations were not acknowledged in time and are given up; whoever sent them is told"
            );
        }
    }

    async fn attempt(&mut self, records: Vec<Record>) -> Attempt {
        // Kept for the next batch only if this one is acknowledged.
        let client = match self.client.take() {
            Some(client) => client,
            None => match timeout(CONNECT, self.cluster.partition(self.partition)).await {
                Ok(Ok(client)) => client,
                Ok(Err(error)) => return Attempt::Failed { detail: detail(error), silent: false },
                Err(_) => return self.silent(CONNECT).await,
            },
        };
        let outcome = self.produce(&client, records).await;
        if !matches!(outcome, Attempt::Failed { .. }) {
            self.client = Some(client);
        }
        outcome
    }

    async fn produce(&self, client: &PartitionClient, records: Vec<Record>) -> Attempt {
        let produce = client.produce(records, self.compression);
        tokio::pin!(produce);
        let outcome = match timeout(SLOW, &mut produce).await {
            Ok(outcome) => Ok(outcome),
            Err(_) => {
                self.health.failing(self.partition, format!("no acknowledgement within {SLOW:?}"), true);
                timeout(ATTEMPT - SLOW, &mut produce).await
            }
        };
        match outcome {
            Ok(Ok(offsets)) => Attempt::Acknowledged(offsets),
            Ok(Err(
                error @ Kafka::ServerError {
                    protocol_error: ProtocolError::MessageTooLarge | ProtocolError::RecordListTooLarge,
                    ..
                },
            )) => Attempt::TooLarge(error.to_string()),
            Ok(Err(error)) => Attempt::Failed { detail: error.to_string(), silent: false },
            Err(_) => self.silent(ATTEMPT).await,
        }
    }

    /// Nothing was heard: whatever is remembered of the cluster may be of brokers that are gone.
    async fn silent(&self, limit: Duration) -> Attempt {
        self.cluster.forget().await;
        Attempt::Failed { detail: format!("no answer within {limit:?}"), silent: true }
    }
}

/// The next locations that are not acknowledged yet, at most `most`, as records.
fn next_records(group: &VecDeque<Waiting>, most: usize) -> Vec<Record> {
    group
        .iter()
        .flat_map(|waiting| {
            let rest = &waiting.batch.locations[waiting.offsets.len()..];
            rest.iter().map(|location| record(location, &waiting.batch.origin))
        })
        .take(most)
        .collect()
}

/// Hands offsets to those that they are of, in order, and answers batches that are complete.
fn acknowledge(group: &mut VecDeque<Waiting>, offsets: Vec<i64>) {
    let mut offsets = offsets.into_iter();
    while let Some(first) = group.front_mut() {
        let missing = first.batch.locations.len() - first.offsets.len();
        first.offsets.extend(offsets.by_ref().take(missing));
        if first.offsets.len() < first.batch.locations.len() {
            return;
        }
        if let Some(done) = group.pop_front() {
            // Nobody may be waiting any more.
            let _ = done.batch.acknowledge.send(Ok(done.offsets));
        }
    }
}

fn record(location: &NewLocation, origin: &Origin) -> Record {
    let mut headers = BTreeMap::from([(codec::CONTENT_TYPE.to_owned(), codec::PROTOBUF.as_bytes().to_vec())]);
    origin.write(&mut headers);
    Record {
        key: Some(codec::key(location).into_bytes()),
        value: Some(codec::encode(location)),
        headers,
        timestamp: Utc::now(),
    }
}
