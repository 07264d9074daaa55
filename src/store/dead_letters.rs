//! What could not be stored, with the reason: kept, within bounds, until somebody replays or discards it.
//!
//! Whatever a record holds, its letter fits: what is too large is cut, and what PostgreSQL cannot hold is left out. A letter whose
//! contents are removed leaves a row without them, so that its receipt does not say that it is stored. Rows are dropped, the
//! oldest first, when there are too many; receipts from before them are then not known any more.

use super::Store;
use super::connection::Connection;
use super::error::{from_diesel, refusal};
use super::record::{Retries, record_of_events};
use super::schema::dead_letter;
use super::set_aside::{plain, why};
use crate::domain::{Error, EventId, NewLocation, Result};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Timestamptz};
use diesel_async::{AsyncConnection, RunQueryDsl};

/// The most that is kept of a record, in bytes. A location takes some hundred.
pub(super) const LONGEST_VALUE: usize = 64 << 10;
pub(super) const LONGEST_KEY: usize = 4 << 10;
pub(super) const LONGEST_CONTENT_TYPE: usize = 256;
/// What is kept of a reason at the most, in characters.
pub(super) const LONGEST_REASON: usize = 2_000;
/// What of a reason a list shows, in characters.
const LISTED_REASON: i32 = 500;
/// Rows that are emptied or dropped in one transaction.
pub(super) const BLOCK: i64 = 10_000;

/// Reasons that stay when the contents are gone.
pub(super) const ERASED: &str = "it was refused, and its person is erased since";
const EXPIRED: &str = "it was refused, and its event's locations are not kept any longer";
const DISCARDED: &str = "it was refused, and an operator has discarded what was kept of it";

/// A record that was set aside, without its contents.
#[derive(Clone, Debug, Queryable)]
pub struct DeadLetterLine {
    pub id: i64,
    /// When it was set aside.
    pub time: DateTime<Utc>,
    pub partition: i32,
    pub first_offset: i64,
    pub last_offset: i64,
    /// Its beginning, where it is long.
    pub reason: String,
    /// The event that it is about; `None` where that is not known.
    pub event_id: Option<i32>,
}

/// A record that was set aside.
#[derive(Clone, Debug, Queryable)]
pub struct DeadLetter {
    pub id: i64,
    pub topic: String,
    pub partition: i32,
    pub first_offset: i64,
    /// Equal to `first_offset` unless a whole range could not be read.
    pub last_offset: i64,
    pub key: Option<Vec<u8>>,
    /// Its beginning, where it was long.
    pub value: Option<Vec<u8>>,
    pub content_type: Option<Vec<u8>>,
    /// The record's timestamp.
    pub record_time: Option<DateTime<Utc>>,
    pub reason: String,
    /// When it was set aside.
    pub time: DateTime<Utc>,
    /// How long the value was, in bytes.
    pub value_length: Option<i64>,
    /// When its contents were removed.
    pub emptied: Option<DateTime<Utc>>,
    /// The event that it is about; `None` where that is not known.
    pub event_id: Option<i32>,
}

impl DeadLetter {
    /// Whether only the beginning of the value was kept.
    pub fn is_cut(&self) -> bool {
        let kept = self.value.as_ref().map(|value| value.len() as i64);
        self.value_length.is_some_and(|length| kept.is_some_and(|kept| kept < length))
    }
}

/// What came of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It is stored and no dead letter any more.
    Stored,
    /// It stays a dead letter, for this reason.
    Refused(String),
    /// Somebody else has replayed, discarded or erased it meanwhile; nothing was stored.
    Gone,
}

impl Store {
    /// Dead letters by id, after `after`, at most `limit`; those whose contents are gone are left out.
    pub async fn dead_letters(&self, after: i64, limit: i64) -> Result<Vec<DeadLetterLine>> {
        use dead_letter as d;
        dead_letter::table
            .select((
                d::id,
                d::time,
                d::partition,
                d::first_offset,
                d::last_offset,
                left(d::reason, LISTED_REASON),
                d::event_id,
            ))
            .filter(d::id.gt(after).and(d::emptied.is_null()))
            .order(d::id)
            .limit(limit)
            .load(&mut self.connection().await?)
            .await
            .map_err(from_diesel)
    }

    /// One dead letter, or [`Error::NotFound`]. A value or key that is longer than today's bound (older versions kept them whole) is
    /// cut.
    pub async fn dead_letter(&self, id: i64) -> Result<DeadLetter> {
        use dead_letter as d;
        dead_letter::table
            .find(id)
            .select((
                d::id,
                d::topic,
                d::partition,
                d::first_offset,
                d::last_offset,
                substr(d::key, 1, LONGEST_KEY as i32),
                substr(d::value, 1, LONGEST_VALUE as i32),
                substr(d::content_type, 1, LONGEST_CONTENT_TYPE as i32),
                d::record_time,
                left(d::reason, LONGEST_REASON as i32),
                d::time,
                diesel::dsl::sql::<Nullable<BigInt>>("coalesce(value_length, octet_length(value))"),
                d::emptied,
                d::event_id,
            ))
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
        let mut retries = Retries::default();
        loop {
            match replay_once(&mut connection, id, &location).await {
                Err(diesel::result::Error::RollbackTransaction) => return Ok(Replayed::Gone),
                Err(error) if retries.again(&error) => {}
                // As a consumer takes it: for good, and about this record alone.
                Err(error) => return refusal(&error).map(Replayed::Refused).ok_or_else(|| from_diesel(error)),
                Ok(replayed) => return Ok(replayed),
            }
        }
    }

    /// Removes the contents of these letters; returns how many had any.
    pub async fn discard_dead_letters(&self, ids: &[i64]) -> Result<usize> {
        let mut connection = self.connection().await?;
        empty(&mut connection, DISCARDED, Emptied::Ids(ids)).await.map_err(from_diesel)
    }

    /// Removes the contents of all letters that are at least so old, by the database's clock; returns how many had any.
    pub async fn discard_dead_letters_older(&self, age: TimeDelta) -> Result<usize> {
        let mut connection = self.connection().await?;
        let old = || dead_letter::time.le(seconds_ago(age.num_milliseconds() as f64 / 1e3));
        let (mut count, mut after) = (0, 0);
        loop {
            let ids: Vec<i64> = dead_letter::table
                .select(dead_letter::id)
                .filter(dead_letter::id.gt(after).and(old()).and(dead_letter::emptied.is_null()))
                .order(dead_letter::id)
                .limit(BLOCK)
                .load(&mut connection)
                .await
                .map_err(from_diesel)?;
            // Each block is a transaction. Somebody may empty some of its letters between the two.
            count += empty(&mut connection, DISCARDED, Emptied::Ids(&ids)).await.map_err(from_diesel)?;
            match ids.last() {
                Some(last) if ids.len() as i64 == BLOCK => after = *last,
                _ => return Ok(count),
            }
        }
    }
}

/// Stores a letter's location and deletes the letter, or notes why not, in one transaction; RollbackTransaction where the letter is gone.
async fn replay_once(
    connection: &mut Connection,
    id: i64,
    location: &Result<NewLocation, String>,
) -> QueryResult<Replayed> {
    connection
        .transaction(async |connection| {
            let kept = || dead_letter::table.find(id).filter(dead_letter::emptied.is_null());
            let reason = match location {
                Err(reason) => reason.clone(),
                // The person before the letter, as whoever erases them does.
                Ok(location) => match record_of_events(connection, &[location]).await?.refusal(location) {
                    Some(refusal) => why(location, &refusal),
                    None => {
                        return match diesel::delete(kept()).execute(connection).await? {
                            0 => Err(diesel::result::Error::RollbackTransaction),
                            _ => Ok(Replayed::Stored),
                        };
                    }
                },
            };
            let noted = diesel::update(kept()).set(dead_letter::reason.eq(plain(&reason))).execute(connection).await?;
            Ok(if noted == 0 { Replayed::Gone } else { Replayed::Refused(reason) })
        })
        .await
}

/// Which letters lose their contents.
enum Emptied<'a> {
    Ids(&'a [i64]),
    Persons(&'a [i64]),
    Event(EventId),
}

/// Removes contents and leaves what a receipt needs.
async fn empty(connection: &mut Connection, reason: &'static str, which: Emptied<'_>) -> QueryResult<usize> {
    use dead_letter as d;
    let kept = d::emptied.is_null();
    let nothing = (
        d::key.eq(None::<Vec<u8>>),
        d::value.eq(None::<Vec<u8>>),
        d::content_type.eq(None::<Vec<u8>>),
        d::record_time.eq(None::<DateTime<Utc>>),
        d::person_id.eq(None::<i64>),
        d::value_length.eq(None::<i64>),
        d::emptied.eq(diesel::dsl::now),
        d::reason.eq(reason),
    );
    match which {
        Emptied::Ids(ids) => {
            diesel::update(dead_letter::table.filter(d::id.eq_any(ids).and(kept)))
                .set(nothing)
                .execute(connection)
                .await
        }
        Emptied::Event(id) => {
            let its_own = d::event_id.eq(id.get());
            diesel::update(dead_letter::table.filter(its_own.and(kept))).set(nothing).execute(connection).await
        }
        Emptied::Persons(ids) => {
            let theirs = d::person_id.eq_any(ids).or(d::key_person_id.eq_any(ids));
            diesel::update(dead_letter::table.filter(theirs.and(kept))).set(nothing).execute(connection).await
        }
    }
}

/// Removes the contents of all letters about a person, even if they are about somebody else, too; inside the transaction that erases
/// the person.
pub(super) async fn erase(connection: &mut Connection, person: i64) -> QueryResult<usize> {
    erase_all(connection, &[person]).await
}

/// The same of several.
pub(super) async fn erase_all(connection: &mut Connection, persons: &[i64]) -> QueryResult<usize> {
    empty(connection, ERASED, Emptied::Persons(persons)).await
}

/// Removes what an event's letters hold, those with ids after `after` and at most `most`; inside a transaction of the caller's. Returns
/// their ids.
pub(super) async fn expire(
    connection: &mut Connection,
    event: EventId,
    after: i64,
    most: i64,
) -> QueryResult<Vec<i64>> {
    use dead_letter as d;
    let ids: Vec<i64> = dead_letter::table
        .select(d::id)
        .filter(d::event_id.eq(event.get()).and(d::emptied.is_null()).and(d::id.gt(after)))
        .order(d::id)
        .limit(most)
        .load(connection)
        .await?;
    empty(connection, EXPIRED, Emptied::Ids(&ids)).await?;
    Ok(ids)
}

/// Erases what letters hold of an event that is being deleted.
pub(super) async fn erase_of_event(connection: &mut Connection, event: EventId) -> QueryResult<usize> {
    empty(connection, ERASED, Emptied::Event(event)).await
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn left(text: diesel::sql_types::Text, characters: diesel::sql_types::Integer) -> diesel::sql_types::Text;
    fn substr(
        bytes: Nullable<diesel::sql_types::Binary>,
        from: diesel::sql_types::Integer,
        length: diesel::sql_types::Integer,
    ) -> Nullable<diesel::sql_types::Binary>;
}

/// So many seconds before now, by the database's clock.
fn seconds_ago(seconds: f64) -> diesel::expression::SqlLiteral<Timestamptz> {
    diesel::dsl::sql::<Timestamptz>(&format!("now() - make_interval(secs => {seconds:?})"))
}
