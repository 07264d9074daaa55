//! What could not be stored, with the reason: kept, within bounds, until somebody replays or discards it.
//!
//! Whatever a record holds, its letter fits: what is too large is cut, and what PostgreSQL cannot hold is left out. A letter whose
//! contents are removed leaves a row without them, so that its receipt does not say that it is stored. Rows are dropped, the
//! oldest first, when there are too many; receipts from before them are then not known any more.

use super::Store;
use super::connection::Connection;
use super::error::from_diesel;
use super::locations::{Refusal, StoredOfEvents, events_of, record_of_events};
use super::offsets::Advance;
use super::schema::dead_letter;
use super::statement::{Bind, Statement};
use crate::domain::text::shown_at_most;
use crate::domain::{Error, EventId, NewLocation, Result};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Timestamptz};
use diesel_async::{AsyncConnection, RunQueryDsl};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What is kept of a record at the most, in bytes. A location takes some hundred.
const LONGEST_VALUE: usize = 64 << 10;
const LONGEST_KEY: usize = 4 << 10;
const LONGEST_CONTENT_TYPE: usize = 256;
/// What is kept of a reason at the most, in characters.
const LONGEST_REASON: usize = 2_000;
/// What of a reason a list shows, in characters.
const LISTED_REASON: i32 = 500;
/// Rows in one statement, which may have 65,535 values, and the bytes of their contents.
const ROWS: usize = 1_000;
const BYTES: usize = 4 << 20;
/// Rows that are emptied or dropped in one transaction.
const BLOCK: i64 = 10_000;

/// Reasons that stay when the contents are gone.
const ERASED: &str = "it was refused, and its person is erased since";
const EXPIRED: &str = "it was refused, and its event's locations are not kept any longer";
const DISCARDED: &str = "it was refused, and an operator has discarded what was kept of it";

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

    /// One dead letter, or [`Error::NotFound`]. Of a value or key longer than any that is kept (an older version kept them
    /// whole), the beginning.
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
        let replayed = connection
            .transaction(async |connection| {
                let kept = || dead_letter::table.find(id).filter(dead_letter::emptied.is_null());
                let reason = match &location {
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
                let noted =
                    diesel::update(kept()).set(dead_letter::reason.eq(plain(&reason))).execute(connection).await?;
                Ok(if noted == 0 { Replayed::Gone } else { Replayed::Refused(reason) })
            })
            .await;
        match replayed {
            Err(diesel::result::Error::RollbackTransaction) => Ok(Replayed::Gone),
            replayed => replayed.map_err(from_diesel),
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
        let mut count = 0;
        loop {
            // Anew for each block, of which each is a transaction.
            let block = empty(&mut connection, DISCARDED, Emptied::Older(age)).await.map_err(from_diesel)?;
            count += block;
            if (block as i64) < BLOCK {
                return Ok(count);
            }
        }
    }

    /// Drops a topic's oldest rows beyond the limits, and says what is there then.
    pub async fn bound_dead_letters(&self, topic: &str, limits: DeadLetterLimits) -> Result<DeadLetterStock> {
        let mut connection = self.connection().await?;
        let mut stock = DeadLetterStock::default();
        if let Some(age) = limits.age {
            let before: DateTime<Utc> = diesel::select(diesel::dsl::now.into_sql::<Timestamptz>())
                .get_result(&mut connection)
                .await
                .map_err(from_diesel)?;
            let before = before.checked_sub_signed(age).unwrap_or(before);
            stock.dropped_for_age = drop_oldest(&mut connection, topic, Bind::Time(before), true).await?;
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
                stock.dropped_for_room = drop_oldest(&mut connection, topic, Bind::Id(last), false).await?;
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

/// Drops rows up to an id or to before a time, a block a transaction, and notes from where on receipts can be answered.
async fn drop_oldest(connection: &mut Connection, topic: &str, last: Bind<'_>, by_time: bool) -> Result<usize> {
    // What a topic of the same name had before it was made anew says nothing about the present one's offsets.
    const NOTED: &str = "), ends AS (
             SELECT dropped.partition, max(last_offset) + 1 AS known_from
             FROM dropped JOIN kafka_partition AS k ON k.topic = dropped.topic AND k.partition = dropped.partition
             WHERE last_offset < k.next_offset GROUP BY dropped.partition
         ), noted AS (
             UPDATE kafka_partition AS k SET known_from = greatest(k.known_from, ends.known_from)
             FROM ends WHERE k.topic = ANY($3) AND k.partition = ends.partition
         ) SELECT count(*) FROM dropped";
    const BY_ID: &str = "WITH dropped AS (
             DELETE FROM dead_letter WHERE id IN (
                 SELECT id FROM dead_letter WHERE topic = ANY($1) AND id <= $2 ORDER BY id LIMIT 10000)
             RETURNING topic, partition, last_offset";
    const BY_TIME: &str = "WITH dropped AS (
             DELETE FROM dead_letter WHERE id IN (
                 SELECT id FROM dead_letter WHERE topic = ANY($1) AND time < $2 ORDER BY id LIMIT 10000)
             RETURNING topic, partition, last_offset";
    let sql = if by_time { [BY_TIME, NOTED].concat() } else { [BY_ID, NOTED].concat() };
    let mut count = 0;
    loop {
        let last = match last {
            Bind::Time(time) => Bind::Time(time),
            Bind::Id(id) => Bind::Id(id),
            _ => return Err(Error::Internal("rows are dropped by id or by time".to_owned())),
        };
        let (block,): (i64,) =
            Statement::<(BigInt,)>::new(sql.clone(), vec![Bind::Texts(&[topic]), last, Bind::Texts(&[topic])])
                .get_result(connection)
                .await
                .map_err(from_diesel)?;
        count += block as usize;
        if block < BLOCK {
            return Ok(count);
        }
    }
}

/// Which letters lose their contents.
enum Emptied<'a> {
    Ids(&'a [i64]),
    /// A block of them.
    Older(TimeDelta),
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
        Emptied::Older(age) => {
            let seconds = age.num_milliseconds() as f64 / 1e3;
            let old = d::time.le(seconds_ago(seconds));
            let ids: Vec<i64> = dead_letter::table
                .select(d::id)
                .filter(old.and(kept))
                .order(d::id)
                .limit(BLOCK)
                .load(connection)
                .await?;
            diesel::update(dead_letter::table.filter(d::id.eq_any(ids))).set(nothing).execute(connection).await
        }
    }
}

/// Erases what letters hold of a person, whoever else they are about; inside the transaction that erases the person.
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
    event_id: Option<i32>,
    person_id: Option<i64>,
    value_length: Option<i64>,
}

impl Row<'_> {
    fn bytes(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + self.reason.len()
    }
}

/// Keeps what is no location, and locations of persons who do not exist; inside a transaction of the caller's. Returns which
/// these are.
pub(super) async fn set_aside(
    connection: &mut Connection,
    advance: Advance<'_>,
    read: &[Read],
    stored: &StoredOfEvents,
) -> QueryResult<Vec<SetAside>> {
    let mut dead: Vec<SetAside> = read
        .iter()
        .enumerate()
        .filter_map(|(position, read)| {
            let reason = match &read.location {
                Err(reason) => plain(reason),
                Ok(location) => why(location, &stored.refusal(location)?),
            };
            Some(SetAside { position, reason })
        })
        .collect();
    if dead.is_empty() {
        return Ok(dead);
    }
    let persons: Vec<Persons> =
        dead.iter().map(|dead| Persons::of(&read[dead.position], advance.person_named)).collect();
    let (events, erased) = events_and_erased(connection, &persons).await?;
    for (dead, persons) in dead.iter_mut().zip(&persons) {
        if persons.any(&erased) {
            ERASED.clone_into(&mut dead.reason);
        }
    }
    let mut rows = Vec::new();
    let mut bytes = 0;
    for (dead, persons) in dead.iter().zip(&persons) {
        let event = persons.ids().find_map(|id| events.get(&id)).copied();
        let row = Row {
            event_id: event.map(EventId::get),
            ..row(advance, &read[dead.position], &dead.reason, persons, persons.any(&erased))
        };
        bytes += row.bytes();
        rows.push(row);
        if rows.len() == ROWS || bytes >= BYTES {
            diesel::insert_into(dead_letter::table).values(&rows).execute(connection).await?;
            rows.clear();
            bytes = 0;
        }
    }
    if !rows.is_empty() {
        diesel::insert_into(dead_letter::table).values(&rows).execute(connection).await?;
    }
    Ok(dead)
}

/// What is kept of a record.
fn row<'a>(advance: Advance<'a>, read: &'a Read, reason: &'a str, persons: &Persons, erased: bool) -> Row<'a> {
    let value = read.value.as_deref();
    let row = Row {
        topic: advance.topic,
        partition: advance.partition,
        first_offset: read.first_offset,
        last_offset: read.last_offset,
        key: read.key.as_deref().map(|key| cut(key, LONGEST_KEY)),
        value: value.map(|value| cut(value, LONGEST_VALUE)),
        content_type: read.content_type.as_deref().map(|content_type| cut(content_type, LONGEST_CONTENT_TYPE)),
        record_time: read.record_time.filter(|time| *time >= OLDEST_TIME),
        reason,
        event_id: None,
        person_id: persons.value,
        value_length: value.map(<[u8]>::len).filter(|length| *length > LONGEST_VALUE).map(|length| length as i64),
    };
    if erased {
        let nothing = Row { key: None, value: None, content_type: None, record_time: None, ..row };
        return Row { person_id: None, value_length: None, ..nothing };
    }
    row
}

fn cut(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[..bytes.len().min(most)]
}

/// PostgreSQL holds times from 4713 BC on. An older one is nobody's clock; it is left out.
const OLDEST_TIME: DateTime<Utc> = DateTime::from_timestamp(-210_834_000_000, 0).unwrap(); // 4712 BC

/// Whom a record is about.
struct Persons {
    value: Option<i64>,
    key: Option<i64>,
}

impl Persons {
    fn of(read: &Read, named: super::PersonNamed) -> Self {
        let value = match &read.location {
            Ok(location) => Some(location.person_id().get()),
            // What is larger is no location, and not worth reading.
            Err(_) => read
                .value
                .as_deref()
                .filter(|value| value.len() <= LONGEST_VALUE)
                .and_then(|value| named(value, read.content_type.as_deref())),
        };
        let digits = |key: &&[u8]| key.len() <= 19 && key.iter().all(u8::is_ascii_digit);
        let key = read.key.as_deref().filter(digits).and_then(|key| std::str::from_utf8(key).ok()?.parse().ok());
        Self { value, key }
    }

    fn ids(&self) -> impl Iterator<Item = i64> {
        self.value.into_iter().chain(self.key).filter(|id| *id > 0)
    }

    fn any(&self, of: &HashSet<i64>) -> bool {
        self.ids().any(|id| of.contains(&id))
    }
}

/// The events of those of the persons who are there, and those who were there once and are not any more. The former's rows are
/// locked until the end of the transaction: whoever erases one of them waits, and then finds the letters.
async fn events_and_erased(
    connection: &mut Connection,
    persons: &[Persons],
) -> QueryResult<(HashMap<i64, EventId>, HashSet<i64>)> {
    let mut ids: Vec<i64> = persons.iter().flat_map(Persons::ids).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(Default::default());
    }
    let present = events_of(connection, &ids).await?;
    let mut absent: HashSet<i64> = ids.into_iter().filter(|id| !present.contains_key(id)).collect();
    if absent.is_empty() {
        return Ok((present, absent));
    }
    // Ids are given out in order and never again.
    let (last, given): (i64, bool) =
        Statement::<(BigInt, Bool)>::new("SELECT last_value, is_called FROM person_id_seq", Vec::new())
            .get_result(connection)
            .await?;
    absent.retain(|id| given && *id <= last);
    Ok((present, absent))
}

fn why(location: &NewLocation, refusal: &Refusal<'_>) -> String {
    match refusal {
        Refusal::UnknownPerson => unknown_person(location),
        Refusal::Outside(reason) => plain(reason),
    }
}

fn unknown_person(location: &NewLocation) -> String {
    let id = location.person_id();
    match location.event_id() {
        None => format!("person_id: nobody has the id {id}; add the person first"),
        Some(event) => {
            format!("person_id: nobody has the id {id} in event {event}, which event_id names; add the person first")
        }
    }
}

/// On one line, without what PostgreSQL's texts cannot hold (NUL) and terminals should not be sent, and not endless.
fn plain(reason: &str) -> String {
    shown_at_most(reason, LONGEST_REASON)
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
