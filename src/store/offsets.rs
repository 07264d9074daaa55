//! Who reads which partition of a Kafka topic, how far that has come, and the one transaction that moves it on.

use super::Store;
use super::connection::Connection;
use super::error::{from_diesel, refusal};
use super::record::{Retries, record_of_events};
use super::schema::{kafka_partition, kafka_worker};
use super::set_aside::{Read, SetAside, set_aside};
use super::statement::{Bind, Statement};
use crate::domain::{NewLocation, Result};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Integer, Nullable, Text};
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
    /// Reads whom a value names, for those that hold no location.
    pub person_named: PersonNamed,
}

/// The function that reads the id of the person whom a record's value names, by its content type; `None` where it cannot.
pub type PersonNamed = fn(&[u8], Option<&[u8]>) -> Option<i64>;

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
    /// The database refuses something in it, for this reason, and would again; nothing was stored.
    Refused(String),
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No worker has come to it yet.
    Queued,
    /// It is stored (by itself, or since the same location had been stored before).
    Stored,
    /// It was set aside, for this reason.
    Rejected(String),
    /// It was settled so long ago that nobody knows any more how.
    Forgotten,
}

impl Store {
    /// Renews a worker's lease, gives and takes partitions so that all live workers have an even share, and returns those that are
    /// its own now. Must be called again before `lease` is over.
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

    /// Gives up all partitions of a worker, so that others need not wait for its lease to end.
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

    /// Stores what was read and moves the offset, in one transaction. Locations whose person exists become rows, all other records
    /// dead letters.
    pub async fn advance(&self, advance: Advance<'_>, read: &[Read]) -> Result<Committed> {
        let good = |read: &Read| read.location.as_ref().ok().cloned();
        let locations: Vec<NewLocation> = read.iter().filter_map(good).collect();
        let mut sorted: Vec<&NewLocation> = locations.iter().collect();
        // The same location, once with its event and once without, stays twice: one of the two may be refused.
        let key = |location: &&NewLocation| (location.identity(), location.event_id());
        sorted.sort_unstable_by_key(key);
        sorted.dedup_by_key(|location| key(location));
        let mut connection = self.connection().await?;
        self.partitions.ensure(&mut connection, &sorted).await;
        let mut retries = Retries::default();
        loop {
            let outcome = connection
                .transaction(async |connection| {
                    // A worker that hangs here (its machine is gone) must not hold its rows against the next owner.
                    connection.batch_execute("SET LOCAL idle_in_transaction_session_timeout = '4s'").await?;
                    let stored = record_of_events(connection, &sorted).await?;
                    let dead = set_aside(connection, advance, read, &stored).await?;
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
                Err(error) => match refusal(&error) {
                    Some(reason) => return Ok(Committed::Refused(reason)),
                    None => return Err(from_diesel(error)),
                },
            }
        }
    }

    /// The fate of the record at this offset, as far as the database knows.
    pub async fn fate(&self, topic: &str, partition: i32, offset: i64) -> Result<Fate> {
        // One statement, so that what it sees is of one moment: letters come and go.
        type Found = (i64, i64, Option<String>);
        let found = Statement::<(BigInt, BigInt, Nullable<Text>)>::new(
            "SELECT next_offset, known_from, (
                 -- Of a topic that was made anew, the latest counts.
                 SELECT CASE WHEN last_offset >= $1 THEN reason END FROM dead_letter AS d
                 WHERE d.topic = k.topic AND d.partition = k.partition AND first_offset <= $2
                 ORDER BY first_offset DESC, d.id DESC LIMIT 1)
             FROM kafka_partition AS k WHERE topic = ANY($3) AND partition = $4",
            vec![Bind::Id(offset), Bind::Id(offset), Bind::Texts(&[topic]), Bind::Id(partition.into())],
        )
        .get_result::<Found>(&mut self.connection().await?)
        .await
        .optional()
        .map_err(from_diesel)?;
        Ok(match found {
            Some((next, _, _)) if offset >= next => Fate::Queued,
            Some((_, _, Some(reason))) => Fate::Rejected(reason),
            Some((_, known_from, None)) if offset < known_from => Fate::Forgotten,
            Some((_, _, None)) => Fate::Stored,
            None => Fate::Queued,
        })
    }
}

async fn move_offset(connection: &mut Connection, advance: Advance<'_>) -> QueryResult<usize> {
    let moved = diesel::update(kafka_partition::table.find((advance.topic, advance.partition)))
        .filter(kafka_partition::owner.eq(advance.worker).and(kafka_partition::next_offset.eq(advance.from)))
        .set(kafka_partition::next_offset.eq(advance.to))
        .execute(connection)
        .await?;
    if advance.to < advance.from {
        // A topic that was made anew; what was forgotten was of the old one.
        diesel::update(kafka_partition::table.find((advance.topic, advance.partition)))
            .set(kafka_partition::known_from.eq(0))
            .execute(connection)
            .await?;
    }
    Ok(moved)
}
