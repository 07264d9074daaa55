use super::cluster::within;
use super::{Cluster, unavailable};
use crate::domain::Result;
use rskafka::client::error::{Error as Kafka, ProtocolError, RequestError};
use rskafka::client::partition::{OffsetAt, PartitionClient};
use rskafka::record::RecordAndOffset;
use std::sync::Arc;
use std::time::Duration;

/// How long a broker may take beyond the time that a fetch waits for data.
const PATIENCE: Duration = Duration::from_secs(10);

/// What lies at an offset.
pub enum Fetched {
    /// Records in order, perhaps none, and the offset that the next record written will get.
    Records { records: Vec<RecordAndOffset>, high_watermark: i64 },
    /// Nothing is kept there: the log reaches from `earliest` to before `latest`.
    OutOfRange { earliest: i64, latest: i64 },
    /// There are records, but the client cannot decode their batch, now or ever; the next readable offset is `next`.
    Unreadable { next: i64, reason: String },
}

/// Reads one partition. Any failure is returned, and the next call connects anew.
pub struct Reader {
    cluster: Arc<Cluster>,
    partition: i32,
    client: Option<PartitionClient>,
}

impl Reader {
    pub fn new(cluster: Arc<Cluster>, partition: i32) -> Self {
        Self { cluster, partition, client: None }
    }

    /// What is there from `offset` on, up to about `max_bytes`; waits up to `wait` for the first record.
    pub async fn fetch(&mut self, offset: i64, max_bytes: i32, wait: Duration) -> Result<Fetched> {
        let outcome = match self.try_fetch(offset, max_bytes, wait).await {
            Ok(Err(reason)) => self.skip_unreadable(offset, reason).await,
            Ok(Ok(fetched)) => Ok(fetched),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            self.client = None;
        }
        outcome
    }

    /// The inner error is the reason why a batch cannot be decoded.
    async fn try_fetch(&mut self, offset: i64, max_bytes: i32, wait: Duration) -> Result<Result<Fetched, String>> {
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(self.cluster.partition(self.partition).await?),
        };
        within(wait + PATIENCE, async {
            match client.fetch_records(offset, 1..max_bytes.saturating_add(1), wait.as_millis() as i32).await {
                Ok((records, high_watermark)) => Ok(Ok(Fetched::Records { records, high_watermark })),
                Err(Kafka::ServerError { protocol_error: ProtocolError::OffsetOutOfRange, .. }) => {
                    let earliest = client.get_offset(OffsetAt::Earliest).await.map_err(unavailable)?;
                    let latest = client.get_offset(OffsetAt::Latest).await.map_err(unavailable)?;
                    Ok(Ok(Fetched::OutOfRange { earliest, latest }))
                }
                Err(
                    error @ (Kafka::InvalidResponse(_)
                    | Kafka::Request(RequestError::ReadError(_) | RequestError::ReadVersionedError(_))),
                ) => Ok(Err(error.to_string())),
                Err(error) => Err(unavailable(error)),
            }
        })
        .await
    }

    /// Finds the end of a batch that cannot be decoded. One offset after the other: whatever is readable in between must
    /// not be jumped over, and this happens next to never.
    async fn skip_unreadable(&mut self, offset: i64, reason: String) -> Result<Fetched> {
        // One byte brings one batch. If that can be read, the bad one comes later.
        let mut next = offset;
        loop {
            match self.try_fetch(next, 1, Duration::ZERO).await? {
                Err(_) => next += 1,
                Ok(fetched) if next == offset => return Ok(fetched),
                Ok(_) => return Ok(Fetched::Unreadable { next, reason }),
            }
        }
    }
}
