//! The use case "whom did P meet": the store's candidates, decided by the domain's algorithm.
//!
//! Memory does not grow with the answer: rows are compared as they arrive and only encounters are kept; a person's own
//! locations are taken in parts; the long list of `nearby` is made part by part.

mod nearby;

pub use nearby::{Nearby, nearby};

use crate::domain::{
    Connection, Encounter, EncounterRule, Error, Fix, Meetings, Page, Person, PersonId, Result, TimeRange, Track,
    lookups,
};
use crate::store::{Snapshot, Store};
use chrono::TimeDelta;

/// How many of a person's own locations are compared at a time.
const PART: usize = 50_000;

/// Whom a person met, when, by which rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    pub person: PersonId,
    pub range: TimeRange,
    pub rule: EncounterRule,
}

/// A place in the list of a person's connections: after this duration and person.
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
    /// Only those that come after this place in the list.
    pub after: Option<ConnectionPosition>,
    /// At most so many.
    pub limit: usize,
    /// Whether each comes with its encounters.
    pub with_encounters: bool,
}

/// A connection as a list shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Met {
    pub connection: Connection,
    pub person: Person,
    /// Oldest first; `None` unless they were asked for.
    pub encounters: Option<Vec<Encounter>>,
}

/// The most encounters that the connections of one page have together, when they come with them: a few megabytes.
pub const MAX_LISTED_ENCOUNTERS: usize = 20_000;

/// The persons met, strongest first; [`Error::NotFound`] for an unknown person.
///
/// With encounters, a page ends earlier than its limit where it would hold more than [`MAX_LISTED_ENCOUNTERS`];
/// [`Error::TooBroad`] when a single connection has more.
pub async fn connections(store: &Store, question: Question, part: Part) -> Result<Page<Met, ConnectionPosition>> {
    let mut snapshot = store.snapshot().await?;
    let meetings = met(&mut snapshot, question).await?;
    let mut ranked = meetings.connections(part.min_duration);
    if let Some(after) = part.after {
        let after = (std::cmp::Reverse(after.total_duration), after.person);
        ranked.retain(|connection| connection.rank() > after);
    }
    let limit = if part.with_encounters { listed(&ranked, part.limit)? } else { part.limit };
    let page = Page::cut(ranked, limit, |connection: &Connection| ConnectionPosition {
        total_duration: connection.total_duration,
        person: connection.person,
    });
    let ids: Vec<PersonId> = page.items.iter().map(|connection| connection.person).collect();
    let mut persons = snapshot.persons(&ids).await?;
    snapshot.end().await?;
    let items = page
        .items
        .into_iter()
        .filter_map(|connection| {
            let person = persons.remove(&connection.person)?;
            let encounters = part.with_encounters.then(|| meetings.encounters(connection.person));
            Some(Met { connection, person, encounters })
        })
        .collect();
    Ok(Page { items, next: page.next })
}

/// How many of the first connections can be listed with their encounters.
fn listed(ranked: &[Connection], limit: usize) -> Result<usize> {
    let mut sum = 0;
    for (count, connection) in ranked.iter().take(limit).enumerate() {
        sum += connection.encounters;
        if sum > MAX_LISTED_ENCOUNTERS {
            if count > 0 {
                return Ok(count);
            }
            return Err(Error::TooBroad(format!(
                "person {} alone was met {sum} times, which is more than the {MAX_LISTED_ENCOUNTERS} encounters that one \
                 answer lists; ask for a shorter range, a smaller distance or a larger gap",
                connection.person
            )));
        }
    }
    Ok(limit)
}

/// All encounters of the question's person with everybody; [`Error::NotFound`] for an unknown person.
pub async fn meet(store: &Store, question: Question) -> Result<Meetings> {
    let mut snapshot = store.snapshot().await?;
    let meetings = met(&mut snapshot, question).await?;
    snapshot.end().await?;
    Ok(meetings)
}

async fn met(snapshot: &mut Snapshot, question: Question) -> Result<Meetings> {
    let Question { person, range, rule } = question;
    let mut meetings = Meetings::new(person, rule);
    let mut part = None;
    while let Some((fixes, track)) = next_part(snapshot, question, part).await? {
        let cells = snapshot.cells(&lookups(&fixes, rule.contact(), range), range).await?;
        part = fixes.last().copied();
        drop(fixes);
        snapshot.candidates(&cells, |other, fix| meetings.observe(&track, other, fix)).await?;
    }
    if part.is_none() {
        snapshot.person(person).await?;
    }
    Ok(meetings)
}

/// The encounters of the question's person with one other, oldest first; [`Error::NotFound`] for an unknown person. A person
/// has no encounters with themself.
pub async fn encounters(store: &Store, question: Question, other: PersonId) -> Result<Vec<Encounter>> {
    let mut snapshot = store.snapshot().await?;
    let known = snapshot.persons(&[question.person, other]).await?;
    for id in [question.person, other] {
        if !known.contains_key(&id) {
            return Err(Error::NotFound { what: "person", id: id.get() });
        }
    }
    let mut meetings = Meetings::new(question.person, question.rule);
    let mut part = None;
    while let Some((fixes, track)) = next_part(&mut snapshot, question, part).await? {
        part = fixes.last().copied();
        if let Some(range) = around(&fixes, question) {
            let mut seen = None;
            loop {
                let theirs = snapshot.track(other, range, seen, PART).await?;
                for fix in &theirs {
                    meetings.observe(&track, other, *fix)?;
                }
                seen = theirs.last().copied();
                if theirs.len() < PART {
                    break;
                }
            }
        }
    }
    snapshot.end().await?;
    Ok(meetings.encounters(other))
}

/// The next of the person's own locations after `after`; `None` when there are no more.
async fn next_part(
    snapshot: &mut Snapshot,
    question: Question,
    after: Option<Fix>,
) -> Result<Option<(Vec<Fix>, Track)>> {
    let fixes = snapshot.track(question.person, question.range, after, PART).await?;
    let track = Track::new(&fixes, question.rule.contact());
    Ok((!fixes.is_empty()).then_some((fixes, track)))
}

/// The part of the range in which others' locations can be in contact with these.
fn around(fixes: &[Fix], question: Question) -> Option<TimeRange> {
    let within = question.rule.contact().within()?;
    let time = |fix: &Fix| chrono::DateTime::from_timestamp_micros(fix.time);
    let from = time(fixes.first()?)?.checked_sub_signed(within)?.max(question.range.from());
    let to = time(fixes.last()?)?.checked_add_signed(within + TimeDelta::microseconds(1))?.min(question.range.to());
    TimeRange::new(from, to).ok()
}
