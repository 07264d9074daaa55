//! One partition's way out: parcels in, batches to the leader, one at a time, so that order is kept.

use super::cluster::within;
use super::producer::{Health, detail};
use super::{Backoff, Cluster, ProducerArgs, unavailable};
use crate::domain::{Error, NewLocation, Result};
use crate::wire::{self, Origin};
use chrono::Utc;
use rskafka::client::error::{Error as Kafka, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient};
use rskafka::record::Record;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// How long the leader may take: longer than it itself waits for its replicas (30 s).
const PATIENCE: Duration = Duration::from_secs(40);

/// Locations of one partition that are acknowledged together.
pub(super) struct Parcel {
    pub(super) locations: Vec<NewLocation>,
    /// The request that brought them.
    pub(super) origin: Origin,
    /// Gets the offset of each.
    pub(super) acknowledge: oneshot::Sender<Result<Vec<i64>>>,
    /// Returned to the buffer when the last parcel of a request is gone.
    pub(super) _space: Arc<OwnedSemaphorePermit>,
}

/// A location on its way, and the request that brought it.
type Item<'a> = (&'a NewLocation, &'a Origin);

/// The near end of a partition's way out.
#[derive(Clone)]
pub(super) struct Lane(mpsc::UnboundedSender<Parcel>);

impl Lane {
    /// A lane and the work behind it, which ends when the last clone of the lane is gone and all is written.
    pub(super) fn new(
        cluster: Arc<Cluster>,
        partition: i32,
        args: ProducerArgs,
        health: Arc<Health>,
    ) -> (Self, impl Future<Output = ()>) {
        // Unbounded, but whoever sends has reserved room in the buffer.
        let (sender, receiver) = mpsc::unbounded_channel();
        let writer = Writer { cluster, partition, compression: args.kafka_compression.into(), health, client: None };
        (Self(sender), writer.run(receiver, args))
    }

    /// A parcel that comes too late (the lane has ended) is dropped, which its sender notices.
    pub(super) fn send(&self, parcel: Parcel) {
        let _ = self.0.send(parcel);
    }
}

struct Writer {
    cluster: Arc<Cluster>,
    partition: i32,
    compression: Compression,
    health: Arc<Health>,
    client: Option<PartitionClient>,
}

impl Writer {
    async fn run(mut self, mut parcels: mpsc::UnboundedReceiver<Parcel>, args: ProducerArgs) {
        let most = args.kafka_batch as usize;
        while let Some(first) = parcels.recv().await {
            let mut count = first.locations.len();
            let mut batch = vec![first];
            let close = tokio::time::sleep(args.linger());
            tokio::pin!(close);
            while count < most {
                tokio::select! {
                    biased;
                    parcel = parcels.recv() => match parcel {
                        Some(parcel) => {
                            count += parcel.locations.len();
                            batch.push(parcel);
                        }
                        None => break,
                    },
                    () = &mut close => break,
                }
            }
            self.write(batch, most).await;
        }
    }

    /// Writes until it has worked, and acknowledges.
    async fn write(&mut self, batch: Vec<Parcel>, most: usize) {
        let locations: Vec<Item<'_>> = batch
            .iter()
            .flat_map(|parcel| parcel.locations.iter().map(|location| (location, &parcel.origin)))
            .collect();
        let mut offsets = Vec::with_capacity(locations.len());
        let mut refused = None;
        // Chunks waiting to be written, the next one last.
        let mut chunks: Vec<&[Item<'_>]> = locations.chunks(most).rev().collect();
        while let Some(chunk) = chunks.pop() {
            match self.write_chunk(chunk).await {
                Ok(written) => offsets.extend(written),
                // The broker's limit is lower than ours.
                Err(_) if chunk.len() > 1 => {
                    let (head, tail) = chunk.split_at(chunk.len() / 2);
                    chunks.extend([tail, head]);
                }
                Err(error) => {
                    refused = Some(detail(error));
                    break;
                }
            }
        }
        let mut rest = offsets.into_iter();
        for parcel in batch {
            let own: Vec<i64> = rest.by_ref().take(parcel.locations.len()).collect();
            let outcome = match &refused {
                Some(reason) if own.len() < parcel.locations.len() => Err(Error::Internal(reason.clone())),
                _ => Ok(own),
            };
            // Nobody may be waiting any more.
            let _ = parcel.acknowledge.send(outcome);
        }
    }

    /// Writes one batch until it has worked; the only error is that it is too large for the broker.
    async fn write_chunk(&mut self, chunk: &[Item<'_>]) -> Result<Vec<i64>> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        loop {
            let began = Instant::now();
            match self.attempt(chunk).await {
                Ok(Ok(offsets)) => {
                    metrics::histogram!("udaconnect_kafka_produce_seconds").record(began.elapsed());
                    metrics::histogram!("udaconnect_kafka_produce_batch_locations").record(chunk.len() as f64);
                    metrics::counter!("udaconnect_kafka_produced_total").increment(chunk.len() as u64);
                    if !backoff.is_fresh() {
                        self.health.set(self.partition, None);
                        tracing::info!(partition = self.partition, "kafka takes records again");
                    }
                    return Ok(offsets);
                }
                Ok(Err(too_large)) => return Err(too_large),
                Err(error) => {
                    metrics::counter!("udaconnect_kafka_produce_errors_total").increment(1);
                    if backoff.is_fresh() {
                        tracing::warn!(partition = self.partition, %error, "kafka takes no records, trying again until it does");
                    }
                    self.health.set(self.partition, Some(detail(error)));
                    self.client = None;
                    backoff.wait().await;
                }
            }
        }
    }

    /// The inner error is final, the outer one may pass.
    async fn attempt(&mut self, chunk: &[Item<'_>]) -> Result<Result<Vec<i64>>> {
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(self.cluster.partition(self.partition).await?),
        };
        let records = chunk.iter().map(|(location, origin)| record(location, origin)).collect();
        within(PATIENCE, async {
            match client.produce(records, self.compression).await {
                Ok(offsets) => Ok(Ok(offsets)),
                Err(
                    error @ Kafka::ServerError {
                        protocol_error: ProtocolError::MessageTooLarge | ProtocolError::RecordListTooLarge,
                        ..
                    },
                ) => Ok(Err(Error::Internal(error.to_string()))),
                Err(error) => Err(unavailable(error)),
            }
        })
        .await
    }
}

fn record(location: &NewLocation, origin: &Origin) -> Record {
    let mut headers = BTreeMap::from([(wire::CONTENT_TYPE.to_owned(), wire::PROTOBUF.as_bytes().to_vec())]);
    origin.write(&mut headers);
    Record {
        key: Some(location.person_id().to_string().into_bytes()),
        value: Some(wire::encode(location)),
        headers,
        timestamp: Utc::now(),
    }
}
