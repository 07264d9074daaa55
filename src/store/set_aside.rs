//! Records that cannot be stored become dead letters, in the transaction that stores the others.

use super::connection::Connection;
use super::dead_letters::{ERASED, LONGEST_CONTENT_TYPE, LONGEST_KEY, LONGEST_REASON, LONGEST_VALUE};
use super::offsets::Advance;
use super::record::{Refusal, StoredOfEvents, events_of};
use super::schema::dead_letter;
use super::statement::Statement;
use crate::domain::text::shown_at_most;
use crate::domain::{EventId, NewLocation};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use diesel_async::RunQueryDsl;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Rows in one statement, which may have 65,535 values, and the bytes of their contents.
const ROWS: usize = 1_000;
const BYTES: usize = 4 << 20;

/// One record that a consumer read, or a range of offsets of which nothing could be read.
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

/// A letter that is to be written.
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

/// Stores as dead letters the records that hold no location, and those whose location is refused; inside a transaction of the
/// caller's. Returns which these are.
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

/// Why a location was not stored, as a letter says it.
pub(super) fn why(location: &NewLocation, refusal: &Refusal<'_>) -> String {
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

/// The reason on one line and cut, without characters that PostgreSQL's texts cannot hold (NUL) or terminals should not get.
pub(super) fn plain(reason: &str) -> String {
    shown_at_most(reason, LONGEST_REASON)
}
