//! The use case "whom did P meet": candidates from the store, decided by the algorithms of [`meeting`](crate::meeting).
//!
//! Memory does not grow with the answer. A person's own locations are taken in parts; of each it is counted what it will cost
//! before anything is made. Rows are compared as they arrive, and only encounters are kept: one by one while they are few,
//! else summed up as soon as no later part can change them. The long list of `nearby` is made part by part.

#[cfg(feature = "service")]
mod at_event;
mod nearby;

pub use nearby::{Nearby, nearby};

use crate::domain::{Error, Page, Person, PersonId, Result, TimeRange};
use crate::meeting::{Connection, Encounter, EncounterRule, Fix, Lookups, Meetings, Track};
use crate::store::{EventStore, Snapshot};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use std::collections::HashSet;

/// How many of a person's own locations are compared at a time, at most.
const PART: usize = 20_000;
/// A query that has compared so many locations of others in every second and is not done in time is too broad; one that has not has
/// met a slow database.
const MANY_A_SECOND: u64 = 5_000;
/// Encounters are known one by one as long as they are no more than this.
const KEPT: usize = 50_000;

/// Whom a person met, when, by which rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeetingQuery {
    pub person: PersonId,
    pub range: TimeRange,
    pub rule: EncounterRule,
}

/// A position in the list of a person's connections: after this duration and person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionPosition {
    pub total_duration: TimeDelta,
    pub person: PersonId,
}

/// Which part of a person's connections is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Only persons met for at least so long in all.
    pub min_duration: TimeDelta,
    /// Only those that come after this position in the list.
    pub after: Option<ConnectionPosition>,
    /// At most so many.
    pub limit: usize,
    /// `Some`: each connection comes with its encounters, and the page has at most so many of them.
    pub encounters: Option<usize>,
}

/// A connection as a list shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Met {
    pub connection: Connection,
    pub person: Person,
    /// Oldest first; `None` unless they were asked for.
    pub encounters: Option<Vec<Encounter>>,
}

/// The most encounters that one answer lists: a few megabytes.
pub const MAX_LISTED_ENCOUNTERS: usize = 10_000;

/// The persons met, strongest first; [`Error::NotFound`] for an unknown person.
///
/// With encounters, a page ends before its limit when it would hold too many of them; [`Error::TooBroad`] when a single connection
/// has too many.
pub async fn connections(
    store: EventStore<'_>,
    query: MeetingQuery,
    part: Part,
) -> Result<Page<Met, ConnectionPosition>> {
    let mut snapshot = store.snapshot().await?;
    loop {
        let page = page(&mut snapshot, query, part).await;
        if let Some(page) = snapshot.end(page).await {
            return page;
        }
    }
}

async fn page(snapshot: &mut Snapshot, query: MeetingQuery, part: Part) -> Result<Page<Met, ConnectionPosition>> {
    let mut meetings = met(snapshot, query, &Everybody::Summed).await?;
    let mut ranked = meetings.connections(part.min_duration);
    if let Some(after) = part.after {
        let after = (std::cmp::Reverse(after.total_duration), after.person);
        ranked.retain(|connection| connection.rank() > after);
    }
    let limit = part.encounters.map_or(Ok(part.limit), |most| listed(&ranked, part.limit, most))?;
    let page = Page::cut(ranked, limit, |connection: &Connection| ConnectionPosition {
        total_duration: connection.total_duration,
        person: connection.person,
    });
    let ids: Vec<PersonId> = page.items.iter().map(|connection| connection.person).collect();
    if part.encounters.is_some() && !meetings.is_whole() {
        // They were too many to keep; those of this page are not.
        drop(meetings);
        meetings = met(snapshot, query, &Everybody::Only(ids.iter().copied().collect())).await?;
    }
    let mut persons = snapshot.persons(&ids).await?;
    let items = page
        .items
        .into_iter()
        .filter_map(|connection| {
            let person = persons.remove(&connection.person)?;
            let encounters = part.encounters.map(|_| meetings.encounters(connection.person));
            Some(Met { connection, person, encounters })
        })
        .collect();
    Ok(Page { items, next: page.next })
}

/// How many of the first connections can be listed with their encounters.
fn listed(ranked: &[Connection], limit: usize, most: usize) -> Result<usize> {
    let mut sum = 0;
    for (count, connection) in ranked.iter().take(limit).enumerate() {
        sum += connection.encounters;
        if sum > most {
            return if count > 0 { Ok(count) } else { Err(too_many(connection.person, most)) };
        }
    }
    Ok(limit)
}

fn too_many(person: PersonId, most: usize) -> Error {
    Error::TooBroad(format!(
        "person {person} was met more than {most} times, which is more than one answer lists; ask for a shorter range between \
         start_date and end_date, a smaller distance or a larger gap"
    ))
}

/// All encounters of the query's person with everybody, one by one; [`Error::NotFound`] for an unknown person,
/// [`Error::TooBroad`] for more than [`Meetings::MAX_ENCOUNTERS`].
pub async fn meet(store: EventStore<'_>, query: MeetingQuery) -> Result<Meetings> {
    let mut snapshot = store.snapshot().await?;
    loop {
        let meetings = met(&mut snapshot, query, &Everybody::OneByOne).await;
        if let Some(meetings) = snapshot.end(meetings).await {
            return meetings;
        }
    }
}

/// Whose encounters are looked for, and how they are kept.
enum Everybody {
    /// Everybody's: one by one while they are few, else summed up.
    Summed,
    /// Everybody's, one by one.
    OneByOne,
    /// Theirs, one by one.
    Only(HashSet<PersonId>),
}

async fn met(snapshot: &mut Snapshot, query: MeetingQuery, whose: &Everybody) -> Result<Meetings> {
    let mut meetings = Meetings::new(query.person, query.rule);
    let mut parts = Parts { query, waiting: Vec::new(), after: None, size: PART, ended: false };
    let (mut done, mut rows): (Option<Fix>, u64) = (None, 0);
    loop {
        let compared = match parts.next(snapshot).await {
            Ok(None) => break,
            Ok(Some(count)) => {
                let own = parts.first(count);
                compare(snapshot, query, whose, own, &mut meetings, &mut rows).await.map(|()| count)
            }
            Err(error) => Err(error),
        };
        match compared {
            Ok(count) => done = parts.settled(count),
            Err(Error::TooBroad(_)) if !matches!(whose, Everybody::OneByOne) && parts.halve() => {
                meetings.forget_after(parts.last())
            }
            // The database was not slow: there is much to compare, whenever it is asked.
            Err(Error::TimedOut(text)) if rows >= MANY_A_SECOND * snapshot.limit().as_secs() => {
                return Err(Error::TooBroad(how_far(text, query, done)));
            }
            Err(Error::TimedOut(text)) => return Err(Error::TimedOut(how_far(text, query, done))),
            Err(error) => return Err(error),
        }
        if let (Some(done), Everybody::Summed) = (done, whose)
            && meetings.len() > KEPT
        {
            meetings.settle(done.time);
        }
    }
    if done.is_none() {
        snapshot.person(query.person).await?;
    }
    Ok(meetings)
}

async fn compare(
    snapshot: &mut Snapshot,
    query: MeetingQuery,
    whose: &Everybody,
    fixes: &[Fix],
    meetings: &mut Meetings,
    rows: &mut u64,
) -> Result<()> {
    let MeetingQuery { range, rule, .. } = query;
    let (track, lookups) = (Track::new(fixes, rule.contact()), Lookups::of(fixes, rule.contact(), range));
    snapshot
        .candidates(&lookups, range, |other, fix| {
            *rows += 1;
            match whose {
                Everybody::Only(persons) if !persons.contains(&other) => Ok(()),
                Everybody::Summed | Everybody::OneByOne | Everybody::Only(_) => meetings.observe(&track, other, fix),
            }
        })
        .await
}

/// A person's own locations, part by part, each as large as can be afforded.
struct Parts {
    query: MeetingQuery,
    /// Those that were read and not compared yet.
    waiting: Vec<Fix>,
    /// The last one that was read.
    after: Option<Fix>,
    /// How many a part may have, at most.
    size: usize,
    ended: bool,
}

impl Parts {
    /// How many of those that wait make up the next part; `None` when there are no more.
    async fn next(&mut self, snapshot: &mut Snapshot) -> Result<Option<usize>> {
        if self.waiting.is_empty() && !self.ended {
            let MeetingQuery { person, range, .. } = self.query;
            self.waiting = snapshot.track(person, range, self.after, PART).await?;
            self.after = self.waiting.last().copied();
            self.ended = self.waiting.len() < PART;
        }
        let most = self.waiting.len().min(self.size);
        Ok((most > 0).then(|| Lookups::affordable(&self.waiting[..most], self.query.rule.contact())))
    }

    fn first(&self, count: usize) -> &[Fix] {
        &self.waiting[..count]
    }

    /// These were compared. Returns the last of them.
    fn settled(&mut self, count: usize) -> Option<Fix> {
        let last = self.waiting.drain(..count).next_back();
        self.size = (self.size * 2).min(PART);
        last
    }

    /// Makes the next part smaller, so that less of its answer has to be kept at once; false if it is as small as can be.
    fn halve(&mut self) -> bool {
        let size = self.size.min(self.waiting.len());
        self.size = size / 2;
        size > 1
    }

    /// The time of the last location of a part of the present size, microseconds since 1970.
    fn last(&self) -> i64 {
        self.waiting.get(self.size.saturating_sub(1)).map_or(i64::MAX, |fix| fix.time)
    }
}

/// What to ask instead of what took too long: as far as it came is known to be possible.
fn how_far(text: String, query: MeetingQuery, done: Option<Fix>) -> String {
    let Some(time) = done.and_then(|fix| DateTime::<Utc>::from_timestamp_micros(fix.time)) else { return text };
    format!(
        "{text}; of the locations of person {} those up to {} were compared in this time: ask with this as end_date, and for the \
         rest with it as start_date",
        query.person,
        time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    )
}

/// The encounters of the query's person with one other, oldest first; [`Error::NotFound`] for an unknown person,
/// [`Error::TooBroad`] for more than [`MAX_LISTED_ENCOUNTERS`]. A person has no encounters with themself.
pub async fn encounters(store: EventStore<'_>, query: MeetingQuery, other: PersonId) -> Result<Vec<Encounter>> {
    let mut snapshot = store.snapshot().await?;
    loop {
        let encounters = between(&mut snapshot, query, other).await;
        if let Some(encounters) = snapshot.end(encounters).await {
            return encounters;
        }
    }
}

async fn between(snapshot: &mut Snapshot, query: MeetingQuery, other: PersonId) -> Result<Vec<Encounter>> {
    let known = snapshot.persons(&[query.person, other]).await?;
    for id in [query.person, other] {
        if !known.contains_key(&id) {
            snapshot.person(id).await?;
        }
    }
    let mut meetings = Meetings::new(query.person, query.rule);
    let mut part = None;
    loop {
        let fixes = snapshot.track(query.person, query.range, part, PART).await?;
        if let Some(range) = around(&fixes, query) {
            let track = Track::new(&fixes, query.rule.contact());
            let mut seen = None;
            loop {
                let theirs = snapshot.track(other, range, seen, PART).await?;
                for (count, fix) in theirs.iter().enumerate() {
                    meetings.observe(&track, other, *fix)?;
                    if count % 1_000 == 999 {
                        tokio::task::yield_now().await;
                    }
                }
                seen = theirs.last().copied();
                if theirs.len() < PART {
                    break;
                }
            }
        }
        part = fixes.last().copied();
        if fixes.len() < PART {
            break;
        }
    }
    if meetings.len() > MAX_LISTED_ENCOUNTERS {
        return Err(too_many(other, MAX_LISTED_ENCOUNTERS));
    }
    Ok(meetings.encounters(other))
}

/// The part of the range in which others' locations can be in contact with these.
fn around(fixes: &[Fix], query: MeetingQuery) -> Option<TimeRange> {
    let within = query.rule.contact().within()?;
    let time = |fix: &Fix| chrono::DateTime::from_timestamp_micros(fix.time);
    let from = time(fixes.first()?)?.checked_sub_signed(within)?.max(query.range.from());
    let to = time(fixes.last()?)?.checked_add_signed(within + TimeDelta::microseconds(1))?.min(query.range.to());
    TimeRange::new(from, to).ok()
}
