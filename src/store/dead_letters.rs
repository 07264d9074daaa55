//! What could not be stored, with the reason: kept until somebody replays or deletes it.

use super::Store;
use super::connection::Connection;
use super::error::from_diesel;
use super::locations::record_sorted;
use super::offsets::Advance;
use super::schema::dead_letter;
use crate::domain::{Error, NewLocation, Result};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

/// What a consumer read: one record, or a range of offsets of which nothing could be read.
#[derive(Clone, Debug)]
pub struct Read {
    pub first_offset: i64,
    pub last_offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub content_type: Option<Cow<'static, [u8]>>,
    pub record_time: Option<DateTime<Utc>>,
    /// The location in it, or why there is none.
    pub location: Result<NewLocation, String>,
    /// The request that brought it, if the record says so.
    pub request_id: Option<Arc<str>>,
}

/// A record that was set aside by a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Its position in what was read.
    pub position: usize,
    pub reason: String,
}

/// A record that was set aside.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = dead_letter)]
pub struct DeadLetter {
    pub id: i64,
    pub topic: String,
    pub partition: i32,
    pub first_offset: i64,
    /// Equal to `first_offset` unless a whole range could not be read.
    pub last_offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub content_type: Option<Vec<u8>>,
    /// The record's timestamp.
    pub record_time: Option<DateTime<Utc>>,
    pub reason: String,
    /// When it was set aside.
    pub time: DateTime<Utc>,
}

/// What came of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It is stored and no dead letter any more.
    Stored,
    /// It stays a dead letter, for this reason.
    Refused(String),
}

impl Store {
    /// Dead letters by id, after `after`, at most `limit`.
    pub async fn dead_letters(&self, after: i64, limit: i64) -> Result<Vec<DeadLetter>> {
        dead_letter::table
            .select(DeadLetter::as_select())
            .filter(dead_letter::id.gt(after))
            .order(dead_letter::id)
            .limit(limit)
            .load(&mut self.connection().await?)
            .await
            .map_err(from_diesel)
    }

    /// One dead letter, or [`Error::NotFound`].
    pub async fn dead_letter(&self, id: i64) -> Result<DeadLetter> {
        dead_letter::table
            .find(id)
            .select(DeadLetter::as_select())
            .first(&mut self.connection().await?)
            .await
            .optional()
            .map_err(from_diesel)?
            .ok_or(Error::NotFound { what: "dead letter", id })
    }

    /// Stores the location of a dead letter and deletes the letter, or notes why that is still not possible.
    pub async fn replay(&self, id: i64, location: Result<NewLocation, String>) -> Result<Replayed> {
        let mut connection = self.connection().await?;
        if let Ok(location) = &location {
            self.partitions.ensure(&mut connection, &[location]).await;
        }
        connection
            .transaction(async |connection| {
                let reason = match &location {
                    Err(reason) => reason.clone(),
                    Ok(location) if record_sorted(connection, 1, &[location]).await?.unknown.is_empty() => {
                        diesel::delete(dead_letter::table.find(id)).execute(connection).await?;
                        return Ok(Replayed::Stored);
                    }
                    Ok(location) => unknown_person(location),
                };
                diesel::update(dead_letter::table.find(id))
                    .set(dead_letter::reason.eq(plain(&reason)))
                    .execute(connection)
                    .await?;
                Ok(Replayed::Refused(reason))
            })
            .await
            .map_err(from_diesel)
    }
}

#[derive(Insertable)]
#[diesel(table_name = dead_letter)]
struct Row<'a> {
    topic: &'a str,
    partition: i32,
    first_offset: i64,
    last_offset: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    record_time: Option<DateTime<Utc>>,
    reason: &'a str,
}

/// Keeps what is no location, and locations of persons who do not exist; inside a transaction of the caller's. Returns how
/// which these are.
pub(super) async fn set_aside(
    connection: &mut Connection,
    advance: Advance<'_>,
    read: &[Read],
    unknown: &HashSet<i64>,
) -> QueryResult<Vec<SetAside>> {
    let dead: Vec<SetAside> = read
        .iter()
        .enumerate()
        .filter_map(|(position, read)| {
            let reason = match &read.location {
                Err(reason) => plain(reason),
                Ok(location) if unknown.contains(&location.person_id().get()) => unknown_person(location),
                Ok(_) => return None,
            };
            Some(SetAside { position, reason })
        })
        .collect();
    let rows: Vec<Row<'_>> = dead
        .iter()
        .map(|dead| {
            let read = &read[dead.position];
            Row {
                topic: advance.topic,
                partition: advance.partition,
                first_offset: read.first_offset,
                last_offset: read.last_offset,
                key: read.key.as_deref(),
                value: read.value.as_deref(),
                content_type: read.content_type.as_deref(),
                record_time: read.record_time,
                reason: &dead.reason,
            }
        })
        .collect();
    // A statement may have 65,535 values at most.
    for rows in rows.chunks(1_000) {
        diesel::insert_into(dead_letter::table).values(rows).execute(connection).await?;
    }
    Ok(dead)
}

/// Why the record at this place was set aside, if it was. Of a topic that was made anew, the latest counts.
pub(super) async fn reason(
    connection: &mut Connection,
    topic: &str,
    partition: i32,
    offset: i64,
) -> QueryResult<Option<String>> {
    dead_letter::table
        .select((dead_letter::last_offset, dead_letter::reason))
        .filter(dead_letter::topic.eq(topic).and(dead_letter::partition.eq(partition)))
        .filter(dead_letter::first_offset.le(offset))
        .order((dead_letter::first_offset.desc(), dead_letter::id.desc()))
        .first::<(i64, String)>(connection)
        .await
        .optional()
        .map(|found| found.filter(|(last, _)| *last >= offset).map(|(_, reason)| reason))
}

fn unknown_person(location: &NewLocation) -> String {
    format!("person_id: nobody has the id {}; add the person first", location.person_id())
}

/// PostgreSQL's texts cannot hold NUL.
fn plain(reason: &str) -> String {
    reason.replace('\0', "\u{fffd}")
}
