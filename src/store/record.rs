//! How locations are stored: batches of one event, singly answered or summed up, and records from Kafka, which may be of several.

use super::connection::Connection;
use super::error::{from_diesel, lost_a_race};
use super::locations::point;
use super::statement::{Bind, Statement};
use super::{EventStore, Store};
use crate::domain::{EventId, NewLocation, Recorded, Result};
use crate::geo::cell_of;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_geography::types::Point;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The outcome of a batch, in sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// New rows.
    pub stored: usize,
    /// Locations that were stored before or came twice in the batch.
    pub duplicates: usize,
    /// Persons that do not exist; none of their locations was stored.
    pub unknown: HashSet<i64>,
}

impl std::ops::AddAssign for Stored {
    fn add_assign(&mut self, other: Self) {
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.unknown.extend(other.unknown);
    }
}

impl EventStore<'_> {
    /// Stores a batch in one transaction and returns the outcome of each location, in order.
    ///
    /// A location that is stored already, or comes twice in the batch, is a [`Recorded::Duplicate`] with the id of the first.
    pub async fn record(&self, batch: &[NewLocation]) -> Result<Vec<Recorded>> {
        // Sorted by identity: two batches with common rows then meet them in the same order and cannot deadlock.
        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_unstable_by_key(|&i| batch[i].identity());
        order.dedup_by_key(|i| batch[*i].identity());
        let distinct: Vec<&NewLocation> = order.iter().map(|&i| &batch[i]).collect();
        let mut connection = self.store.connection().await?;
        self.store.partitions.ensure(&mut connection, &distinct).await;

        let mut found = HashMap::with_capacity(distinct.len());
        let mut rest = distinct;
        while !rest.is_empty() {
            rest = record_each(&mut connection, self.event, &rest, &mut found).await.map_err(from_diesel)?;
        }

        let mut first = HashSet::with_capacity(found.len());
        Ok(batch
            .iter()
            .map(|location| match found.get(&location.identity()) {
                Some(&Recorded::Stored { id }) if !first.insert(id) => Recorded::Duplicate { id },
                Some(&recorded) => recorded,
                None => Recorded::UnknownPerson { person: location.person_id() },
            })
            .collect())
    }

    /// Stores a batch in one transaction and returns only sums, for loads and the drain at the end of a process.
    pub async fn record_bulk(&self, batch: &[NewLocation]) -> Result<Stored> {
        let mut order: Vec<&NewLocation> = batch.iter().collect();
        order.sort_unstable_by_key(|location| location.identity());
        order.dedup_by_key(|location| location.identity());
        let mut connection = self.store.connection().await?;
        self.store.partitions.ensure(&mut connection, &order).await;
        let mut retries = Retries::default();
        loop {
            match connection
                .transaction(async |connection| record_sorted(connection, self.event, batch.len(), &order).await)
                .await
            {
                Err(error) if retries.again(&error) => {}
                done => return done.map_err(from_diesel),
            }
        }
    }
}

impl Store {
    /// Vacuums and analyses after a load, for index-only scans and the planner; autovacuum would do it some minutes later.
    pub async fn vacuum(&self) -> Result<()> {
        let mut connection = self.connector.connect().await?;
        connection.set_limit(None);
        connection.batch_execute("SET statement_timeout = 0").await.map_err(from_diesel)?;
        connection.batch_execute("VACUUM (ANALYZE) location").await.map_err(from_diesel)?;
        connection.batch_execute("VACUUM (ANALYZE) person").await.map_err(from_diesel)
    }
}

/// How often a transaction that lost a race is begun anew.
#[derive(Default)]
pub(super) struct Retries(u32);

impl Retries {
    const MOST: u32 = 5;

    /// Whether to try once more after this error.
    pub(super) fn again(&mut self, error: &diesel::result::Error) -> bool {
        self.any() && lost_a_race(error)
    }

    /// Whether to try once more, whatever the error was.
    pub(super) fn any(&mut self) -> bool {
        self.0 += 1;
        self.0 <= Self::MOST
    }
}

type Identity = (i64, i64, u64, u64);

/// Inserts sorted, distinct locations and notes in `found` the outcome of each whose person exists. Returns those that were there when
/// they were to be inserted and gone when their ids were looked up: somebody has deleted them, so they are to be inserted again.
///
/// One statement, and so one transaction by itself; what was there already needs a second one.
async fn record_each<'a>(
    connection: &mut Connection,
    event: EventId,
    sorted: &[&'a NewLocation],
    found: &mut HashMap<Identity, Recorded>,
) -> QueryResult<Vec<&'a NewLocation>> {
    let columns = Columns::of(event, sorted);
    let mut retries = Retries::default();
    let rows: Vec<(i64, i64, bool)> = loop {
        match columns.record().load(connection).await {
            Err(error) if retries.again(&error) => {}
            done => break done?,
        }
    };
    let mut known = Vec::new();
    for (ordinal, id, new) in rows {
        let location = sorted[ordinal as usize - 1];
        if new {
            found.insert(location.identity(), Recorded::Stored { id });
        } else {
            known.push(location);
        }
    }
    if !known.is_empty() {
        let rows: Vec<(i64, i64)> = Columns::of(event, &known).find().load(connection).await?;
        for (ordinal, id) in rows {
            found.insert(known[ordinal as usize - 1].identity(), Recorded::Duplicate { id });
        }
        known.retain(|location| !found.contains_key(&location.identity()));
    }
    Ok(known)
}

/// Inserts sorted, distinct locations of one event, inside a transaction of the caller's. `given` counts the batch with its
/// repeats.
async fn record_sorted(
    connection: &mut Connection,
    event: EventId,
    given: usize,
    sorted: &[&NewLocation],
) -> QueryResult<Stored> {
    let persons = persons_of(sorted);
    let present = present(connection, event, &persons).await?;
    let known: Vec<&NewLocation> =
        sorted.iter().copied().filter(|location| present.contains(&location.person_id().get())).collect();
    let stored = Columns::of(event, &known).insert().execute(connection).await?;
    let unknown: HashSet<i64> = persons.into_iter().filter(|id| !present.contains(id)).collect();
    let refused = sorted.len() - known.len();
    Ok(Stored { stored, duplicates: given - refused - stored, unknown })
}

/// Those of the persons whom the event has, kept from being erased until the transaction ends.
async fn present(connection: &mut Connection, event: EventId, persons: &[i64]) -> QueryResult<HashSet<i64>> {
    let rows: Vec<(i64,)> = Statement::<(BigInt,)>::new(
        "SELECT id FROM person WHERE event_id = $1 AND id = ANY($2) FOR KEY SHARE",
        vec![Bind::event(event), Bind::Ids(persons)],
    )
    .load(connection)
    .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// The outcome of records, which may be of several events.
pub(super) struct StoredOfEvents {
    /// New rows.
    pub(super) stored: usize,
    /// The persons that do not exist, each with the event in which it should: `None` is any.
    pub(super) unknown: HashSet<(Option<EventId>, i64)>,
    /// Why locations were not stored whose times their event does not take, by their identity and the event that they name.
    pub(super) outside: HashMap<(Identity, Option<EventId>), String>,
}

impl StoredOfEvents {
    /// Why a location of these was not stored; `None` when it was, or has been.
    pub(super) fn refusal(&self, location: &NewLocation) -> Option<Refusal<'_>> {
        let event = location.event_id();
        if self.unknown.contains(&(event, location.person_id().get())) {
            return Some(Refusal::UnknownPerson);
        }
        self.outside.get(&(location.identity(), event)).map(|reason| Refusal::Outside(reason))
    }
}

/// Why a location was not stored.
pub(super) enum Refusal<'a> {
    UnknownPerson,
    /// Its event does not take its time; a sentence about it.
    Outside(&'a str),
}

/// Inserts locations that were read from Kafka, distinct and sorted by identity, inside a transaction of the caller's. One that
/// names no event belongs to its person's; the person of one that names another event counts as unknown.
pub(super) async fn record_of_events(
    connection: &mut Connection,
    sorted: &[&NewLocation],
) -> QueryResult<StoredOfEvents> {
    let mut done = StoredOfEvents { stored: 0, unknown: HashSet::new(), outside: HashMap::new() };
    let (named, unnamed): (Vec<&NewLocation>, Vec<&NewLocation>) =
        sorted.iter().copied().partition(|location| location.event_id().is_some());
    let mut events: BTreeMap<EventId, Vec<&NewLocation>> = BTreeMap::new();
    for location in named {
        events.entry(location.event_id().unwrap_or(EventId::FIRST)).or_default().push(location);
    }
    for (event, given) in &mut events {
        let persons = persons_of(given);
        let present = present(connection, *event, &persons).await?;
        given.retain(|location| present.contains(&location.person_id().get()));
        done.unknown.extend(persons.into_iter().filter(|id| !present.contains(id)).map(|id| (Some(*event), id)));
    }
    if !unnamed.is_empty() {
        let events_of = events_of(connection, &persons_of(&unnamed)).await?;
        for location in unnamed {
            let person = location.person_id().get();
            match events_of.get(&person) {
                Some(event) => events.entry(*event).or_default().push(location),
                None => _ = done.unknown.insert((None, person)),
            }
        }
    }
    // In the order of the events, so that two transactions meet common rows in the same order.
    let known = super::events::by_ids(connection, events.keys()).await?;
    for (event, mut given) in events {
        if let Some(event) = known.get(&event) {
            given.retain(|location| {
                let outside = event.takes(location.creation_time()).err();
                let taken = outside.is_none();
                if let Some(error) = outside {
                    let reason = format!("{}: {}", error.field, error.message);
                    done.outside.insert((location.identity(), location.event_id()), reason);
                }
                taken
            });
        }
        given.sort_unstable_by_key(|location| location.identity());
        given.dedup_by_key(|location| location.identity());
        if !given.is_empty() {
            done.stored += Columns::of(event, &given).insert().execute(connection).await?;
        }
    }
    Ok(done)
}

/// The event of each of these persons; those that do not exist are absent. The persons are locked against being erased until the
/// transaction ends. It stands above events, because producers that know no events name only the person.
pub(super) async fn events_of(connection: &mut Connection, persons: &[i64]) -> QueryResult<HashMap<i64, EventId>> {
    let rows: Vec<(i64, i32)> = Statement::<(BigInt, Integer)>::new(
        "SELECT id, event_id FROM person WHERE id = ANY($1) ORDER BY id FOR KEY SHARE",
        vec![Bind::Ids(persons)],
    )
    .load(connection)
    .await?;
    Ok(rows.into_iter().map(|(id, event)| (id, EventId::new(event))).collect())
}

/// The persons of sorted locations, each once.
fn persons_of(sorted: &[&NewLocation]) -> Vec<i64> {
    let mut persons: Vec<i64> = sorted.iter().map(|location| location.person_id().get()).collect();
    persons.dedup();
    persons
}

/// A batch of one event, sorted by identity, column by column, as `unnest` takes it.
struct Columns {
    event: EventId,
    persons: Vec<i64>,
    distinct_persons: Vec<i64>,
    times: Vec<DateTime<Utc>>,
    points: Vec<Point>,
    accuracies: Vec<Option<f64>>,
    cells: Vec<i64>,
}

impl Columns {
    fn of(event: EventId, locations: &[&NewLocation]) -> Self {
        Self {
            event,
            persons: locations.iter().map(|l| l.person_id().get()).collect(),
            distinct_persons: persons_of(locations),
            times: locations.iter().map(|l| l.creation_time()).collect(),
            points: locations.iter().map(|l| point(l.coordinate())).collect(),
            accuracies: locations.iter().map(|l| l.accuracy_m()).collect(),
            cells: locations.iter().map(|l| cell_of(l.coordinate()).get()).collect(),
        }
    }

    // Conflicts name no index: while an older program runs beside there are two that hold the identity, with the event and
    // without.

    /// Inserts what is new of those whose person exists; returns (ordinal, id, whether new) of each of these.
    ///
    /// The plan is made for any number of rows, and is kept. So the last line is no join: one of two lists that the planner takes for
    /// short would be a loop in a loop. What is looked up in a subquery is hashed, whatever it expects.
    fn record(&self) -> Statement<'_, (BigInt, BigInt, Bool)> {
        Statement::new(
            "WITH given AS MATERIALIZED (
                 SELECT * FROM unnest($1, $2, $3, $4, $5)
                     WITH ORDINALITY AS t (person_id, creation_time, coordinate, accuracy_m, cell, ordinal)
             ), present AS MATERIALIZED (
                 SELECT id FROM person WHERE event_id = $6 AND id = ANY($7) FOR KEY SHARE
             ), numbered AS MATERIALIZED (
                 SELECT nextval('location_id_seq') AS id, given.*
                 FROM given WHERE person_id IN (SELECT id FROM present) ORDER BY ordinal
             ), inserted AS (
                 INSERT INTO location (event_id, id, person_id, creation_time, coordinate, accuracy_m, cell)
                 SELECT $8, id, person_id, creation_time, coordinate, accuracy_m, cell FROM numbered ORDER BY ordinal
                 ON CONFLICT DO NOTHING
                 RETURNING id
             )
             SELECT ordinal, id, id IN (SELECT id FROM inserted) FROM numbered",
            self.binds()
                .into_iter()
                .chain([Bind::event(self.event), Bind::Ids(&self.distinct_persons), Bind::event(self.event)])
                .collect(),
        )
    }

    /// Inserts what is new; every person must exist.
    fn insert(&self) -> Statement<'_> {
        Statement::new(
            "INSERT INTO location (event_id, person_id, creation_time, coordinate, accuracy_m, cell)
             SELECT $1, * FROM unnest($2, $3, $4, $5, $6)
             ON CONFLICT DO NOTHING",
            [Bind::event(self.event)].into_iter().chain(self.binds()).collect(),
        )
    }

    /// The (ordinal, id) of those that are stored.
    fn find(&self) -> Statement<'_, (BigInt, BigInt)> {
        Statement::new(
            "SELECT given.ordinal, location.id
             FROM unnest($1, $2, $3) WITH ORDINALITY AS given (person_id, creation_time, coordinate, ordinal)
             JOIN location USING (person_id, creation_time, coordinate)
             WHERE location.event_id = $4",
            vec![
                Bind::Ids(&self.persons),
                Bind::Times(&self.times),
                Bind::Points(&self.points),
                Bind::event(self.event),
            ],
        )
    }

    fn binds(&self) -> Vec<Bind<'_>> {
        vec![
            Bind::Ids(&self.persons),
            Bind::Times(&self.times),
            Bind::Points(&self.points),
            Bind::Doubles(&self.accuracies),
            Bind::Ids(&self.cells),
        ]
    }
}
