//! The five laws, for the algorithm alone.

use super::brute::{assert_same, contacts, encounters};
use super::case::{Case, PERSONS, any_case, id, time};
use super::config;
use chrono::TimeDelta;
use proptest::prelude::*;
use udaconnect::domain::TimeRange;
use udaconnect::geo::cell_of;
use udaconnect::meeting::{ContactRule, Encounter, EncounterRule, Fix, Meetings, Track, lookups};

/// The answer to the case's question, asked by one person. Others' locations come in the order of the case.
fn ask(case: &Case, me: usize) -> Meetings {
    let rule = case.rule;
    let track = Track::new(&case.track(me), rule.contact());
    let mut meetings = Meetings::new(id(me), rule);
    for &(other, fix) in &case.fixes {
        if case.range.contains(time(fix.time)) {
            meetings.observe(&track, id(other), fix).unwrap();
        }
    }
    meetings
}

fn all(case: &Case, me: usize) -> Vec<Vec<Encounter>> {
    let meetings = ask(case, me);
    (0..PERSONS).map(|other| meetings.encounters(id(other))).collect()
}

fn pairs(case: &Case, me: usize) -> Vec<(usize, i64, i64, i64)> {
    let mut pairs = Vec::new();
    for other in (0..PERSONS).filter(|other| *other != me) {
        for contact in contacts(&case.track(me), me, &case.track(other), other, case.rule) {
            let (first, second) = (contact.first, contact.second);
            pairs.push((other, first.time, second.time, (contact.distance_m * 1e6) as i64));
        }
    }
    pairs
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_answer_is_that_of_brute_force(case in any_case(0.0), me in 0..PERSONS) {
        let meetings = ask(&case, me);
        for other in (0..PERSONS).filter(|other| *other != me) {
            let contacts = contacts(&case.track(me), me, &case.track(other), other, case.rule);
            let expected = encounters(&contacts, case.rule);
            assert_same(&meetings.encounters(id(other)), &expected);
            let connections = meetings.connections(TimeDelta::zero());
            let connection = connections.iter().find(|connection| connection.person == id(other));
            prop_assert_eq!(connection.is_some(), !expected.is_empty());
            if let Some(connection) = connection {
                prop_assert_eq!(connection.encounters, expected.len());
                let total: i64 = expected.iter().map(|met| met.end - met.start).sum();
                prop_assert_eq!(connection.total_duration, TimeDelta::microseconds(total));
                prop_assert_eq!(connection.first_met, time(expected[0].start));
                prop_assert_eq!(connection.last_met, time(expected[expected.len() - 1].end));
            }
            prop_assert!(connections.is_sorted_by_key(|connection| connection.rank()));
        }
    }

    #[test]
    fn no_contact_is_outside_the_lookups(case in any_case(0.0), me in 0..PERSONS) {
        let found = lookups(&case.track(me), case.rule.contact(), case.range);
        for other in (0..PERSONS).filter(|other| *other != me) {
            let track = Track::new(&case.track(me), case.rule.contact());
            for fix in case.track(other).into_iter().filter(|fix| track.touches(*fix)) {
                let cell = cell_of(fix.coordinate);
                let hits = found
                    .iter()
                    .filter(|lookup| lookup.cells.contains(cell) && (lookup.from..=lookup.to).contains(&fix.time))
                    .count();
                prop_assert_eq!(hits, 1, "{:?} in {:?}", fix, found);
            }
        }
    }

    #[test]
    fn it_is_the_same_from_both_sides(case in any_case(0.0)) {
        for me in 0..PERSONS {
            for other in 0..me {
                prop_assert_eq!(&all(&case, me)[other], &all(&case, other)[me]);
            }
        }
    }

    #[test]
    fn it_depends_on_neither_order_nor_repetition_nor_parts(
        case in any_case(0.0),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        parts in 1..5_usize,
        seed in any::<u64>(),
    ) {
        let expected = all(&case, 0);
        let mut other = case.clone();
        other.fixes.extend(again.iter().map(|index| case.fixes[index.index(case.fixes.len())]));
        let count = other.fixes.len() as u64;
        // Some other order.
        other.fixes.sort_by_cached_key(|(who, fix)| (fix.time as u64 ^ *who as u64 ^ seed).wrapping_mul(seed | 1) % count);
        prop_assert_eq!(&all(&other, 0), &expected);
        // My own locations in parts, one after the other.
        let mine = case.track(0);
        let mut meetings = Meetings::new(id(0), case.rule);
        for part in mine.chunks(mine.len().div_ceil(parts).max(1)) {
            let track = Track::new(part, case.rule.contact());
            for &(who, fix) in other.fixes.iter().filter(|(_, fix)| case.range.contains(time(fix.time))) {
                meetings.observe(&track, id(who), fix).unwrap();
            }
        }
        let found: Vec<_> = (0..PERSONS).map(|who| meetings.encounters(id(who))).collect();
        prop_assert_eq!(&found, &expected);
    }

    #[test]
    fn what_is_summed_up_or_forgotten_on_the_way_changes_nothing(
        case in any_case(0.0),
        parts in 1..8_usize,
        again in 1..8_usize,
    ) {
        let whole = ask(&case, 0);
        let mine = case.track(0);
        let observe = |meetings: &mut Meetings, part: &[Fix]| {
            let track = Track::new(part, case.rule.contact());
            for &(who, fix) in case.fixes.iter().filter(|(_, fix)| case.range.contains(time(fix.time))) {
                meetings.observe(&track, id(who), fix).unwrap();
            }
        };
        let mut meetings = Meetings::new(id(0), case.rule);
        for part in mine.chunks(mine.len().div_ceil(parts).max(1)) {
            // All of it, as if it had not fitted; then the same in smaller parts.
            observe(&mut meetings, part);
            let smaller: Vec<&[Fix]> = part.chunks(part.len().div_ceil(again).max(1)).collect();
            meetings.forget_after(smaller[0].last().unwrap().time);
            for part in smaller {
                observe(&mut meetings, part);
                meetings.settle(part.last().unwrap().time);
            }
        }
        prop_assert_eq!(meetings.connections(TimeDelta::zero()), whole.connections(TimeDelta::zero()));
        // What is still known one by one are the latest encounters.
        for other in 0..PERSONS {
            let (left, all) = (meetings.encounters(id(other)), whole.encounters(id(other)));
            prop_assert_eq!(&left[..], &all[all.len() - left.len()..]);
        }
    }

    #[test]
    fn asking_for_more_loses_no_contact(
        case in any_case(0.0),
        factor in 1.0..3.0_f64,
        later in 0..3_600_000_000_i64,
        longer in any::<bool>(),
    ) {
        let mut more = case.clone();
        let contact = case.rule.contact();
        let most = ContactRule::MAX_WITHIN;
        let within = (contact.within().unwrap() + TimeDelta::microseconds(later)).min(most);
        more.rule = EncounterRule::new(
            Some((contact.distance_m() * factor).min(ContactRule::MAX_DISTANCE_M)),
            Some(within),
            Some(case.rule.gap().max(within)),
        )
        .unwrap();
        if longer {
            more.range = TimeRange::ALL;
        }
        let (few, many) = (pairs(&case, 0), pairs(&more, 0));
        prop_assert!(few.iter().all(|pair| many.contains(pair)));
        // So every encounter lies within one of the larger answer, and is no closer there than it was.
        let (few, many) = (all(&case, 0), all(&more, 0));
        for (few, many) in few.iter().zip(&many) {
            for small in few {
                let around = many.iter().find(|large| large.start <= small.start && small.end <= large.end);
                prop_assert!(around.is_some_and(|large| large.closest.distance_m <= small.closest.distance_m + 1e-7));
            }
        }
    }

    #[test]
    fn nobody_meets_themself(case in any_case(0.0), me in 0..PERSONS) {
        let meetings = ask(&case, me);
        prop_assert_eq!(meetings.encounters(id(me)), []);
        prop_assert!(meetings.connections(TimeDelta::zero()).iter().all(|connection| connection.person != id(me)));
    }
}

#[test]
fn of_equally_close_contacts_the_earliest_is_named() {
    let place = |latitude| udaconnect::geo::Coordinate::new(latitude, 100.0).unwrap();
    let fix = |time, latitude| Fix { time, coordinate: place(latitude) };
    let rule = EncounterRule::new(Some(10.0), Some(TimeDelta::seconds(5)), None).unwrap();
    let (mine, theirs) = ([fix(2_000_000, 1.0), fix(3_000_000, 2.0)], [fix(3_000_000, 2.0), fix(1_000_000, 1.0)]);
    for (me, other, mine, theirs) in [(0, 1, mine, theirs), (1, 0, theirs, mine), (1, 0, mine, theirs)] {
        let mut meetings = Meetings::new(id(me), rule);
        let track = Track::new(&mine, rule.contact());
        theirs.iter().for_each(|fix| meetings.observe(&track, id(other), *fix).unwrap());
        let [met] = meetings.encounters(id(other))[..] else { panic!("one encounter") };
        assert_eq!((met.closest.distance_m, met.closest.time), (0.0, time(1_000_000)));
    }
}
