//! The five laws, for the whole way from stored rows to encounters, against brute force by PostGIS.

use super::case::{Case, PERSONS, any_case, id, time};
use super::config;
use crate::support::Database;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use std::collections::BTreeMap;
use tokio_postgres::Client;
use udaconnect::domain::{EventId, LocationInput, NewLocation, NewPerson, PersonId, TimeRange};
use udaconnect::meeting::{ContactRule, Encounter};
use udaconnect::service::meetings::{self, MeetingQuery};
use udaconnect::store::{DatabaseArgs, Store};

/// How far PostGIS's distance may be from ours, metres: it turns degrees into radians and back, and rounds what it returns.
const SAME_M: f64 = 3e-8;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// The store of a test's database.
pub fn store(database: &Database) -> Store {
    let url = database.url();
    let arguments = Arguments::parse_from(["test", "--database-url", &url, "--database-pool-size", "4"]);
    Store::new(&arguments.database, "test").unwrap()
}

pub async fn add_persons(store: &Store, count: usize) {
    for _ in 0..count {
        store
            .event(EventId::FIRST)
            .create_person(&NewPerson::new("Ada", "Lovelace", "Engines").unwrap())
            .await
            .unwrap();
    }
}

/// What brute force finds of one person's encounters with another: start, end, closest distance.
/// Start, end, metres.
type Stretch = (DateTime<Utc>, DateTime<Utc>, f64);
type Found = BTreeMap<(PersonId, PersonId), Vec<Stretch>>;

/// All pairs of everybody's locations, then the definitions as window functions.
const ENCOUNTERS: &str = "
    WITH fix AS (
        SELECT person_id AS who, creation_time AS t, coordinate AS place FROM location
        WHERE creation_time >= $1 AND creation_time < $2
    ), contact AS (
        SELECT p.who AS me, q.who AS other, p.t AS mine, q.t AS theirs, ST_Distance(p.place, q.place, true) AS metres
        FROM fix p JOIN fix q ON p.who <> q.who
        WHERE ST_DWithin(p.place, q.place, $3, true) AND q.t - p.t BETWEEN -$4::interval AND $4::interval
    ), taking AS (
        SELECT me, other, mine AS t FROM contact UNION SELECT me, other, theirs FROM contact
    ), piece AS (
        SELECT me, other, t, count(*) FILTER (WHERE apart) OVER (PARTITION BY me, other ORDER BY t) AS number
        FROM (SELECT *, t - lag(t) OVER (PARTITION BY me, other ORDER BY t) > $5::interval AS apart FROM taking) AS split
    ), encounter AS (
        SELECT me, other, min(t) AS begin_time, max(t) AS end_time FROM piece GROUP BY me, other, number
    )
    SELECT me, other, begin_time, end_time, (
        SELECT min(metres) FROM contact
        WHERE contact.me = encounter.me AND contact.other = encounter.other AND mine BETWEEN begin_time AND end_time
    ) FROM encounter ORDER BY me, other, begin_time";

async fn brute_force(client: &Client, case: &Case) -> Found {
    let rule = case.rule;
    let text = |time: TimeDelta| format!("{} microseconds", time.num_microseconds().unwrap());
    let statement = ENCOUNTERS
        .replace("$4", &format!("'{}'", text(rule.contact().within().unwrap())))
        .replace("$5", &format!("'{}'", text(rule.gap())));
    let rows =
        client.query(&statement, &[&case.range.from(), &case.range.to(), &rule.contact().distance_m()]).await.unwrap();
    let mut found = Found::new();
    for row in rows {
        let pair = (PersonId::new(row.get(0), "id").unwrap(), PersonId::new(row.get(1), "id").unwrap());
        found.entry(pair).or_default().push((row.get(2), row.get(3), row.get(4)));
    }
    found
}

/// The ids that the proof of concept's question is answered with, in order.
async fn brute_force_nearby(client: &Client, me: PersonId, range: TimeRange, rule: ContactRule) -> Vec<i64> {
    let within = rule.within().map_or("true".to_owned(), |within| {
        let micros = within.num_microseconds().unwrap();
        format!("q.creation_time - p.creation_time BETWEEN -'{micros} us'::interval AND '{micros} us'::interval")
    });
    let statement = format!(
        "SELECT q.id FROM location q WHERE q.person_id <> $1 AND q.creation_time >= $2 AND q.creation_time < $3 AND EXISTS (
             SELECT FROM location p WHERE p.person_id = $1 AND p.creation_time >= $2 AND p.creation_time < $3
             AND ST_DWithin(p.coordinate, q.coordinate, $4, true) AND {within})
         ORDER BY q.creation_time, q.id"
    );
    let rows = client.query(&statement, &[&me.get(), &range.from(), &range.to(), &rule.distance_m()]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Stores the case's locations in batches, some of them twice.
async fn record(store: &Store, case: &Case) {
    let locations: Vec<NewLocation> = case
        .fixes
        .iter()
        .map(|&(who, fix)| {
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
    let (some, others) = locations.split_at(locations.len() / 2);
    store.event(EventId::FIRST).record_bulk(others).await.unwrap();
    store.event(EventId::FIRST).record_bulk(&locations[locations.len() / 4..]).await.unwrap();
    store.event(EventId::FIRST).record_bulk(some).await.unwrap();
}

fn assert_found(found: &[Encounter], expected: Option<&Vec<Stretch>>) -> Result<(), TestCaseError> {
    let expected = expected.map(Vec::as_slice).unwrap_or_default();
    prop_assert_eq!(
        found.iter().map(|met| (met.start, met.end)).collect::<Vec<_>>(),
        expected.iter().map(|(start, end, _)| (*start, *end)).collect::<Vec<_>>()
    );
    for (met, (_, _, metres)) in found.iter().zip(expected) {
        prop_assert!((met.closest.distance_m - metres).abs() <= SAME_M, "{} {}", met.closest.distance_m, metres);
    }
    Ok(())
}

async fn check(store: &Store, client: &Client, case: &Case) -> Result<(), TestCaseError> {
    client.batch_execute("DELETE FROM location").await.unwrap();
    record(store, case).await;
    let expected = brute_force(client, case).await;
    let mut met = Vec::new();
    for me in 0..PERSONS {
        let query = MeetingQuery { person: id(me), range: case.range, rule: case.rule };
        met.push(meetings::meet(store.event(EventId::FIRST), query).await.unwrap());
    }
    for me in 0..PERSONS {
        for other in 0..PERSONS {
            let found = met[me].encounters(id(other));
            assert_found(&found, expected.get(&(id(me), id(other))))?;
            prop_assert_eq!(&found, &met[other].encounters(id(me)), "the same from both sides");
        }
    }
    let query = MeetingQuery { person: id(1), range: case.range, rule: case.rule };
    prop_assert_eq!(
        meetings::encounters(store.event(EventId::FIRST), query, id(0)).await.unwrap(),
        met[0].encounters(id(1))
    );
    for within in [None, case.rule.contact().within()] {
        let rule = ContactRule::new(case.rule.contact().distance_m(), within).unwrap();
        let mut nearby = meetings::nearby(store.event(EventId::FIRST), id(0), case.range, rule).await.unwrap();
        let mut ids = Vec::new();
        while let Some(part) = nearby.next().await.unwrap() {
            ids.extend(part.iter().map(|(location, _)| location.id));
        }
        prop_assert_eq!(ids, brute_force_nearby(client, id(0), case.range, rule).await);
    }
    Ok(())
}

#[test]
fn stored_locations_give_the_answer_of_brute_force_in_sql() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (database, store, client) = runtime.block_on(async {
        let database = Database::new().await;
        let store = store(&database);
        add_persons(&store, PERSONS).await;
        let client = database.client().await;
        (database, store, client)
    });
    // A micrometre off the distance: nearer calls than PostGIS itself can be trusted with.
    let cases = any_case(1e-6);
    TestRunner::new(config())
        .run(&cases, |case| runtime.block_on(check(&store, &client, &case)))
        .unwrap_or_else(|failure| panic!("{failure}"));
    drop((client, store, database));
}
