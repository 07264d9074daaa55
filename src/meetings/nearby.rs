//! The locations of others near a person's own, one after the other: an answer that may be as large as the table.

use crate::domain::{ContactRule, Error, Fix, Location, Person, PersonId, Result, TimeRange, Track, lookups};
use crate::store::{CellTimes, Snapshot, Store};
use std::collections::HashMap;
use std::sync::Arc;

/// Most own locations of one question: all of them are in memory while it is answered.
const MOST_OWN: usize = 200_000;
const OWN_AT_ONCE: usize = 50_000;
/// Rows of one part of the answer, at most.
const PART: usize = 10_000;
/// How long a stretch of time the first part is looked for in; later ones fit the rows found.
const FIRST_STRETCH: i64 = 600_000_000;
/// How many persons are remembered from part to part.
const PERSONS: usize = 20_000;

/// The locations of others in contact with a person's own, each once, ordered by time and then id, in parts.
///
/// Between two parts nothing of the database is held, so that a slow reader costs memory for one part and no more. What is
/// stored meanwhile may or may not be in the rest.
pub struct Nearby {
    store: Store,
    me: PersonId,
    track: Track,
    cells: Vec<CellTimes>,
    persons: HashMap<PersonId, Arc<Person>>,
    /// The next location is after this time and id.
    position: (i64, i64),
    /// The last instant of the range.
    last: i64,
    stretch: i64,
}

/// Prepares the answer; [`Error::NotFound`] for an unknown person, [`Error::TooBroad`] for one with too many own locations in
/// the range.
pub async fn nearby(store: &Store, me: PersonId, range: TimeRange, rule: ContactRule) -> Result<Nearby> {
    let mut snapshot = store.snapshot().await?;
    let fixes = own(&mut snapshot, me, range).await?;
    let cells = snapshot.cells(&lookups(&fixes, rule, range), range).await?;
    snapshot.end().await?;
    let first = cells.iter().map(|cell| cell.from).min().unwrap_or(i64::MAX);
    let last = cells.iter().map(|cell| cell.to).max().unwrap_or(i64::MIN);
    Ok(Nearby {
        store: store.clone(),
        me,
        track: Track::new(&fixes, rule),
        cells,
        persons: HashMap::new(),
        position: (first, 0),
        last,
        stretch: FIRST_STRETCH,
    })
}

async fn own(snapshot: &mut Snapshot, me: PersonId, range: TimeRange) -> Result<Vec<Fix>> {
    let mut fixes: Vec<Fix> = Vec::new();
    loop {
        let mut more = snapshot.track(me, range, fixes.last().copied(), OWN_AT_ONCE).await?;
        let end = more.len() < OWN_AT_ONCE;
        fixes.append(&mut more);
        if fixes.len() > MOST_OWN {
            return Err(Error::TooBroad(format!(
                "person {me} has more than {MOST_OWN} locations between start_date and end_date; ask for a shorter range"
            )));
        }
        if end {
            break;
        }
    }
    if fixes.is_empty() {
        snapshot.person(me).await?;
    }
    Ok(fixes)
}

impl Nearby {
    /// The next part, never an empty one; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<(Location, Arc<Person>)>>> {
        while self.position.0 <= self.last {
            let mut snapshot = self.store.snapshot().await?;
            let near = self.advance(&mut snapshot).await?;
            let part = self.with_persons(&mut snapshot, near).await?;
            snapshot.end().await?;
            if !part.is_empty() {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    /// Looks through the next stretch of time, or its first [`PART`] rows.
    async fn advance(&mut self, snapshot: &mut Snapshot) -> Result<Vec<Location>> {
        let (from, after) = self.position;
        let to = from.saturating_add(self.stretch).min(self.last);
        let mut rows = snapshot.locations_in(&self.cells, (from, to), after, PART).await?;
        match rows.last() {
            // The database sorted all of the stretch for these rows; the next should be about as long as they are.
            Some(row) if rows.len() == PART => {
                self.position = (row.creation_time.timestamp_micros(), row.id);
                self.stretch = (self.position.0 - from).max(1_000);
            }
            _ => {
                self.position = (to + 1, 0);
                let growth = if rows.len() < PART / 4 { 4 } else { 1 };
                self.stretch = self.stretch.saturating_mul(growth);
            }
        }
        rows.retain(|row| row.person_id != self.me && self.track.touches(Fix::new(row.creation_time, row.coordinate)));
        Ok(rows)
    }

    async fn with_persons(
        &mut self,
        snapshot: &mut Snapshot,
        rows: Vec<Location>,
    ) -> Result<Vec<(Location, Arc<Person>)>> {
        if self.persons.len() > PERSONS {
            self.persons.clear();
        }
        let mut unknown: Vec<PersonId> =
            rows.iter().map(|row| row.person_id).filter(|id| !self.persons.contains_key(id)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            let found = snapshot.persons(&unknown).await?;
            self.persons.extend(found.into_iter().map(|(id, person)| (id, Arc::new(person))));
        }
        let with = |row: Location| self.persons.get(&row.person_id).cloned().map(|person| (row, person));
        Ok(rows.into_iter().filter_map(with).collect())
    }
}
