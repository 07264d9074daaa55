//! Who was near whom: the rows that a question about meetings is answered from, by index alone and in one snapshot.

use super::EventStore;
use super::connection::Connection;
use super::error::from_diesel;
use super::loader::Loader;
use super::locations::{LocationColumns, LocationRow, coordinate, point};
use super::partitions::whole_tables;
use super::persons::PersonRow;
use super::schema::person;
use super::searches::Search as Searching;
use super::statement::{Bind, Statement};
use crate::domain::{Error, EventId, Location, Person, PersonId, Result, TimeRange};
use crate::geo::Cell;
use crate::meeting::{Fix, Lookup, Lookups};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::result::Error as Diesel;
use diesel::sql_types::{BigInt, Bool, Date, Timestamptz};
use diesel_async::{AnsiTransactionManager, RunQueryDsl, TransactionManager};
use diesel_geography::sql_types::Geography;
use diesel_geography::types::Point;
use futures_util::TryStreamExt;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One state of the database, of which one event's rows are seen, in which several questions get answers that agree with each other.
///
/// All of them together may take as long as one statement may. A snapshot that is dropped before its end takes its connection
/// with it, and whatever the server still does for it is ended: nobody waits for that. At a replica it may lack the last moments.
pub struct Snapshot {
    /// `None` when it has ended.
    search: Option<Searching>,
    event: EventId,
    /// Who a replica has not heard of yet, the primary may know.
    at_primary: Loader<Person>,
    began: Instant,
    limit: Duration,
}

/// One cell, and times in microseconds since 1970 UTC, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellTimes {
    pub cell: Cell,
    pub from: i64,
    pub to: i64,
}

/// Cells that one statement looks into: more would make the arrays that name them large.
const CELLS_A_STATEMENT: usize = 10_000;

/// Up to so many cells are all looked into, though some may be empty; of more, the empty ones are left out first.
const CELLS_AT_SIGHT: u64 = 5_000;

/// Cells of which is asked at once whether they are empty, 8 bytes each.
const CELLS_AT_ONCE: u64 = 250_000;

/// Rows after which others on the same processor get their turn.
const ROWS_AT_ONCE: usize = 4_000;

impl EventStore<'_> {
    /// Begins a snapshot, when it is its turn.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let mut search = self.store.search().await?;
        begin(&mut search).await?;
        Ok(Snapshot {
            search: Some(search),
            event: self.event,
            at_primary: self.store.person_loader.clone(),
            began: Instant::now(),
            limit: self.store.connector.statement_timeout(),
        })
    }

    /// The days of a time zone (an IANA name) on which a person has locations, each with their number, oldest first;
    /// [`Error::NotFound`] for an unknown person.
    pub async fn days(&self, person: PersonId, zone: &str) -> Result<Vec<(NaiveDate, u64)>> {
        let mut connection = self.store.search().await?;
        let rows = loop {
            let rows = Statement::<(Date, BigInt)>::new(
                "SELECT (creation_time AT TIME ZONE $1)::date AS day, count(*) FROM location
                 WHERE event_id = $2 AND person_id = $3
                 GROUP BY day ORDER BY day",
                vec![Bind::Text(zone), Bind::event(self.event), Bind::Id(person.get())],
            )
            .load(&mut *connection)
            .await;
            if let Some(rows) = connection.settle(rows).await {
                break rows;
            }
        };
        let rows: Vec<(NaiveDate, i64)> = match rows {
            Ok(rows) => rows,
            // The server's list of zones may be shorter than ours: old names are in a package of their own in some systems.
            Err(error @ diesel::result::Error::DatabaseError(..)) => {
                return Err(if knows_zone(&mut connection, zone).await? {
                    from_diesel(error)
                } else {
                    Error::invalid("tz", format!("must be a time zone that the database knows; it has no {zone}"))
                });
            }
            Err(error) => return Err(from_diesel(error)),
        };
        drop(connection);
        if rows.is_empty() {
            self.person(person).await?;
        }
        Ok(rows.into_iter().map(|(day, count)| (day, count.unsigned_abs())).collect())
    }
}

impl Snapshot {
    /// The person, or [`Error::NotFound`].
    pub async fn person(&mut self, id: PersonId) -> Result<Person> {
        let mut found = self.persons(&[id]).await?.remove(&id);
        if found.is_none() && self.search.as_ref().is_some_and(Searching::is_at_replica) {
            found = self.at_primary.get(self.event, id.get()).await?;
        }
        found.ok_or(Error::NotFound { what: "person", id: id.get() })
    }

    /// Those of the persons that exist, in one query.
    pub async fn persons(&mut self, ids: &[PersonId]) -> Result<BTreeMap<PersonId, Person>> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        let rows: Vec<PersonRow> = person::table
            .select(PersonRow::as_select())
            .filter(person::event_id.eq(self.event.get()).and(person::id.eq_any(ids)))
            .load(self.connection())
            .await
            .map_err(|error| self.told(error))?;
        rows.into_iter().map(|row| row.into_domain().map(|person| (person.id, person))).collect()
    }

    /// When and where a person was in the range, oldest first, after `after`, at most `limit`. From the index alone.
    pub async fn track(
        &mut self,
        person: PersonId,
        range: TimeRange,
        after: Option<Fix>,
        limit: usize,
    ) -> Result<Vec<Fix>> {
        self.in_time()?;
        let event = Bind::event(self.event);
        let (person, to, limit) = (Bind::Id(person.get()), Bind::Time(range.to()), Bind::Id(limit as i64));
        let rows = match after {
            None => Statement::<(Timestamptz, Geography)>::new(
                "SELECT creation_time, coordinate FROM location
                 WHERE event_id = $1 AND person_id = $2 AND creation_time >= $3 AND creation_time < $4
                 ORDER BY creation_time, coordinate LIMIT $5",
                vec![event, person, Bind::Time(range.from()), to, limit],
            ),
            Some(after) => Statement::new(
                "SELECT creation_time, coordinate FROM location
                 WHERE event_id = $1 AND person_id = $2 AND (creation_time, coordinate) > ($3, $4) AND creation_time < $5
                 ORDER BY creation_time, coordinate LIMIT $6",
                vec![event, person, Bind::Time(time(after.time)?), Bind::Point(point(after.coordinate)), to, limit],
            ),
        };
        let rows: Vec<(DateTime<Utc>, Point)> = rows.load(self.connection()).await.map_err(|error| self.told(error))?;
        rows.into_iter().map(|(time, place)| Ok(Fix::new(time, coordinate(place)?))).collect()
    }

    /// Hands every location in the lookups' cells and times to `each`, in no order, as the rows arrive: none is kept.
    pub async fn candidates(
        &mut self,
        lookups: &Lookups,
        range: TimeRange,
        mut each: impl FnMut(PersonId, Fix) -> Result<()>,
    ) -> Result<()> {
        let (mut rows, mut cells) = (Batch::default(), Vec::new());
        for row in lookups.rows() {
            rows.add(row);
            if rows.is_full() {
                self.candidates_in(&mut rows, range, &mut cells, &mut each).await?;
            }
        }
        self.candidates_in(&mut rows, range, &mut cells, &mut each).await?;
        self.look_into(&cells, &mut each).await
    }

    /// Looks into all cells of these lookups but for a remainder, which is left in `rest`.
    async fn candidates_in(
        &mut self,
        batch: &mut Batch,
        range: TimeRange,
        rest: &mut Vec<CellTimes>,
        each: &mut impl FnMut(PersonId, Fix) -> Result<()>,
    ) -> Result<()> {
        let batch = std::mem::take(batch);
        tokio::task::yield_now().await;
        let occupied = if batch.sum > CELLS_AT_SIGHT { Some(self.occupied(&batch, range).await?) } else { None };
        for lookup in &batch.lookups {
            for cell in cells_of(lookup, occupied.as_deref()) {
                rest.push(CellTimes { cell, from: lookup.from, to: lookup.to });
                if rest.len() == CELLS_A_STATEMENT {
                    self.look_into(rest, each).await?;
                    rest.clear();
                }
            }
        }
        Ok(())
    }

    async fn look_into(
        &mut self,
        cells: &[CellTimes],
        each: &mut impl FnMut(PersonId, Fix) -> Result<()>,
    ) -> Result<()> {
        if cells.is_empty() {
            return Ok(());
        }
        self.in_time()?;
        let columns = Columns::of(cells, (i64::MIN, i64::MAX))?;
        let mut binds = columns.binds();
        binds.push(Bind::event(self.event));
        let statement = Statement::<(BigInt, Timestamptz, Geography)>::new(
            "SELECT near.person_id, near.creation_time, near.coordinate
             FROM unnest($1, $2, $3) AS lookup (cell, begin_time, end_time)
             CROSS JOIN LATERAL (
                 SELECT person_id, creation_time, coordinate FROM location
                 WHERE event_id = $4 AND cell = lookup.cell AND creation_time >= lookup.begin_time AND creation_time <= lookup.end_time
                 OFFSET 0
             ) AS near",
            binds,
        );
        let rows = statement
            .load_stream::<(i64, DateTime<Utc>, Point)>(self.connection())
            .await
            .map_err(|error| self.told(error))?;
        let mut rows = std::pin::pin!(rows);
        let mut count = 0;
        while let Some((person, time, place)) = rows.try_next().await.map_err(|error| self.told(error))? {
            each(PersonId::new(person, "person_id")?, Fix::new(time, coordinate(place)?))?;
            count += 1;
            if count % ROWS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// The locations in these cells and times, at `from` or later and up to `to` (both in microseconds since 1970), after the
    /// location `after` of the time `from`; ordered by time, then id; at most `limit`.
    pub async fn locations_in(
        &mut self,
        cells: &[CellTimes],
        (from, to): (i64, i64),
        after: i64,
        limit: usize,
    ) -> Result<Vec<Location>> {
        self.in_time()?;
        let columns = Columns::of(cells, (from, to))?;
        if columns.cells.is_empty() {
            return Ok(Vec::new());
        }
        let mut binds = columns.binds();
        binds.extend([Bind::event(self.event), Bind::Time(time(from)?), Bind::Id(after), Bind::Id(limit as i64)]);
        let rows: Vec<LocationRow> = Statement::<LocationColumns>::new(
            "SELECT near.id, near.person_id, near.creation_time, near.coordinate, near.accuracy_m
             FROM unnest($1, $2, $3) AS lookup (cell, begin_time, end_time)
             CROSS JOIN LATERAL (
                 SELECT id, person_id, creation_time, coordinate, accuracy_m FROM location
                 WHERE event_id = $4 AND cell = lookup.cell AND creation_time >= lookup.begin_time AND creation_time <= lookup.end_time
                 OFFSET 0
             ) AS near
             WHERE (near.creation_time, near.id) > ($5, $6)
             ORDER BY near.creation_time, near.id LIMIT $7",
            binds,
        )
        .load(self.connection())
        .await
        .map_err(|error| self.told(error))?;
        rows.into_iter().map(LocationRow::into_domain).collect()
    }

    /// The lookups cell by cell, at most `most`; `None` if there are more. Where there are many, empty ones are left out: what is
    /// empty costs nothing.
    pub async fn cells(&mut self, lookups: &Lookups, range: TimeRange, most: usize) -> Result<Option<Vec<CellTimes>>> {
        let (mut cells, mut batch) = (Vec::new(), Batch::default());
        let mut rows = lookups.rows().peekable();
        while let Some(row) = rows.next() {
            batch.add(row);
            if !batch.is_full() && rows.peek().is_some() {
                continue;
            }
            let batch = std::mem::take(&mut batch);
            let occupied = if batch.sum > CELLS_AT_SIGHT { Some(self.occupied(&batch, range).await?) } else { None };
            for lookup in &batch.lookups {
                cells.extend(cells_of(lookup, occupied.as_deref()).map(|cell| CellTimes {
                    cell,
                    from: lookup.from,
                    to: lookup.to,
                }));
                if cells.len() > most {
                    return Ok(None);
                }
            }
        }
        Ok(Some(cells))
    }

    /// Those of the lookups' cells that hold a location in one of the tables of their times (or more), in ascending order.
    ///
    /// By whole tables: a condition on single times would leave out the others just as well, but then an index entry would
    /// be read for every location of a cell outside the times, and not one for each cell.
    async fn occupied(&mut self, batch: &Batch, range: TimeRange) -> Result<Vec<Cell>> {
        self.in_time()?;
        let (Some(from), Some(to)) =
            (batch.lookups.iter().map(|l| l.from).min(), batch.lookups.iter().map(|l| l.to).max())
        else {
            return Ok(Vec::new());
        };
        let (from, to) = whole_tables(time(from)?, time(to)?, Utc::now().date_naive());
        let (from, to) = (from.unwrap_or(range.from()), to.unwrap_or(range.to()));
        let ranges = batch.distinct.iter().copied();
        let (first, last): (Vec<i64>, Vec<i64>) = ranges.unzip();
        let rows: Vec<(i64,)> = Statement::<(BigInt,)>::new(
            "WITH months AS MATERIALIZED (SELECT $1 AS begin_time, $2 AS end_time)
             SELECT found.cell
             FROM months CROSS JOIN unnest($3, $4) AS wanted (first_cell, last_cell)
             CROSS JOIN LATERAL (
                 WITH RECURSIVE next (cell) AS (
                     (SELECT cell FROM location
                      WHERE event_id = $5 AND cell >= wanted.first_cell AND cell <= wanted.last_cell
                        AND creation_time >= months.begin_time AND creation_time < months.end_time
                      ORDER BY cell LIMIT 1)
                     UNION ALL
                     SELECT (SELECT location.cell FROM location
                             WHERE event_id = $6 AND location.cell > next.cell AND location.cell <= wanted.last_cell
                               AND creation_time >= months.begin_time AND creation_time < months.end_time
                             ORDER BY location.cell LIMIT 1)
                     FROM next WHERE next.cell IS NOT NULL
                 )
                 SELECT cell FROM next WHERE cell IS NOT NULL
             ) AS found
             ORDER BY found.cell",
            vec![
                Bind::Time(from),
                Bind::Time(to),
                Bind::Ids(&first),
                Bind::Ids(&last),
                Bind::event(self.event),
                Bind::event(self.event),
            ],
        )
        .load(self.connection())
        .await
        .map_err(|error| self.told(error))?;
        Ok(rows.into_iter().map(|(cell,)| Cell::numbered(cell)).collect())
    }

    /// Ends the snapshot, gives its connection back if that still works, and returns what became of the work.
    ///
    /// `None`: the replica that it was at could not do it, and it has begun anew at the primary; the same work is to be done again.
    pub async fn end<T>(&mut self, done: Result<T>) -> Option<Result<T>> {
        let Some(mut search) = self.search.take() else { return Some(done) };
        if done.is_err() && search.begins_anew().await {
            if let Err(error) = begin(&mut search).await {
                return Some(Err(error));
            }
            self.search = Some(search);
            self.began = Instant::now();
            return None;
        }
        Some(settle(search, done).await)
    }

    /// Notes what happened to a statement.
    fn told(&mut self, error: Diesel) -> Error {
        if let Some(search) = &mut self.search {
            search.note(&error);
        }
        from_diesel(error)
    }

    fn connection(&mut self) -> &mut Connection {
        self.search.as_mut().expect("it is there until the end")
    }

    /// How long all of its questions may take together.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    fn in_time(&self) -> Result<()> {
        if self.began.elapsed() < self.limit {
            Ok(())
        } else {
            Err(Error::TimedOut(format!(
                "not done within {} s; ask for a shorter range, a smaller distance or a smaller within",
                self.limit.as_secs()
            )))
        }
    }
}

async fn begin(search: &mut Searching) -> Result<()> {
    loop {
        // A plan is kept as long as its connection. Made while a partition was small or not yet analysed it would be a
        // sequential scan, and stay one when the partition has grown; what is asked for here always is a few index entries.
        let begun = AnsiTransactionManager::begin_transaction_sql(
            &mut **search,
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
             SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off",
        )
        .await;
        if let Some(begun) = search.settle(begun).await {
            return begun.map_err(from_diesel);
        }
    }
}

/// Ends the transaction as the work went.
async fn settle<T>(mut search: Searching, done: Result<T>) -> Result<T> {
    let ended = match &done {
        Ok(_) => AnsiTransactionManager::commit_transaction(&mut *search).await,
        // Nobody knows what the server still does.
        Err(Error::Unavailable { .. }) => {
            search.discard();
            return done;
        }
        Err(
            Error::Invalid(_)
            | Error::NotFound { .. }
            | Error::UnknownEvent(_)
            | Error::Exists(_)
            | Error::Conflict(_)
            | Error::TooBroad(_)
            | Error::TimedOut(_)
            | Error::Internal(_)
            | Error::Overloaded,
        ) => AnsiTransactionManager::rollback_transaction(&mut *search).await,
    };
    let done = done?;
    ended.map_err(from_diesel)?;
    Ok(done)
}

async fn knows_zone(connection: &mut Connection, zone: &str) -> Result<bool> {
    let known = Statement::<(Bool,)>::new(
        "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1) AS known",
        vec![Bind::Text(zone)],
    );
    let known: (bool,) = known.get_result(connection).await.map_err(from_diesel)?;
    Ok(known.0)
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(search) = self.search.take() {
            search.discard();
        }
    }
}

/// Some of the lookups of a question: whole rows, in ascending order of cells.
#[derive(Default)]
struct Batch {
    lookups: Vec<Lookup>,
    /// Their cells, each once, from the first to the last of each stretch.
    distinct: Vec<(i64, i64)>,
    /// How many cells they have, each once for each of its times.
    sum: u64,
    cells: u64,
}

impl Batch {
    fn add(&mut self, row: Vec<Lookup>) {
        for lookup in row {
            let (first, last) = (lookup.cells.first.get(), lookup.cells.last.get());
            match self.distinct.last_mut() {
                Some(known) if first <= known.1 + 1 => {
                    self.cells += (last - known.1).max(0).unsigned_abs();
                    known.1 = known.1.max(last);
                }
                _ => {
                    self.cells += lookup.cells.count();
                    self.distinct.push((first, last));
                }
            }
            self.sum += lookup.cells.count();
            self.lookups.push(lookup);
        }
    }

    fn is_full(&self) -> bool {
        self.cells >= CELLS_AT_ONCE || self.lookups.len() >= Lookups::MOST
    }
}

/// The cells of a lookup, or those of them that are occupied.
fn cells_of<'a>(lookup: &'a Lookup, occupied: Option<&'a [Cell]>) -> impl Iterator<Item = Cell> + 'a {
    let all = occupied.is_none().then(|| lookup.cells.cells());
    let some = occupied.map(|occupied| {
        let begin = occupied.partition_point(|cell| *cell < lookup.cells.first);
        occupied[begin..].iter().copied().take_while(|cell| *cell <= lookup.cells.last)
    });
    all.into_iter().flatten().chain(some.into_iter().flatten())
}

/// Lookups, column by column, as `unnest` takes them.
struct Columns {
    cells: Vec<i64>,
    from: Vec<DateTime<Utc>>,
    to: Vec<DateTime<Utc>>,
}

impl Columns {
    /// What of the lookups is between these times, both included.
    fn of(cells: &[CellTimes], (from, to): (i64, i64)) -> Result<Self> {
        let mut columns = Self { cells: Vec::new(), from: Vec::new(), to: Vec::new() };
        for lookup in cells.iter().filter(|lookup| lookup.from <= to && lookup.to >= from) {
            columns.cells.push(lookup.cell.get());
            columns.from.push(time(lookup.from.max(from))?);
            columns.to.push(time(lookup.to.min(to))?);
        }
        Ok(columns)
    }

    fn binds(&self) -> Vec<Bind<'_>> {
        vec![Bind::Ids(&self.cells), Bind::Times(&self.from), Bind::Times(&self.to)]
    }
}

fn time(micros: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| Error::Internal(format!("{micros} µs is no time")))
}
