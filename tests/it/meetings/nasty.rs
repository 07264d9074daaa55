//! Crowds that are too large for all pairs, or real.

use super::brute::{assert_same, contacts, encounters};
use super::case::{id, midnight, time};
use super::postgis::{add_persons, store};
use crate::support::Database;
use chrono::{TimeDelta, Utc};
use std::collections::BTreeMap;
use std::io::Read;
use udaconnect::domain::{Error, EventId, LocationInput, NewLocation, TimeRange};
use udaconnect::geo::Coordinate;
use udaconnect::meeting::{EncounterRule, Fix, Meetings, Track};
use udaconnect::service::meetings::{self, MeetingQuery};
use udaconnect::store::Store;

type Tracks = BTreeMap<usize, Vec<Fix>>;

async fn record(store: &Store, tracks: &Tracks) {
    let locations: Vec<NewLocation> = tracks
        .iter()
        .flat_map(|(who, track)| track.iter().map(move |fix| (*who, *fix)))
        .map(|(who, fix)| {
            let input = LocationInput {
                person_id: id(who).get(),
                latitude: fix.coordinate.latitude(),
                longitude: fix.coordinate.longitude(),
                creation_time: Some(time(fix.time)),
                accuracy_m: None,
            };
            NewLocation::new(input, Utc::now(), TimeDelta::minutes(5)).unwrap()
        })
        .collect();
    for batch in locations.chunks(10_000) {
        store.event(EventId::FIRST).record_bulk(batch).await.unwrap();
    }
    store.vacuum().await.unwrap();
}

fn rule(distance: f64, within: i64, gap: i64) -> EncounterRule {
    EncounterRule::new(Some(distance), Some(TimeDelta::seconds(within)), Some(TimeDelta::seconds(gap))).unwrap()
}

/// Asks, and compares everything with brute force.
async fn assert_right(store: &Store, tracks: &Tracks, me: usize, rule: EncounterRule) -> Meetings {
    let query = MeetingQuery { person: id(me), range: TimeRange::ALL, rule };
    let met = meetings::meet(store.event(EventId::FIRST), query).await.unwrap();
    for (&other, track) in tracks.iter().filter(|(other, _)| **other != me) {
        let expected = encounters(&contacts(&tracks[&me], me, track, other, rule), rule);
        assert_same(&met.encounters(id(other)), &expected);
    }
    met
}

/// Numbers that look random, and are the same every time.
fn noise(seed: u64) -> f64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn around(seed: u64, spread_m: f64) -> Coordinate {
    let metre = 9e-6;
    let off = |seed| (noise(seed) - 0.5) * spread_m * metre;
    Coordinate::new(-33.8 + off(seed * 2), 151.2 + off(seed * 2 + 1)).unwrap()
}

#[tokio::test]
async fn a_person_with_more_locations_than_are_compared_at_a_time() {
    let database = Database::new().await;
    let store = store(&database);
    add_persons(&store, 12).await;
    let second = |i: u64| midnight() + i as i64 * 1_000_000;
    let mut tracks = Tracks::new();
    // Standing in the crowd, a fix a second; then in another place.
    tracks.insert(0, (0..55_000).map(|i| Fix { time: second(i), coordinate: around(i + 1, 12.0) }).collect());
    for who in 1..12_u64 {
        let fixes = (0..60).map(|i| Fix {
            time: second((noise(who * 1_000 + i) * 60_000.0) as u64),
            coordinate: around(who * 1_000 + i, 60.0),
        });
        let mut track: Vec<Fix> = fixes.collect();
        track.sort_by_key(|fix| fix.time);
        tracks.insert(who as usize, track);
    }
    record(&store, &tracks).await;
    for rule in [rule(20.0, 0, 600), rule(10.0, 60, 60), rule(5.0, 3_600, 3_600)] {
        let met = assert_right(&store, &tracks, 0, rule).await;
        assert_eq!(met.connections(TimeDelta::zero()).len(), 11);
        assert_right(&store, &tracks, 3, rule).await;
    }
}

#[tokio::test]
async fn thousands_on_one_spot_for_hours() {
    let database = Database::new().await;
    let store = store(&database);
    add_persons(&store, 2_000).await;
    let spot = Coordinate::new(-89.999_999, 135.0).unwrap();
    let at = |who: i64, minute: i64| Fix { time: midnight() + minute * 60_000_000 + who, coordinate: spot };
    let tracks: Tracks = (0..2_000).map(|who| (who as usize, (0..20).map(|i| at(who, i * 15)).collect())).collect();
    record(&store, &tracks).await;
    let hours = TimeDelta::minutes(19 * 15);
    for rule in [rule(0.001, 300, 1_800), rule(1_000.0, 86_400, 86_400)] {
        let query = MeetingQuery { person: id(7), range: TimeRange::ALL, rule };
        let met = meetings::meet(store.event(EventId::FIRST), query).await.unwrap();
        let connections = met.connections(TimeDelta::zero());
        assert_eq!(connections.len(), 1_999);
        for connection in connections {
            let (me, other) = (7, connection.person.get() - 1);
            let (first, last) = (at(me.min(other), 0).time, at(me.max(other), 19 * 15).time);
            assert_eq!((connection.first_met, connection.last_met), (time(first), time(last)));
            assert_eq!(connection.total_duration, hours + TimeDelta::microseconds((me - other).abs()));
            assert_eq!((connection.encounters, connection.closest.distance_m), (1, 0.0));
            assert_eq!(connection.closest.time, time(first), "the first of all equally close ones");
        }
    }
    let mut nearby =
        meetings::nearby(store.event(EventId::FIRST), id(7), TimeRange::ALL, rule(1.0, 0, 0).contact()).await.unwrap();
    assert!(nearby.next().await.unwrap().is_none(), "nobody at the very same microsecond");
    let always = udaconnect::meeting::ContactRule::new(1.0, None).unwrap();
    let mut nearby = meetings::nearby(store.event(EventId::FIRST), id(7), TimeRange::ALL, always).await.unwrap();
    let mut order = Vec::new();
    while let Some(part) = nearby.next().await.unwrap() {
        order.extend(part.iter().map(|(location, person)| (location.creation_time, location.id, person.id)));
    }
    assert_eq!(order.len(), 1_999 * 20);
    assert!(order.is_sorted() && order.iter().all(|(_, _, person)| *person != id(7)));
}

#[tokio::test]
async fn baboons_who_walk_together() {
    let mut text = String::new();
    flate2::read::GzDecoder::new(&include_bytes!("../../data/baboons.csv.gz")[..]).read_to_string(&mut text).unwrap();
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut tracks = Tracks::new();
    for row in text.lines().skip(1) {
        let fields: Vec<&str> = row.split(',').map(|field| field.trim_matches('"')).collect();
        let count = numbers.len();
        let who = *numbers.entry(fields[0]).or_insert(count);
        let number = |i: usize| fields[i].parse::<f64>().ok();
        let (Some(seconds), Some(latitude), Some(longitude)) = (number(1), number(2), number(3)) else { continue };
        let Ok(coordinate) = Coordinate::new(latitude, longitude) else { continue };
        tracks.entry(who).or_default().push(Fix { time: (seconds * 1e6).round() as i64, coordinate });
    }
    tracks.values_mut().for_each(|track| {
        track.sort_by_key(|fix| (fix.time, fix.coordinate.bits()));
        track.dedup();
    });
    assert!(tracks.len() == 19 && tracks.values().map(Vec::len).sum::<usize>() > 65_000);
    let database = Database::new().await;
    let store = store(&database);
    add_persons(&store, tracks.len()).await;
    record(&store, &tracks).await;
    for (me, rule) in [(0, rule(2.0, 1, 30)), (5, rule(10.0, 3, 60)), (11, rule(1_000.0, 1, 600))] {
        let met = assert_right(&store, &tracks, me, rule).await;
        let count = met.connections(TimeDelta::zero()).len();
        assert!(count >= 6, "{count}");
    }
}

#[test]
fn more_encounters_than_fit_are_refused() {
    let rule = rule(10.0, 300, 600);
    let fix = Fix { time: midnight(), coordinate: around(1, 1.0) };
    let track = Track::new(&[fix], rule.contact());
    let mut met = Meetings::new(id(0), rule);
    for other in 1..=Meetings::MAX_ENCOUNTERS {
        met.observe(&track, id(other), fix).unwrap();
    }
    let error = met.observe(&track, id(Meetings::MAX_ENCOUNTERS + 1), fix).unwrap_err();
    assert!(matches!(&error, Error::TooBroad(detail) if detail.contains("shorter range")), "{error}");
}
