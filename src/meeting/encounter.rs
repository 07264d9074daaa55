//! Contacts → encounters → connections.

use super::track::Contact;
use crate::domain::{Error, PersonId, Result};
use crate::geo::Coordinate;
use crate::meeting::EncounterRule;
use crate::meeting::{Fix, Track};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The nearest that two persons came to each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Closest {
    /// Metres on the WGS 84 spheroid.
    pub distance_m: f64,
    /// When the earlier of the two locations was.
    pub time: DateTime<Utc>,
    /// Where the earlier of the two locations was; of simultaneous ones, that of the person with the lower id.
    pub coordinate: Coordinate,
}

/// One stretch of time in which two persons were near each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Encounter {
    /// The first location, of either, that took part.
    pub start: DateTime<Utc>,
    /// The last location, of either, that took part; not before `start`.
    pub end: DateTime<Utc>,
    pub closest: Closest,
}

impl Encounter {
    pub fn duration(&self) -> TimeDelta {
        self.end - self.start
    }
}

/// All encounters with one person, summed up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connection {
    pub person: PersonId,
    /// How many; 1 or more.
    pub encounters: usize,
    pub total_duration: TimeDelta,
    pub first_met: DateTime<Utc>,
    pub last_met: DateTime<Utc>,
    pub closest: Closest,
}

impl Connection {
    /// The order of a list: longest total duration first, then by person.
    pub fn rank(&self) -> (std::cmp::Reverse<TimeDelta>, PersonId) {
        (std::cmp::Reverse(self.total_duration), self.person)
    }
}

/// The encounters of one person with any number of others, put together from locations that come in any order, any number of
/// times, and compared with all of the person's own locations at once or with one part of them after the other.
///
/// What makes that possible: a location q that takes part in a contact is at most `within` ≤ `gap` from each of its
/// partners, so it and all of them belong to one encounter, and all that the encounter needs of them is the earliest, the
/// latest and the nearest. An encounter is then the union of such stretches, joined where they are at most `gap` apart, and
/// a union does not depend on order or repetition.
pub struct Meetings {
    me: PersonId,
    rule: EncounterRule,
    gap: i64,
    persons: HashMap<PersonId, Vec<Piece>>,
    pieces: usize,
    /// Encounters that cannot change any more, summed up by person: all of them older than the person's pieces.
    settled: HashMap<PersonId, Sum>,
}

/// Encounters with one person, summed up.
#[derive(Clone, Copy)]
struct Sum {
    encounters: usize,
    total: i64,
    first: i64,
    last: i64,
    closest: Contact,
}

/// An encounter, as far as it is known. A person's pieces are sorted and more than `gap` apart.
#[derive(Clone, Copy)]
struct Piece {
    start: i64,
    end: i64,
    closest: Contact,
}

impl Meetings {
    /// More encounters than this at once are refused: they would not fit the memory of a small server. 72 bytes each.
    pub const MAX_ENCOUNTERS: usize = 100_000;

    pub fn new(me: PersonId, rule: EncounterRule) -> Self {
        let gap = rule.gap().num_microseconds().unwrap_or(i64::MAX);
        Self { me, rule, gap, persons: HashMap::new(), pieces: 0, settled: HashMap::new() }
    }

    /// Compares one location of another person with a track of mine (or a part of it), which must have been made with the
    /// same contact rule. A location of my own is ignored. [`Error::TooBroad`] past [`Self::MAX_ENCOUNTERS`].
    pub fn observe(&mut self, track: &Track, person: PersonId, fix: Fix) -> Result<()> {
        debug_assert_eq!(track.rule(), self.rule.contact());
        if person == self.me {
            return Ok(());
        }
        let probe = track.probe(fix, person < self.me);
        let (from, to) = probe.window;
        let entry = self.persons.entry(person);
        let pieces: &[Piece] = if let Entry::Occupied(known) = &entry { known.get() } else { &[] };
        // The piece that reaches to this time or beyond it, and whether it began by then.
        let at = pieces.partition_point(|piece| piece.end < fix.time);
        let around = pieces.get(at).filter(|piece| piece.start <= fix.time);
        let found = match around {
            // Whatever is in touch with this location is in this very encounter: it can only make it longer or closer.
            Some(piece) => {
                let earlier = if from < piece.start { track.earliest(&probe, (from, piece.start - 1)) } else { None };
                let later = if to > piece.end { track.latest(&probe, (piece.end + 1, to)) } else { None };
                let nearer = track.nearest(&probe, Some(&piece.closest));
                (earlier.is_some() || later.is_some() || nearer.is_some()).then(|| Piece {
                    start: earlier.unwrap_or(fix.time),
                    end: later.unwrap_or(fix.time),
                    closest: nearer.unwrap_or(piece.closest),
                })
            }
            None => track.earliest(&probe, (from, to)).and_then(|earliest| {
                let latest = track.latest(&probe, (earliest, to)).unwrap_or(earliest);
                let closest = track.nearest(&probe, None)?;
                Some(Piece { start: earliest.min(fix.time), end: latest.max(fix.time), closest })
            }),
        };
        if let Some(found) = found {
            let pieces = entry.or_default();
            let before = pieces.len();
            join(pieces, found, self.gap);
            self.pieces = self.pieces + pieces.len() - before;
            if self.pieces > Self::MAX_ENCOUNTERS {
                return Err(Error::TooBroad(format!(
                    "more than {} encounters; ask for a shorter range, a smaller distance or a larger gap",
                    Self::MAX_ENCOUNTERS
                )));
            }
        }
        Ok(())
    }

    /// How many encounters are known one by one.
    pub fn len(&self) -> usize {
        self.pieces
    }

    pub fn is_empty(&self) -> bool {
        self.pieces == 0 && self.settled.is_empty()
    }

    /// Whether every encounter is known one by one.
    pub fn is_whole(&self) -> bool {
        self.settled.is_empty()
    }

    /// Sums up what can take no further part: all of my locations to come are at this time (microseconds since 1970) or later.
    pub fn settle(&mut self, time: i64) {
        let within = self.within();
        // A stretch to come begins with a location of theirs, `within` before mine at the earliest.
        let before = time.saturating_sub(within);
        for (&person, pieces) in &mut self.persons {
            let count = pieces.partition_point(|piece| piece.end.saturating_add(self.gap) < before);
            if count == 0 {
                continue;
            }
            let Some(sum) = Sum::of(self.settled.get(&person), &pieces[..count]) else { continue };
            self.settled.insert(person, sum);
            pieces.drain(..count);
            pieces.shrink_to_fit();
            self.pieces -= count;
        }
        self.persons.retain(|_, pieces| !pieces.is_empty());
    }

    /// Forgets what only my locations after this time (microseconds since 1970) can have brought; they must be compared again.
    pub fn forget_after(&mut self, time: i64) {
        let after = time.saturating_add(self.within());
        for pieces in self.persons.values_mut() {
            let keep = pieces.partition_point(|piece| piece.start <= after);
            self.pieces -= pieces.len() - keep;
            pieces.truncate(keep);
        }
        self.persons.retain(|_, pieces| !pieces.is_empty());
    }

    fn within(&self) -> i64 {
        self.rule.contact().within().and_then(|within| within.num_microseconds()).unwrap_or(i64::MAX)
    }

    /// The encounters with one person, oldest first, as far as they are known one by one.
    pub fn encounters(&self, person: PersonId) -> Vec<Encounter> {
        self.persons.get(&person).into_iter().flatten().map(Piece::encounter).collect()
    }

    /// Everybody met for at least `min_duration` in all, strongest first.
    pub fn connections(&self, min_duration: TimeDelta) -> Vec<Connection> {
        let mut connections: Vec<_> = self
            .persons
            .iter()
            .map(|(person, pieces)| (person, pieces.as_slice()))
            .chain(
                self.settled.keys().filter(|person| !self.persons.contains_key(person)).map(|person| (person, &[][..])),
            )
            .filter_map(|(&person, pieces)| Some(Sum::of(self.settled.get(&person), pieces)?.connection(person)))
            .filter(|connection| connection.total_duration >= min_duration)
            .collect();
        connections.sort_unstable_by_key(Connection::rank);
        connections
    }
}

impl Sum {
    /// Of what was summed up before, and later ones.
    fn of(before: Option<&Self>, pieces: &[Piece]) -> Option<Self> {
        let each = pieces.iter().map(|piece| Self {
            encounters: 1,
            total: piece.end - piece.start,
            first: piece.start,
            last: piece.end,
            closest: piece.closest,
        });
        before.copied().into_iter().chain(each).reduce(|sum, next| Self {
            encounters: sum.encounters + next.encounters,
            total: sum.total + next.total,
            first: sum.first,
            last: next.last,
            closest: if next.closest.nearer_than(&sum.closest) { next.closest } else { sum.closest },
        })
    }

    fn connection(&self, person: PersonId) -> Connection {
        Connection {
            person,
            encounters: self.encounters,
            total_duration: TimeDelta::microseconds(self.total),
            first_met: time(self.first),
            last_met: time(self.last),
            closest: public(&self.closest),
        }
    }
}

/// Adds a stretch to a person's pieces, with all that lie within `gap` of it.
fn join(pieces: &mut Vec<Piece>, mut new: Piece, gap: i64) {
    let begin = pieces.partition_point(|piece| piece.end.saturating_add(gap) < new.start);
    let end = pieces.partition_point(|piece| piece.start <= new.end.saturating_add(gap));
    for piece in &pieces[begin..end] {
        new.start = new.start.min(piece.start);
        new.end = new.end.max(piece.end);
        if piece.closest.nearer_than(&new.closest) {
            new.closest = piece.closest;
        }
    }
    if end == begin + 1 {
        pieces[begin] = new;
    } else {
        pieces.splice(begin..end, [new]);
    }
}

impl Piece {
    fn encounter(&self) -> Encounter {
        Encounter { start: time(self.start), end: time(self.end), closest: public(&self.closest) }
    }
}

fn public(contact: &Contact) -> Closest {
    Closest { distance_m: contact.distance_m(), time: time(contact.first.time), coordinate: contact.first.coordinate }
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}
