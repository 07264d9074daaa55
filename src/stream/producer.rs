use super::lane::{Lane, Parcel};
use super::{Backoff, Cluster, KafkaArgs, ProducerArgs, partition_of, unavailable};
use crate::domain::{Error, NewLocation, Result};
use crate::wire::Origin;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often the cluster is asked whether it is there and whether the topic has grown.
const REFRESH: Duration = Duration::from_secs(10);

/// Writes locations to the topic; an acknowledgement means that all in-sync replicas have them.
///
/// What is written waits in a bounded buffer, in order per partition, for as long as Kafka is away. Cheap to clone.
#[derive(Clone)]
pub struct Producer {
    buffer: Arc<Semaphore>,
    capacity: usize,
    lanes: watch::Receiver<Arc<[Lane]>>,
    health: Arc<Health>,
    stop: CancellationToken,
    done: watch::Receiver<bool>,
}

/// Where a record lies in the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub partition: i32,
    pub offset: i64,
}

/// Room in the buffer for as many locations as were asked for, and the way out. Once given it is good, whatever comes.
pub struct Space {
    lanes: Arc<[Lane]>,
    permit: OwnedSemaphorePermit,
}

impl Producer {
    /// Begins to connect, in the background.
    pub fn start(kafka: &KafkaArgs, args: &ProducerArgs) -> Result<Self> {
        let cluster = Arc::new(Cluster::new(kafka)?);
        let health = Arc::new(Health::default());
        health.set(KEEPER, Some("not connected yet".to_owned()));
        let (publish, lanes) = watch::channel(Arc::default());
        let (finished, done) = watch::channel(false);
        let stop = CancellationToken::new();
        tokio::spawn(keep_lanes(cluster, args.clone(), health.clone(), publish, stop.clone(), finished));
        let capacity = args.kafka_buffer as usize;
        Ok(Self { buffer: Arc::new(Semaphore::new(capacity)), capacity, lanes, health, stop, done })
    }

    /// Room for `count` locations now, or [`Error::Overloaded`]; `Unavailable` when Kafka was never reached.
    pub fn try_reserve(&self, count: usize) -> Result<Space> {
        let lanes = self.lanes.borrow().clone();
        if lanes.is_empty() {
            return Err(self.health.error());
        }
        let permit = self.buffer.clone().try_acquire_many_owned(self.permits(count)).map_err(|_| Error::Overloaded)?;
        Ok(Space { lanes, permit })
    }

    /// Room for `count` locations as soon as there is any: who waits here reads no more from a phone.
    pub async fn reserve(&self, count: usize) -> Result<Space> {
        let mut lanes = self.lanes.clone();
        let stopping = |_| unavailable("shutting down");
        let lanes = lanes.wait_for(|lanes| !lanes.is_empty()).await.map_err(stopping)?.clone();
        let permit = self
            .buffer
            .clone()
            .acquire_many_owned(self.permits(count))
            .await
            .map_err(|_| unavailable("shutting down"))?;
        Ok(Space { lanes, permit })
    }

    /// A request that is larger than the whole buffer takes all of it.
    fn permits(&self, count: usize) -> u32 {
        count.min(self.capacity) as u32
    }

    /// Hands locations over. They will be written even if nobody waits for the delivery.
    pub fn send(space: Space, origin: &Origin, locations: impl IntoIterator<Item = NewLocation>) -> Delivery {
        let Space { lanes, permit } = space;
        let permit = Arc::new(permit);
        let mut parts: HashMap<i32, (Vec<u32>, Vec<NewLocation>)> = HashMap::new();
        let mut count = 0;
        for location in locations {
            let key = location.person_id().to_string();
            let partition = partition_of(key.as_bytes(), lanes.len() as i32);
            let (positions, part) = parts.entry(partition).or_default();
            positions.push(count);
            part.push(location);
            count += 1;
        }
        let parts = parts
            .into_iter()
            .map(|(partition, (positions, locations))| {
                let (acknowledge, acknowledged) = oneshot::channel();
                let origin = origin.clone();
                lanes[partition as usize].send(Parcel { locations, origin, acknowledge, _space: permit.clone() });
                Part { partition, positions, acknowledged }
            })
            .collect();
        Delivery { count: count as usize, parts }
    }

    /// Whether Kafka takes what is sent.
    pub fn check(&self) -> Result<()> {
        if self.health.is_good() { Ok(()) } else { Err(self.health.error()) }
    }

    /// How many partitions the topic has, 0 while that is not known.
    pub fn partitions(&self) -> i32 {
        self.lanes.borrow().len() as i32
    }

    /// How many locations wait, and how many may.
    pub fn buffer_use(&self) -> (usize, usize) {
        (self.capacity - self.buffer.available_permits(), self.capacity)
    }

    /// Writes what waits and ends; gives up after `patience`. What is sent after this call is refused.
    pub async fn finish(&self, patience: Duration) {
        self.stop.cancel();
        let mut done = self.done.clone();
        let finished = tokio::time::timeout(patience, done.wait_for(|done| *done)).await;
        let waiting = self.buffer_use().0;
        if finished.is_err() && waiting > 0 {
            tracing::warn!(waiting, "locations that were not acknowledged are given up");
        }
    }
}

/// Locations on their way.
#[must_use = "only a delivery tells whether the locations are durable"]
pub struct Delivery {
    count: usize,
    parts: Vec<Part>,
}

struct Part {
    partition: i32,
    positions: Vec<u32>,
    acknowledged: oneshot::Receiver<Result<Vec<i64>>>,
}

impl Delivery {
    /// Waits until all are durable; returns where, in the order in which they were handed over.
    pub async fn places(self) -> Result<Vec<Place>> {
        let mut places = vec![Place { partition: 0, offset: 0 }; self.count];
        for Part { partition, positions, acknowledged } in self.parts {
            let offsets = acknowledged.await.map_err(|_| unavailable("shutting down"))??;
            for (position, offset) in positions.into_iter().zip(offsets) {
                places[position as usize] = Place { partition, offset };
            }
        }
        Ok(places)
    }
}

/// What does not work at present, by partition.
#[derive(Default)]
pub(super) struct Health(Mutex<BTreeMap<i32, String>>);

/// The key under which the cluster as a whole reports.
const KEEPER: i32 = -1;

impl Health {
    pub(super) fn set(&self, part: i32, error: Option<String>) {
        let mut bad = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match error {
            Some(error) => bad.insert(part, error),
            None => bad.remove(&part),
        };
    }

    fn is_good(&self) -> bool {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).is_empty()
    }

    fn error(&self) -> Error {
        let bad = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        unavailable(bad.values().next().map_or("not connected", String::as_str))
    }
}

/// Finds out about the topic, runs a lane for each partition, and again for those that it gets later.
async fn keep_lanes(
    cluster: Arc<Cluster>,
    args: ProducerArgs,
    health: Arc<Health>,
    publish: watch::Sender<Arc<[Lane]>>,
    stop: CancellationToken,
    finished: watch::Sender<bool>,
) {
    let mut tasks = JoinSet::new();
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let work = async {
        loop {
            match cluster.partitions().await {
                Ok(partitions) => {
                    backoff.reset();
                    health.set(KEEPER, None);
                    let mut lanes = publish.borrow().to_vec();
                    if lanes.len() < partitions as usize {
                        tracing::info!(topic = cluster.topic(), partitions, "connected to kafka");
                        for partition in lanes.len() as i32..partitions {
                            let (lane, task) = Lane::new(cluster.clone(), partition, args.clone(), health.clone());
                            tasks.spawn(task);
                            lanes.push(lane);
                        }
                        publish.send_replace(lanes.into());
                    }
                    tokio::time::sleep(REFRESH).await;
                }
                Err(error) => {
                    if backoff.is_fresh() {
                        tracing::warn!(%error, "kafka does not answer, trying again until it does");
                    }
                    health.set(KEEPER, Some(detail(error)));
                    backoff.wait().await;
                }
            }
        }
    };
    tokio::select! {
        _ = work => {}
        () = stop.cancelled() => {}
    }
    // Without senders, a lane ends when it has written what it holds.
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
