//! Reads one partition.

use super::batch;
use super::cluster::{ANSWER, within};
use super::connection::{Connection, malformed};
use super::memory::{Memory, SENT};
use super::protocol::{self, FetchRequest};
use super::{Cluster, RecordSet, unavailable};
use crate::domain::Result;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is read of an answer that is too large to be read: enough to find the end of its first batch.
const BEGINNING: usize = 64 << 10;

/// What a fetch has found at an offset.
pub enum Fetched {
    /// Records in order, perhaps none.
    Records(Box<RecordSet>),
    /// Nothing is kept there: the log reaches from `earliest` to before `latest`.
    OutOfRange { earliest: i64, latest: i64 },
}

/// Reads one partition, committed records only. Any failure is returned, and the next call connects anew.
pub struct PartitionReader {
    cluster: Arc<Cluster>,
    memory: Arc<Memory>,
    partition: i32,
    connection: Option<Connection>,
    /// What is known of the cluster must be younger.
    since: Option<Instant>,
}

impl PartitionReader {
    pub fn new(cluster: Arc<Cluster>, memory: Arc<Memory>, partition: i32) -> Self {
        Self { cluster, memory, partition, connection: None, since: None }
    }

    /// Fetches records from `offset` on, up to about `max_bytes`; waits up to `wait` for the first record.
    pub async fn fetch(&mut self, offset: i64, max_bytes: i32, wait: Duration) -> Result<Fetched> {
        let outcome = self.try_fetch(offset, max_bytes, wait).await;
        if outcome.is_err() {
            self.connection = None;
            self.since = Some(Instant::now());
        }
        outcome
    }

    async fn try_fetch(&mut self, offset: i64, max_bytes: i32, wait: Duration) -> Result<Fetched> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.cluster.leader(self.partition, self.since).await?,
        };
        let topic = self.cluster.topic();
        let wait_ms = wait.as_millis() as i32;
        let request = FetchRequest { topic, partition: self.partition, offset, wait_ms, max_bytes };
        let pending = within(wait + ANSWER, connection.ask_for(protocol::FETCH, &request.body())).await?;
        // Until there is room, the answer waits at the broker.
        let sent = self.memory.sent(pending.length()).await;
        let answer = if pending.length() <= SENT {
            let (connection, answer) = pending.whole().await?;
            self.connection = Some(connection);
            answer
        } else {
            pending.beginning(BEGINNING).await?
        };
        let answer = protocol::fetch(answer).map_err(|_| malformed(protocol::FETCH))?;
        match answer.error {
            // Kafka sends a whole one, however little is asked for; otherwise there would be no getting on.
            0 if answer.length == answer.records.len() && batch::is_partial(&answer.records) => {
                Err(unavailable("the broker sent a part of a batch only"))
            }
            0 => Ok(Fetched::Records(Box::new(RecordSet::new(
                answer.records,
                answer.length,
                answer.aborted,
                offset,
                answer.last_stable_offset,
                self.memory.clone(),
                sent,
            )))),
            protocol::OFFSET_OUT_OF_RANGE => {
                let earliest = self.offset_at(protocol::EARLIEST).await?;
                let latest = self.offset_at(protocol::LATEST).await?;
                Ok(Fetched::OutOfRange { earliest, latest })
            }
            error => Err(unavailable(protocol::error_name(error))),
        }
    }

    async fn offset_at(&mut self, at: i64) -> Result<i64> {
        let connection = self.connection.take().ok_or_else(|| unavailable("the connection was closed"))?;
        let body = protocol::list_offsets_request(self.cluster.topic(), self.partition, at);
        let (connection, answer) = within(ANSWER, connection.ask(protocol::LIST_OFFSETS, &body)).await?;
        self.connection = Some(connection);
        match protocol::list_offsets(answer).map_err(|_| malformed(protocol::LIST_OFFSETS))? {
            (0, offset) => Ok(offset),
            (error, _) => Err(unavailable(protocol::error_name(error))),
        }
    }
}
