//! The definitions, word by word, with nothing clever in them.

use super::case::{id, time};
use udaconnect::geo::{Coordinate, distance_m};
use udaconnect::meeting::{Closest, Encounter, EncounterRule, Fix};

/// A contact: who is meant by "first" is the earlier, or of simultaneous ones the one with the lower id.
pub struct Contact {
    pub first: Fix,
    pub second: Fix,
    pub distance_m: f64,
}

/// Both tracks are sorted by time.
pub fn contacts(mine: &[Fix], me: usize, theirs: &[Fix], other: usize, rule: EncounterRule) -> Vec<Contact> {
    let within = rule.contact().within().unwrap().num_microseconds().unwrap();
    let mut contacts = Vec::new();
    for p in mine {
        let begin = theirs.partition_point(|q| q.time < p.time - within);
        for q in theirs[begin..].iter().take_while(|q| q.time <= p.time + within) {
            let distance_m = distance_m(p.coordinate, q.coordinate);
            if distance_m <= rule.contact().distance_m() {
                let mine_first = p.time < q.time || (p.time == q.time && id(me) < id(other));
                let (first, second) = if mine_first { (*p, *q) } else { (*q, *p) };
                contacts.push(Contact { first, second, distance_m });
            }
        }
    }
    contacts
}

/// Distances that differ by less are taken to be equal: which is nearer is then a matter of the last digits.
pub const SAME_M: f64 = 3e-8;

/// An encounter, and every contact in it that may be named as the closest.
pub struct Met {
    pub start: i64,
    pub end: i64,
    pub closest_m: f64,
    pub closest: Vec<(i64, Coordinate)>,
}

pub fn encounters(contacts: &[Contact], rule: EncounterRule) -> Vec<Met> {
    let gap = rule.gap().num_microseconds().unwrap();
    let mut taking: Vec<i64> = contacts.iter().flat_map(|c| [c.first.time, c.second.time]).collect();
    taking.sort_unstable();
    taking
        .chunk_by(|a, b| b - a <= gap)
        .map(|piece| {
            let (start, end) = (piece[0], piece[piece.len() - 1]);
            let inside: Vec<&Contact> =
                contacts.iter().filter(|c| start <= c.first.time && c.second.time <= end).collect();
            let closest_m = inside.iter().map(|c| c.distance_m).fold(f64::INFINITY, f64::min);
            let closest = inside
                .iter()
                .filter(|c| c.distance_m <= closest_m + SAME_M)
                .map(|c| (c.first.time, c.first.coordinate))
                .collect();
            Met { start, end, closest_m, closest }
        })
        .collect()
}

pub fn assert_same(found: &[Encounter], expected: &[Met]) {
    assert_eq!(
        found.iter().map(|e| (e.start.timestamp_micros(), e.end.timestamp_micros())).collect::<Vec<_>>(),
        expected.iter().map(|e| (e.start, e.end)).collect::<Vec<_>>()
    );
    for (found, expected) in found.iter().zip(expected) {
        let Closest { distance_m, time: when, coordinate } = found.closest;
        assert!((distance_m - expected.closest_m).abs() <= SAME_M, "{distance_m} {}", expected.closest_m);
        assert!(
            expected.closest.contains(&(when.timestamp_micros(), coordinate)),
            "{found:?} is none of {:?}",
            expected.closest.iter().map(|(at, place)| (time(*at), place)).collect::<Vec<_>>()
        );
    }
}
