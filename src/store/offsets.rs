//! Who reads which partition of a Kafka topic, how far that has come, and the one transaction that moves it on.

use super::Store;
use super::connection::Connection;
use super::dead_letters::{self, Read, SetAside};
use super::error::from_diesel;
use super::locations::{Retries, record_sorted};
use super::schema::{kafka_partition, kafka_worker};
use crate::domain::{NewLocation, Result};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Integer, Text};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use std::time::Duration;

/// A partition that a worker owns at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Owned {
    #[diesel(sql_type = Integer, column_name = own_partition)]
    pub partition: i32,
    /// The next record to be stored.
    #[diesel(sql_type = BigInt, column_name = own_next_offset)]
    pub next_offset: i64,
}

/// Which worker moves which partition from where to where.
#[derive(Clone, Copy, Debug)]
pub struct Advance<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub worker: &'a str,
    /// What the offset must be, or somebody else has moved it.
    pub from: i64,
    pub to: i64,
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    Done {
        /// New rows.
        stored: usize,
        /// Locations that were stored before or came twice.
        duplicates: usize,
        /// What was set aside.
        dead: Vec<SetAside>,
    },
    /// The partition is not this worker's any more, or is elsewhere than it thought; nothing was stored.
    Lost,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No worker has come to it yet.
    Queued,
    /// It is stored (by itself, or since the same location had been stored before).
    Stored,
    /// It is a dead letter, for this reason.
    Rejected(String),
}

impl Store {
    /// Says that a worker lives, takes and gives up partitions so that all live workers have an even share, and returns those
    /// that are now its own. Must be called again before `lease` is over.
    pub async fn heartbeat(&self, topic: &str, worker: &str, partitions: i32, lease: Duration) -> Result<Vec<Owned>> {
        diesel::sql_query("SELECT * FROM kafka_heartbeat($1, $2, $3, make_interval(secs => $4))")
            .bind::<Text, _>(topic)
            .bind::<Text, _>(worker)
            .bind::<Integer, _>(partitions)
            .bind::<Double, _>(lease.as_secs_f64())
            .load(&mut self.connection().await?)
            .await
            .map_err(from_diesel)
    }

    /// Gives up all that a worker has, so that others need not wait for its lease to end.
    pub async fn leave(&self, topic: &str, worker: &str) -> Result<()> {
        let mut connection = self.connection().await?;
        diesel::update(kafka_partition::table)
            .filter(kafka_partition::topic.eq(topic).and(kafka_partition::owner.eq(worker)))
            .set(kafka_partition::owner.eq(None::<&str>))
            .execute(&mut connection)
            .await
            .map_err(from_diesel)?;
        diesel::delete(kafka_worker::table.find((topic, worker)))
            .execute(&mut connection)
            .await
            .map_err(from_diesel)?;
        Ok(())
    }

    /// Stores what was read and moves the offset, all or nothing: locations whose person exists as rows, everything else as
    /// dead letters.
    pub async fn advance(&self, advance: Advance<'_>, read: &[Read]) -> Result<Committed> {
        let good = |read: &Read| read.location.as_ref().ok().cloned();
        let locations: Vec<NewLocation> = read.iter().filter_map(good).collect();
        let mut sorted: Vec<&NewLocation> = locations.iter().collect();
        sorted.sort_unstable_by_key(|location| location.identity());
        sorted.dedup_by_key(|location| location.identity());
        let mut connection = self.connection().await?;
        self.partitions.ensure(&mut connection, &sorted).await;
        let mut retries = Retries::default();
        loop {
            let outcome = connection
                .transaction(async |connection| {
                    // A worker that hangs here (its machine is gone) must not hold its rows against the next owner.
                    connection.batch_execute("SET LOCAL idle_in_transaction_session_timeout = '4s'").await?;
                    let stored = record_sorted(connection, locations.len(), &sorted).await?;
                    let dead = dead_letters::set_aside(connection, advance, read, &stored.unknown).await?;
                    // Last, so that the row is locked for a moment only and whoever divides the partitions need not skip it.
                    match move_offset(connection, advance).await? {
                        1 => Ok((stored.stored, dead)),
                        _ => Err(diesel::result::Error::RollbackTransaction),
                    }
                })
                .await;
            match outcome {
                Ok((stored, dead)) => {
                    return Ok(Committed::Done { stored, duplicates: read.len() - dead.len() - stored, dead });
                }
                Err(diesel::result::Error::RollbackTransaction) => return Ok(Committed::Lost),
                Err(error) if retries.again(&error) => {}
                Err(error) => return Err(from_diesel(error)),
            }
        }
    }

    /// What became of the record at this place, as far as the database knows.
    pub async fn fate(&self, topic: &str, partition: i32, offset: i64) -> Result<Fate> {
        let mut connection = self.connection().await?;
        let next: Option<i64> = kafka_partition::table
            .find((topic, partition))
            .select(kafka_partition::next_offset)
            .first(&mut connection)
            .await
            .optional()
            .map_err(from_diesel)?;
        if next.is_none_or(|next| next <= offset) {
            return Ok(Fate::Queued);
        }
        let reason = dead_letters::reason(&mut connection, topic, partition, offset).await.map_err(from_diesel)?;
        Ok(reason.map_or(Fate::Stored, Fate::Rejected))
    }
}

async fn move_offset(connection: &mut Connection, advance: Advance<'_>) -> QueryResult<usize> {
    diesel::update(kafka_partition::table.find((advance.topic, advance.partition)))
        .filter(kafka_partition::owner.eq(advance.worker).and(kafka_partition::next_offset.eq(advance.from)))
        .set(kafka_partition::next_offset.eq(advance.to))
        .execute(connection)
        .await
}
