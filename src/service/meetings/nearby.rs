//! The locations of others near a person's own, one after the other: an answer that may be as large as the table.

use super::PART as FIXES;
use crate::domain::{Error, EventId, Location, Person, PersonId, Result, TimeRange};
use crate::meeting::{ContactRule, Fix, Lookups, Track};
use crate::store::{CellTimes, EventStore, Snapshot, Store};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Most own locations that are compared at a time; with their tree some 100 bytes each.
const MOST_OWN: usize = 50_000;
/// Most occupied cells and times that are looked into at a time, 24 bytes each.
const MOST_CELLS: usize = 100_000;
/// Rows of one part of the answer, at most, where the window is kept. Every cell is looked into once for each part, so that larger
/// parts are faster.
const PART: usize = 10_000;
/// The same of an answer whose window is made anew for each part: there may be many.
const SMALL_PART: usize = 5_000;
/// How long a stretch of time the first part is looked for in; later ones fit the rows found.
const FIRST_STRETCH: i64 = 600_000_000;
/// How many persons are remembered from part to part.
const PERSONS: usize = 2_000;
/// Answers that keep their window while a part is on its way to the client. Others make it anew for the next part, so that many
/// slow readers cost time and not memory.
static KEPT: Semaphore = Semaphore::const_new(4);

/// The locations of others in contact with a person's own, each once, ordered by time and then id, in parts.
///
/// Nothing of the database is held between two parts, so a slow reader costs no more than the memory of one part. Locations that are
/// stored meanwhile may or may not be in the following parts.
pub struct Nearby {
    store: Store,
    event: EventId,
    me: PersonId,
    range: TimeRange,
    rule: ContactRule,
    window: Option<(Window, Option<SemaphorePermit<'static>>)>,
    persons: HashMap<PersonId, Arc<Person>>,
    /// The next location is after this time and id.
    position: (i64, i64),
    stretch: i64,
}

/// The person's own locations that decide about others' at some times, and where these can be.
struct Window {
    track: Track,
    cells: Vec<CellTimes>,
    /// The first and the last instant of the times, microseconds since 1970.
    first: i64,
    last: i64,
}

/// Prepares the answer; [`Error::NotFound`] for an unknown person, [`Error::TooBroad`] where too much would have to be compared
/// at once.
pub async fn nearby(store: EventStore<'_>, me: PersonId, range: TimeRange, rule: ContactRule) -> Result<Nearby> {
    let from = range.from().timestamp_micros();
    let mut nearby = Nearby {
        store: store.whole().clone(),
        event: store.id(),
        me,
        range,
        rule,
        window: None,
        persons: HashMap::new(),
        position: (from, 0),
        stretch: FIRST_STRETCH,
    };
    let mut snapshot = store.snapshot().await?;
    loop {
        let prepared = nearby.prepare(&mut snapshot).await;
        if let Some(prepared) = snapshot.end(prepared).await {
            return prepared.map(|()| nearby);
        }
    }
}

impl Nearby {
    /// The next part, never an empty one; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<(Location, Arc<Person>)>>> {
        while self.position.0 <= self.last() {
            let mut snapshot = self.store.event(self.event).snapshot().await?;
            let before = (self.position, self.stretch);
            let part = loop {
                let part = self.part(&mut snapshot).await;
                if let Some(part) = snapshot.end(part).await {
                    break part?;
                }
                // All of the part again: the window may have been made of what another server has.
                (self.position, self.stretch) = before;
                self.window = None;
            };
            if !part.is_empty() {
                self.window.take_if(|(_, permit)| permit.is_none());
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    /// The last instant of the range.
    fn last(&self) -> i64 {
        self.range.to().timestamp_micros() - 1
    }

    async fn part(&mut self, snapshot: &mut Snapshot) -> Result<Vec<(Location, Arc<Person>)>> {
        let position = self.position.0;
        if self.window.as_ref().is_none_or(|(window, _)| position > window.last) {
            self.window = None;
            match self.window(snapshot, position).await? {
                // At the position itself some may have been told already; only a later beginning is a new one.
                Some(window) if window.first > position => {
                    self.position = (window.first, 0);
                    self.keep(window);
                }
                Some(window) => self.keep(window),
                None => {
                    self.position = (self.last().saturating_add(1), 0);
                    return Ok(Vec::new());
                }
            }
        }
        let near = self.advance(snapshot).await?;
        self.with_persons(snapshot, near).await
    }

    fn keep(&mut self, window: Window) {
        self.window = Some((window, KEPT.try_acquire().ok()));
    }

    /// Makes the first window; an error is better told before the answer begins.
    async fn prepare(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        match self.window(snapshot, self.position.0).await? {
            Some(window) => {
                self.position = (window.first.max(self.position.0), 0);
                self.keep(window);
            }
            None => {
                snapshot.person(self.me).await?;
                self.position = (self.last().saturating_add(1), 0);
            }
        }
        Ok(())
    }

    /// What decides about others' locations from `from` (microseconds since 1970) on, as far as can be afforded at once; `None`
    /// where there is nothing.
    async fn window(&self, snapshot: &mut Snapshot, from: i64) -> Result<Option<Window>> {
        match self.rule.within() {
            Some(within) => self.window_in_time(snapshot, from, within).await,
            None => self.window_at_any_time(snapshot).await,
        }
    }

    /// With a limit in time own locations matter for a while only: as many are taken as can be afforded.
    async fn window_in_time(&self, snapshot: &mut Snapshot, from: i64, within: TimeDelta) -> Result<Option<Window>> {
        let micros = within.num_microseconds().unwrap_or(i64::MAX);
        let begin = time(from).checked_sub_signed(within).unwrap_or(self.range.from()).max(self.range.from());
        let Ok(range) = TimeRange::new(begin, self.range.to()) else { return Ok(None) };
        let mut own: Vec<Fix> = Vec::new();
        let mut all = false;
        while own.len() < MOST_OWN && !all {
            let mut more = snapshot.track(self.me, range, own.last().copied(), FIXES).await?;
            all = more.len() < FIXES;
            own.append(&mut more);
        }
        let Some(first) = own.first().map(|fix| fix.time.saturating_sub(micros).max(from)) else { return Ok(None) };
        loop {
            let count = Lookups::affordable(&own, self.rule);
            if count < own.len() {
                own.truncate(count);
                all = false;
            }
            // Those that follow may decide about what is `within` before them or later.
            let last = match own.last() {
                Some(fix) if !all => fix.time.saturating_sub(micros).saturating_sub(1),
                _ => self.last(),
            };
            if last < first {
                return Err(Error::TooBroad(format!(
                    "person {} has more than {} locations within {} s of {}, which is more than can be compared at once; ask \
                     for a smaller within or a smaller distance",
                    self.me,
                    own.len(),
                    within.as_seconds_f64(),
                    time(first).to_rfc3339(),
                )));
            }
            let lookups = Lookups::of(&own, self.rule, self.range);
            if let Some(cells) = snapshot.cells(&lookups, self.range, MOST_CELLS).await? {
                return Ok(Some(Window { track: Track::new(&own, self.rule), cells, first, last }));
            }
            own.truncate(own.len() / 2);
            all = false;
            tokio::task::yield_now().await;
        }
    }

    /// Without a limit in time every own place decides about all others' locations; when it was does not matter.
    async fn window_at_any_time(&self, snapshot: &mut Snapshot) -> Result<Option<Window>> {
        let (mut own, mut places, mut after) = (Vec::new(), HashSet::new(), None);
        loop {
            let more = snapshot.track(self.me, self.range, after, FIXES).await?;
            own.extend(more.iter().filter(|fix| places.insert(fix.coordinate.bits())));
            if own.len() > MOST_OWN {
                return Err(self.too_much(&format!("more than {MOST_OWN} different places")));
            }
            after = more.last().copied();
            if more.len() < FIXES {
                break;
            }
        }
        drop(places);
        if own.is_empty() {
            return Ok(None);
        }
        if Lookups::affordable(&own, self.rule) < own.len() {
            return Err(self.too_much("too many different places for this distance"));
        }
        let lookups = Lookups::of(&own, self.rule, self.range);
        let cells = snapshot.cells(&lookups, self.range, MOST_CELLS).await?;
        let cells = cells.ok_or_else(|| self.too_much("too many places with somebody near"))?;
        let (first, last) = (self.range.from().timestamp_micros(), self.last());
        Ok(Some(Window { track: Track::new(&own, self.rule), cells, first, last }))
    }

    fn too_much(&self, what: &str) -> Error {
        Error::TooBroad(format!(
            "person {} has {what} between start_date and end_date; ask for a shorter range, a smaller distance, or only for \
             what was at the same time (within)",
            self.me
        ))
    }

    /// Looks through the next stretch of time, or the first rows of it.
    async fn advance(&mut self, snapshot: &mut Snapshot) -> Result<Vec<Location>> {
        let Some((window, kept)) = &self.window else { return Ok(Vec::new()) };
        let most = if kept.is_some() { PART } else { SMALL_PART };
        let (from, after) = self.position;
        let to = from.saturating_add(self.stretch).min(window.last);
        let mut rows = snapshot.locations_in(&window.cells, (from, to), after, most).await?;
        match rows.last() {
            // The database sorted all of the stretch for these rows; the next should be about as long as they are.
            Some(row) if rows.len() == most => {
                self.position = (row.creation_time.timestamp_micros(), row.id);
                self.stretch = (self.position.0 - from).max(1_000);
            }
            _ => {
                self.position = (to + 1, 0);
                let growth = if rows.len() < most / 4 { 4 } else { 1 };
                self.stretch = self.stretch.saturating_mul(growth);
            }
        }
        rows.retain(|row| {
            row.person_id != self.me && window.track.touches(Fix::new(row.creation_time, row.coordinate))
        });
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

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}
