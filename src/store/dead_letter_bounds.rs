//! How much the dead letters of a topic may take, and for how long they are kept: beyond that the oldest rows are dropped.

use super::Store;
use super::connection::Connection;
use super::dead_letters::BLOCK;
use super::error::from_diesel;
use super::schema::dead_letter;
use super::statement::{Bind, Statement};
use crate::domain::Result;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Timestamptz};
use diesel_async::RunQueryDsl;

/// How much a topic's dead letters may take, and for how long they are kept.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetterLimits {
    pub letters: i64,
    pub bytes: i64,
    /// `None`: for ever.
    pub age: Option<TimeDelta>,
}

/// A topic's dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterStock {
    /// Those that still have their contents.
    pub letters: i64,
    /// What all rows take, about, in bytes.
    pub bytes: i64,
    /// Rows dropped just now, since there were too many or they took too much.
    pub dropped_for_room: usize,
    /// Rows dropped just now, since they were too old.
    pub dropped_for_age: usize,
}

impl Store {
    /// Drops a topic's oldest rows beyond the limits, and returns what is left.
    pub async fn bound_dead_letters(&self, topic: &str, limits: DeadLetterLimits) -> Result<DeadLetterStock> {
        let mut connection = self.connection().await?;
        let mut stock = DeadLetterStock::default();
        if let Some(age) = limits.age {
            let before: DateTime<Utc> = diesel::select(diesel::dsl::now.into_sql::<Timestamptz>())
                .get_result(&mut connection)
                .await
                .map_err(from_diesel)?;
            let before = before.checked_sub_signed(age).unwrap_or(before);
            stock.dropped_for_age = drop_oldest(&mut connection, topic, Oldest::Before(before)).await?;
        }
        let (rows, bytes) = count(&mut connection, topic).await?;
        if rows > limits.letters || bytes > limits.bytes {
            // The newest row that does not fit any more.
            let last: Option<i64> = Statement::<(Nullable<BigInt>,)>::new(
                "SELECT max(id) FROM (
                     SELECT id, row_number() OVER newest AS rows, sum(size) OVER newest AS bytes
                     FROM dead_letter WHERE topic = ANY($1) WINDOW newest AS (ORDER BY id DESC)) AS counted
                 WHERE rows > $2 OR bytes > $3",
                vec![Bind::Texts(&[topic]), Bind::Id(limits.letters), Bind::Id(limits.bytes)],
            )
            .get_result::<(Option<i64>,)>(&mut connection)
            .await
            .map_err(from_diesel)?
            .0;
            if let Some(last) = last {
                stock.dropped_for_room = drop_oldest(&mut connection, topic, Oldest::UpTo(last)).await?;
            }
        }
        (_, stock.bytes) = count(&mut connection, topic).await?;
        stock.letters = dead_letter::table
            .filter(dead_letter::topic.eq(topic).and(dead_letter::emptied.is_null()))
            .count()
            .get_result(&mut connection)
            .await
            .map_err(from_diesel)?;
        Ok(stock)
    }
}

/// How many rows a topic has, and what they take.
async fn count(connection: &mut Connection, topic: &str) -> Result<(i64, i64)> {
    Statement::<(BigInt, BigInt)>::new(
        "SELECT count(*), coalesce(sum(size), 0)::bigint FROM dead_letter WHERE topic = ANY($1)",
        vec![Bind::Texts(&[topic])],
    )
    .get_result(connection)
    .await
    .map_err(from_diesel)
}

/// Which rows of a topic are dropped.
#[derive(Clone, Copy)]
enum Oldest {
    /// Up to this id.
    UpTo(i64),
    /// Those that were set aside before this time.
    Before(DateTime<Utc>),
}

impl Oldest {
    fn condition(self) -> &'static str {
        match self {
            Self::UpTo(_) => "id <= $2",
            Self::Before(_) => "time < $2",
        }
    }

    fn bind(self) -> Bind<'static> {
        match self {
            Self::UpTo(id) => Bind::Id(id),
            Self::Before(time) => Bind::Time(time),
        }
    }
}

/// Drops rows, a block a transaction, and notes from where on receipts can be answered.
async fn drop_oldest(connection: &mut Connection, topic: &str, which: Oldest) -> Result<usize> {
    let condition = which.condition();
    // What a topic of the same name had before it was made anew says nothing about the present one's offsets.
    let sql = format!(
        "WITH dropped AS (
             DELETE FROM dead_letter WHERE id IN (
                 SELECT id FROM dead_letter WHERE topic = ANY($1) AND {condition} ORDER BY id LIMIT {BLOCK})
             RETURNING topic, partition, last_offset
         ), ends AS (
             SELECT dropped.partition, max(last_offset) + 1 AS known_from
             FROM dropped JOIN kafka_partition AS k ON k.topic = dropped.topic AND k.partition = dropped.partition
             WHERE last_offset < k.next_offset GROUP BY dropped.partition
         ), noted AS (
             UPDATE kafka_partition AS k SET known_from = greatest(k.known_from, ends.known_from)
             FROM ends WHERE k.topic = ANY($3) AND k.partition = ends.partition
         ) SELECT count(*) FROM dropped"
    );
    let mut count = 0;
    loop {
        let (block,): (i64,) =
            Statement::<(BigInt,)>::new(sql.clone(), vec![Bind::Texts(&[topic]), which.bind(), Bind::Texts(&[topic])])
                .get_result(connection)
                .await
                .map_err(from_diesel)?;
        count += block as usize;
        if block < BLOCK {
            return Ok(count);
        }
    }
}
