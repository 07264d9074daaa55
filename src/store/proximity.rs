//! Who was near whom: the rows from which meetings are decided, read from indexes alone in one [`Snapshot`].

use super::locations::{LocationColumns, LocationRow, coordinate};
use super::partitions::whole_tables;
use super::snapshot::Snapshot;
use super::statement::{Bind, Statement};
use crate::domain::{Error, Location, PersonId, Result, TimeRange};
use crate::geo::Cell;
use crate::meeting::{Fix, Lookup, Lookups};
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Timestamptz};
use diesel_async::RunQueryDsl;
use diesel_geography::sql_types::Geography;
use diesel_geography::types::Point;
use futures_util::TryStreamExt;

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

/// Rows after which other tasks of the same thread may run.
const ROWS_AT_ONCE: usize = 4_000;

impl Snapshot {
    /// Hands every location in the lookups' cells and times to `each`, in no order, as the rows arrive; keeps none.
    pub async fn candidates(
        &mut self,
        lookups: &Lookups,
        range: TimeRange,
        mut each: impl FnMut(PersonId, Fix) -> Result<()>,
    ) -> Result<()> {
        let (mut rows, mut cells) = (LookupBatch::default(), Vec::new());
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
        batch: &mut LookupBatch,
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
            .map_err(|error| self.noted(error))?;
        let mut rows = std::pin::pin!(rows);
        let mut count = 0;
        while let Some((person, time, place)) = rows.try_next().await.map_err(|error| self.noted(error))? {
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
        .map_err(|error| self.noted(error))?;
        rows.into_iter().map(LocationRow::into_domain).collect()
    }

    /// The lookups cell by cell, at most `most`; `None` if there are more. Where there are many, empty cells are left out
    /// and not counted.
    pub async fn cells(&mut self, lookups: &Lookups, range: TimeRange, most: usize) -> Result<Option<Vec<CellTimes>>> {
        let (mut cells, mut batch) = (Vec::new(), LookupBatch::default());
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
    async fn occupied(&mut self, batch: &LookupBatch, range: TimeRange) -> Result<Vec<Cell>> {
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
        .map_err(|error| self.noted(error))?;
        Ok(rows.into_iter().map(|(cell,)| Cell::numbered(cell)).collect())
    }
}

/// Some of the lookups of a search: whole rows, in ascending order of cells.
#[derive(Default)]
struct LookupBatch {
    lookups: Vec<Lookup>,
    /// Their cells, each once, from the first to the last of each stretch.
    distinct: Vec<(i64, i64)>,
    /// How many cells they have, each once for each of its times.
    sum: u64,
    cells: u64,
}

impl LookupBatch {
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

/// An instant in microseconds since 1970 UTC, as PostgreSQL takes it.
pub(super) fn time(micros: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| Error::Internal(format!("{micros} µs is no time")))
}
