//! Sends locations to Kafka: each by its partition's writer, acknowledged with its offset.

use super::partition_writer::{PartitionWriter, PendingBatch, Permits};
use super::{Cluster, Health, KafkaArgs, ProducerArgs, partition_of, unavailable};
use crate::codec::{self, Origin};
use crate::domain::{Error, NewLocation, Result};
use crate::runtime::Backoff;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// How often the cluster is asked whether it is there and whether the topic has grown, and how long it may take to answer.
const REFRESH: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(5);
/// What may wait for one partition at least: as many as one request may bring.
const LEAST_SHARE: usize = 10_000;

/// Writes locations to the topic; an acknowledgement means that all in-sync replicas have them.
///
/// While Kafka is away, locations wait in a bounded buffer, in order per partition, and are given up after the delivery time-out.
/// Each partition has a share of the buffer, so one that takes nothing does not fill the others'. Cheap to clone.
#[derive(Clone)]
pub struct Producer {
    buffer: Arc<Semaphore>,
    capacity: usize,
    /// Locations that wait.
    waiting: Arc<AtomicUsize>,
    delivery_timeout: Duration,
    writers: Writers,
    health: Arc<Health>,
    stop: CancellationToken,
    done: watch::Receiver<bool>,
}

/// The writers of the partitions that are known so far.
type Writers = watch::Receiver<Arc<[PartitionWriter]>>;

/// The partition and offset of a record in the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordOffset {
    pub partition: i32,
    pub offset: i64,
}

/// The locations of a request that go to one partition.
#[derive(Default)]
struct Part {
    /// Which ones of the request these are.
    positions: Vec<u32>,
    locations: Vec<NewLocation>,
}

impl Producer {
    /// Begins to connect, in the background.
    pub fn start(kafka: &KafkaArgs, args: &ProducerArgs) -> Result<Self> {
        let cluster = Arc::new(Cluster::new(kafka)?);
        let health = Arc::new(Health::new());
        let (publish, writers) = watch::channel(Arc::default());
        let (finished, done) = watch::channel(false);
        let stop = CancellationToken::new();
        tokio::spawn(keep_writers(cluster, args.clone(), health.clone(), publish, stop.clone(), finished));
        let capacity = args.kafka_buffer as usize;
        let delivery_timeout = args.delivery_timeout();
        let buffer = Arc::new(Semaphore::new(capacity));
        Ok(Self { buffer, capacity, waiting: Arc::default(), delivery_timeout, writers, health, stop, done })
    }

    /// Hands locations over if there are permits for all of them now: [`Error::Overloaded`] when there are not, `Unavailable` when
    /// Kafka was never reached; then none is taken. They will be written even if nobody waits for the delivery.
    pub fn try_send(&self, origin: &Origin, locations: Vec<NewLocation>) -> Result<Delivery> {
        let writers = self.writers.borrow().clone();
        if writers.is_empty() {
            return Err(self.health.check().err().unwrap_or_else(|| unavailable("not connected yet")));
        }
        let reserved: Vec<(i32, Part, Permits)> = split(&writers, locations)
            .into_iter()
            .map(|(partition, part)| {
                let writer = &writers[partition as usize];
                let count = part.locations.len();
                let permits = writer.permits(count);
                let own = writer.buffer.clone().try_acquire_many_owned(permits).map_err(|_| Error::Overloaded)?;
                let all = self.buffer.clone().try_acquire_many_owned(permits).map_err(|_| Error::Overloaded)?;
                Ok((partition, part, Permits::new(own, all, count, &self.waiting)))
            })
            .collect::<Result<_>>()?;
        let deadline = Instant::now() + self.delivery_timeout;
        let mut delivery = Delivery::default();
        for (partition, part, permits) in reserved {
            delivery.add(&writers[partition as usize], partition, part, origin, deadline, permits);
        }
        Ok(delivery)
    }

    /// Hands locations over, those of each partition as soon as there are permits for them; a stream that waits here reads no more from
    /// its phone. `Unavailable` when there are none within the delivery time-out; some may have been taken then.
    pub async fn send(&self, origin: &Origin, locations: Vec<NewLocation>) -> Result<Delivery> {
        let deadline = Instant::now() + self.delivery_timeout;
        let late = || match self.health.check() {
            Err(error) => error,
            Ok(()) => unavailable(format!("no room within {:?}", self.delivery_timeout)),
        };
        let stopping = || unavailable("shutting down");
        let mut known = self.writers.clone();
        let waited = timeout_at(deadline, known.wait_for(|writers| !writers.is_empty())).await.map_err(|_| late())?;
        let writers = waited.map_err(|_| stopping())?.clone();
        let mut delivery = Delivery::default();
        for (partition, part) in split(&writers, locations) {
            let writer = &writers[partition as usize];
            let count = part.locations.len();
            let permits = writer.permits(count);
            // The partition's first, so that whoever waits for one partition keeps no room from another.
            let own = timeout_at(deadline, writer.buffer.clone().acquire_many_owned(permits));
            let own = own.await.map_err(|_| late())?.map_err(|_| stopping())?;
            let all = timeout_at(deadline, self.buffer.clone().acquire_many_owned(permits));
            let all = all.await.map_err(|_| late())?.map_err(|_| stopping())?;
            let permits = Permits::new(own, all, count, &self.waiting);
            let deadline = Instant::now() + self.delivery_timeout;
            delivery.add(writer, partition, part, origin, deadline, permits);
        }
        Ok(delivery)
    }

    /// Whether Kafka takes what is sent.
    pub fn check(&self) -> Result<()> {
        self.health.check()
    }

    /// How many partitions take nothing at present.
    pub fn failing_partitions(&self) -> usize {
        self.health.failing_partitions()
    }

    /// How many partitions the topic has, 0 while that is not known.
    pub fn partitions(&self) -> i32 {
        self.writers.borrow().len() as i32
    }

    /// How many locations wait, and how many may. A request that is larger than its partition's share counts as that share.
    pub fn buffer_use(&self) -> (usize, usize) {
        (self.waiting.load(Ordering::Relaxed), self.capacity)
    }

    /// Writes the locations that wait and ends; gives up after `patience`. Locations that are sent after this call are refused.
    pub async fn finish(&self, patience: Duration) {
        self.stop.cancel();
        let mut done = self.done.clone();
        let finished = timeout(patience, done.wait_for(|done| *done)).await;
        let waiting = self.buffer_use().0;
        if finished.is_err() && waiting > 0 {
            tracing::warn!(waiting, "locations that were not acknowledged are given up");
        }
    }
}

/// Divides locations by the partition of their person.
fn split(writers: &[PartitionWriter], locations: Vec<NewLocation>) -> BTreeMap<i32, Part> {
    let mut parts: BTreeMap<i32, Part> = BTreeMap::new();
    for (position, location) in (0..).zip(locations) {
        let key = codec::key(&location);
        let part = parts.entry(partition_of(key.as_bytes(), writers.len() as i32)).or_default();
        part.positions.push(position);
        part.locations.push(location);
    }
    parts
}

/// What of the buffer may wait for one of so many partitions.
fn share(buffer: usize, partitions: usize) -> usize {
    (buffer / partitions.max(1)).max(LEAST_SHARE.min(buffer / 2))
}

/// Locations that were handed over and wait for acknowledgement.
#[must_use = "only a delivery tells whether the locations are durable"]
#[derive(Default)]
pub struct Delivery {
    count: usize,
    parts: Vec<Sent>,
}

/// The part of a delivery that went to one partition.
struct Sent {
    partition: i32,
    positions: Vec<u32>,
    acknowledged: oneshot::Receiver<Result<Vec<i64>>>,
}

impl Delivery {
    fn add(
        &mut self,
        writer: &PartitionWriter,
        partition: i32,
        part: Part,
        origin: &Origin,
        deadline: Instant,
        permits: Permits,
    ) {
        let Part { positions, locations } = part;
        self.count += locations.len();
        let (acknowledge, acknowledged) = oneshot::channel();
        writer.send(PendingBatch { locations, origin: origin.clone(), acknowledge, deadline, _permits: permits });
        self.parts.push(Sent { partition, positions, acknowledged });
    }

    /// Waits until all are durable; returns their offsets, in the order in which they were handed over. `Unavailable` when one of them
    /// was given up.
    pub async fn offsets(self) -> Result<Vec<RecordOffset>> {
        let mut all = vec![RecordOffset { partition: 0, offset: 0 }; self.count];
        for Sent { partition, positions, acknowledged } in self.parts {
            let offsets = acknowledged.await.map_err(|_| unavailable("shutting down"))??;
            for (position, offset) in positions.into_iter().zip(offsets) {
                all[position as usize] = RecordOffset { partition, offset };
            }
        }
        Ok(all)
    }
}

/// Finds out about the topic, runs a writer for each partition, and again for those that it gets later.
async fn keep_writers(
    cluster: Arc<Cluster>,
    args: ProducerArgs,
    health: Arc<Health>,
    publish: watch::Sender<Arc<[PartitionWriter]>>,
    stop: CancellationToken,
    finished: watch::Sender<bool>,
) {
    let mut tasks = JoinSet::new();
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let work = async {
        loop {
            let answer = match timeout(ANSWER, cluster.partitions()).await {
                Ok(answer) => answer,
                Err(_) => {
                    cluster.forget().await;
                    Err(unavailable(format!("no answer within {ANSWER:?}")))
                }
            };
            match answer {
                Ok(partitions) => {
                    backoff.reset();
                    let mut writers = publish.borrow().to_vec();
                    if writers.len() < partitions as usize {
                        tracing::info!(topic = cluster.topic(), partitions, "connected to kafka");
                        let share = share(args.kafka_buffer as usize, partitions as usize);
                        for partition in writers.len() as i32..partitions {
                            let (writer, task) =
                                PartitionWriter::new(cluster.clone(), partition, share, args.clone(), health.clone());
                            tasks.spawn(task);
                            writers.push(writer);
                        }
                        publish.send_replace(writers.into());
                    }
                    health.answered(partitions as usize);
                    tokio::time::sleep(REFRESH).await;
                }
                Err(error) => {
                    if backoff.is_fresh() {
                        tracing::warn!(%error, "kafka does not answer, trying again until it does");
                    }
                    health.not_answered(detail(error));
                    backoff.wait().await;
                }
            }
        }
    };
    tokio::select! {
        _ = work => {}
        () = stop.cancelled() => {}
    }
    // Without senders, a writer ends when it has written what it holds.
    publish.send_replace(Arc::default());
    drop(publish);
    while tasks.join_next().await.is_some() {}
    finished.send_replace(true);
}

pub(super) fn detail(error: Error) -> String {
    match error {
        Error::Unavailable { detail, .. } => detail,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_takes_nothing_leaves_room_for_the_others() {
        for (buffer, partitions, wanted) in
            [(200_000, 1, 200_000), (200_000, 12, 16_666), (200_000, 1_000, 10_000), (10_000, 4, 5_000)]
        {
            assert_eq!(share(buffer, partitions), wanted, "{buffer} {partitions}");
        }
    }
}
