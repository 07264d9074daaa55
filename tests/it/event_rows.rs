//! Rows know their event: how they came to, with an older program going on, and that events know nothing of each other.

use crate::support::{Database, Server, TOPIC, Worker, eventually, run};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use udaconnect::domain::{Error, EventId, LocationInput, NewLocation, NewPerson, PersonId, Recorded, TimeRange};
use udaconnect::meeting::{ContactRule, Lookups};
use udaconnect::store::{DatabaseArgs, Store};

/// What an older version runs: it knows no event, and names its own unique indexes.
const OLD_PERSON: &str = "INSERT INTO person AS known (external_key, first_name, last_name, company_name)
    VALUES ('old', 'a', 'b', 'c') ON CONFLICT (external_key) DO UPDATE SET company_name = known.company_name RETURNING id";
const OLD_LOCATION: &str = "INSERT INTO location (person_id, creation_time, cell, coordinate)
    SELECT 1, to_timestamp($1::bigint), 1, 'POINT(101 2)' ON CONFLICT (person_id, creation_time, coordinate) DO NOTHING";

async fn migrate(database: &Database, arguments: &[&str]) -> String {
    let output = run(&[&["migrate"], arguments].concat(), &[("DATABASE_URL", &database.url())]).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A database as it was before there were events, with some months of rows.
async fn old_database() -> Database {
    let database = Database::new().await;
    let since = "SELECT count(*) FROM __diesel_schema_migrations WHERE version >= '20261125000010'";
    let count = database.number(since).await.to_string();
    migrate(&database, &["--revert", &count]).await;
    let rows = "INSERT INTO person (external_key, first_name, last_name, company_name) VALUES ('one', 'a', 'b', 'c');
        SELECT location_make_partition('2026-06-01'), location_make_partition('2026-07-01');
        INSERT INTO location (person_id, creation_time, cell, coordinate)
        SELECT 1, timestamptz '2026-05-30' + interval '1 hour' * n, n, 'POINT(101 1)' FROM generate_series(1, 2000) AS n";
    database.client().await.batch_execute(rows).await.unwrap();
    database
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_come_into_the_first_event_while_an_older_program_goes_on() {
    let database = old_database().await;
    let (stop, stored) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
    let writer = {
        let (client, stop, stored) = (database.client().await, stop.clone(), stored.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let id: i64 = client.query_one(OLD_PERSON, &[]).await.unwrap().get(0);
                assert!(id > 1);
                let second = 1_781_000_000 + stored.load(Ordering::SeqCst);
                assert_eq!(client.execute(OLD_LOCATION, &[&second]).await.unwrap(), 1);
                assert_eq!(client.execute(OLD_LOCATION, &[&second]).await.unwrap(), 0, "a resend is stored once");
                stored.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let goes_on = async || {
        let before = stored.load(Ordering::SeqCst);
        eventually("the older program", || async { (stored.load(Ordering::SeqCst) > before + 5).then_some(()) }).await;
    };
    goes_on().await;
    let said = migrate(&database, &[]).await;
    assert!(said.contains("migrate --contract"), "{said}");
    goes_on().await;
    // The new one beside the old one: they store the same once, and have the same persons.
    let server = Server::start(&database).await;
    let person = server.person().await;
    let location =
        json!({"person_id": person, "latitude": 1, "longitude": 101, "creation_time": "2026-06-02T10:00:00Z"});
    assert_eq!(server.post("/api/locations", &location).await.0, 201);
    let second: DateTime<Utc> = DateTime::from_timestamp(1_781_000_000, 0).unwrap();
    let theirs = json!({"person_id": 1, "latitude": 2, "longitude": 101, "creation_time": second});
    let (status, told) = server.post("/api/locations/batch", &json!([theirs])).await;
    assert!(status == 200 || status == 201, "{status} {told}");
    let client = database.client().await;
    let another = "INSERT INTO event (slug, name) VALUES ('another', 'Another')";
    let refused = client.execute(another, &[]).await.unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("55000"), "{refused:?}");
    goes_on().await;
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();

    migrate(&database, &["--contract"]).await;
    assert_eq!(migrate(&database, &[]).await, "the schema is up to date\n");
    client.execute(another, &[]).await.unwrap();
    let count = stored.load(Ordering::SeqCst);
    assert_eq!(database.number("SELECT count(*) FROM location WHERE event_id = 1").await, 2_000 + count + 1);
    assert_eq!(database.number("SELECT count(*) FROM location WHERE event_id <> 1").await, 0);
    assert_eq!(database.number("SELECT count(*) FROM person WHERE event_id = 1").await, 3);
    assert_eq!(server.post("/api/locations", &location).await.0, 201, "it is there already");
    assert_eq!(database.number("SELECT count(*) FROM location").await, 2_000 + count + 1);
    // Every key and index of an event's tables begins with the event, but for those that are named.
    let others = "SELECT coalesce(string_agg(indexrelid::regclass::text, ' ' ORDER BY indexrelid::regclass::text), '')
        FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0] JOIN pg_class AS t ON t.oid = indrelid
        WHERE (t.oid = 'person'::regclass OR t.oid IN (SELECT relid FROM pg_partition_tree('location')))
          AND (attname <> 'event_id' OR NOT indisvalid)";
    let others: String = client.query_one(others, &[]).await.unwrap().get(0);
    assert_eq!(others, "person_id person_search person_search_folded");
    // And back, as long as nothing would be lost.
    let output = run(&["migrate", "--revert", "1"], &[("DATABASE_URL", &database.url())]).await;
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("other events"), "{output:?}");
    client.execute("DELETE FROM event WHERE slug = 'another'", &[]).await.unwrap();
    migrate(&database, &["--revert", "4"]).await;
    assert_eq!(client.execute(OLD_LOCATION, &[&1_i64]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_migration_that_was_interrupted_is_begun_anew() {
    let database = old_database().await;
    let client = database.client().await;
    // As an index is left whose making was ended: not valid.
    client
        .batch_execute(
            "ALTER TABLE location ADD COLUMN event_id integer NOT NULL DEFAULT 1;
             CREATE INDEX location_2026_06_identity_event ON location_2026_06 (event_id, person_id);
             UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'location_2026_06_identity_event'::regclass",
        )
        .await
        .unwrap();
    migrate(&database, &[]).await;
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    assert_eq!(database.number(invalid).await, 0);
    let unique = "SELECT indisunique::integer::bigint FROM pg_index WHERE indexrelid = 'location_2026_06_identity_event'::regclass";
    assert_eq!(database.number(unique).await, 1);
}

/// Two events, the second one with its own persons.
async fn two_events() -> (Database, Store, EventId) {
    let database = Database::new().await;
    let second = database.number("INSERT INTO event (slug, name) VALUES ('two', 'Two') RETURNING id::bigint").await;
    let store = store(&database);
    (database, store, EventId::new(second as i32))
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    database: DatabaseArgs,
}

fn store(database: &Database) -> Store {
    let arguments = Arguments::parse_from(["test", "--database-url", &database.url(), "--database-pool-size", "4"]);
    Store::new(&arguments.database, "test").unwrap()
}

async fn person(store: &Store, event: EventId) -> PersonId {
    store.event(event).create_person(&NewPerson::new("Ada", "Lovelace", "Engines").unwrap()).await.unwrap().id
}

fn location(person: PersonId, second: i64, metres: f64) -> NewLocation {
    let input = LocationInput {
        person_id: person.get(),
        latitude: 35.0 + metres / 111_000.0,
        longitude: -106.5,
        creation_time: DateTime::from_timestamp(1_780_000_000 + second, 0),
        accuracy_m: None,
    };
    NewLocation::new(input, Utc::now(), TimeDelta::minutes(5)).unwrap()
}

#[tokio::test]
async fn another_events_rows_do_not_exist() {
    let (_database, store, second) = two_events().await;
    let (one, two) = (person(&store, EventId::FIRST).await, person(&store, second).await);
    let (here, there) = (store.event(EventId::FIRST), store.event(second));
    let recorded = here.record(&[location(one, 0, 0.0), location(two, 0, 0.0)]).await.unwrap();
    let Recorded::Stored { id } = recorded[0] else { panic!("{recorded:?}") };
    assert!(matches!(recorded[1], Recorded::UnknownPerson { .. }), "{recorded:?}");
    let bulk = there.record_bulk(&[location(one, 1, 0.0), location(two, 1, 0.0)]).await.unwrap();
    assert_eq!((bulk.stored, bulk.unknown.into_iter().collect::<Vec<_>>()), (1, vec![one.get()]));
    let absent = |error: Option<Error>| assert!(matches!(error, Some(Error::NotFound { .. })), "{error:?}");
    assert!(here.location(id).await.is_ok() && here.person(one).await.is_ok() && there.person(two).await.is_ok());
    // At once, so that lookups of both events share their way.
    let (a, b, c) = tokio::join!(there.person(one), here.person(two), there.location(id));
    absent(a.err());
    absent(b.err());
    absent(c.err());
    absent(there.locations(one, TimeRange::ALL, None, 10).await.err());
    absent(there.days(one, "UTC").await.err());
    absent(there.delete_location(id).await.err());
    absent(there.delete_person(one).await.err());
    assert!(there.described(&[one.get()]).await.unwrap().is_empty());
    let names = [("Ada", "Lovelace")];
    assert_eq!(here.persons_by_name(&names).await.unwrap(), [[one]]);
    assert_eq!(there.persons_by_name(&names).await.unwrap(), [[two]]);
    // The same key is one person here and another there.
    let key = [("badge 7".to_owned(), NewPerson::new("Eve", "Lee", "C").unwrap())];
    let (mine, theirs) =
        (here.create_persons_by_key(&key).await.unwrap(), there.create_persons_by_key(&key).await.unwrap());
    assert_ne!(mine, theirs);
    assert_eq!(there.persons_by_key(&["badge 7"]).await.unwrap()["badge 7"], theirs[0]);
    let listed = there.persons(&Default::default(), None, 10).await.unwrap();
    assert_eq!(listed.items.iter().map(|person| person.id).collect::<Vec<_>>(), [two, theirs[0]]);
    there.delete_person(two).await.unwrap();
    assert!(here.person(one).await.is_ok());
}

#[test]
fn two_events_in_the_same_hall_know_nothing_of_each_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (database, store, second) = runtime.block_on(two_events());
    let mut people: Vec<Vec<PersonId>> = vec![Vec::new(), Vec::new()];
    for _ in 0..3 {
        for (event, persons) in [EventId::FIRST, second].into_iter().zip(&mut people) {
            persons.push(runtime.block_on(person(&store, event)));
        }
    }
    use proptest::prelude::*;
    let config = proptest::test_runner::Config { failure_persistence: None, cases: 100, ..Default::default() };
    let crowd = proptest::collection::vec((0..3_usize, 0..900_i64, 0.0..40.0_f64), 1..30);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&(crowd, 1.0..1_000.0_f64), |(crowd, distance)| {
        let met = runtime.block_on(async {
            database.client().await.batch_execute("DELETE FROM location").await.unwrap();
            let rule = ContactRule::new(distance, Some(TimeDelta::minutes(5))).unwrap();
            for (event, persons) in [EventId::FIRST, second].into_iter().zip(&people) {
                let all: Vec<_> =
                    crowd.iter().map(|&(who, second, metres)| location(persons[who], second, metres)).collect();
                store.event(event).record_bulk(&all).await.unwrap();
            }
            let mut met = Vec::new();
            for (event, persons) in [EventId::FIRST, second].into_iter().zip(&people) {
                let mut of_event = Vec::new();
                for me in persons {
                    let mut snapshot = store.event(event).snapshot().await.unwrap();
                    let fixes = snapshot.track(*me, TimeRange::ALL, None, 1_000).await.unwrap();
                    let lookups = Lookups::of(&fixes, rule, TimeRange::ALL);
                    let mut near = Vec::new();
                    let each = |other: PersonId, fix: udaconnect::meeting::Fix| {
                        // By place in the event's list: whoever is of another event has none.
                        near.push((persons.iter().position(|person| *person == other), fix.time));
                        Ok(())
                    };
                    let done = snapshot.candidates(&lookups, TimeRange::ALL, each).await;
                    snapshot.end(done).await.unwrap().unwrap();
                    near.sort_unstable();
                    of_event.push(near);
                }
                met.push(of_event);
            }
            met
        });
        prop_assert!(
            met.iter().flatten().flatten().all(|(who, _)| who.is_some()),
            "somebody of another event: {met:?}"
        );
        prop_assert_eq!(&met[0], &met[1], "the same in both");
        Ok(())
    });
    outcome.unwrap();
}

#[tokio::test]
async fn records_are_of_the_event_that_they_name_and_else_of_their_persons() {
    let (database, store, second) = two_events().await;
    let (one, two) = (person(&store, EventId::FIRST).await.get(), person(&store, second).await.get());
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, 1, 1).unwrap();
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", mock.bootstrap_servers()).create().unwrap();
    let wanted = [
        (one, Value::Null, 0),
        (two, Value::Null, 0),
        (one, json!(1), 1),
        (two, json!(second.get()), 1),
        // The same once more, said otherwise.
        (two, Value::Null, 1),
        // Another event than the person's; one that does not exist; none at all.
        (one, json!(second.get()), 2),
        (two, json!(99), 2),
        (two, json!(0), 2),
        // Right beside wrong, of one location.
        (one, json!(second.get()), 3),
        (one, Value::Null, 3),
    ];
    for (person, event, minute) in &wanted {
        let value = json!({"person_id": person, "event_id": event, "latitude": 1, "longitude": 101,
            "creation_time": format!("2026-06-02T10:{minute:02}:00Z")});
        let (key, value) = (person.to_string(), value.to_string());
        producer.send(FutureRecord::to(TOPIC).key(&key).payload(&value), Duration::from_secs(60)).await.unwrap();
    }
    let _worker =
        Worker::start(&[("DATABASE_URL", database.url()), ("KAFKA_BOOTSTRAP", mock.bootstrap_servers())]).await;
    eventually("all records", || async {
        let next = database.number("SELECT coalesce(max(next_offset), 0) FROM kafka_partition").await;
        (next == wanted.len() as i64).then_some(())
    })
    .await;
    let count =
        async |event: i32| database.number(&format!("SELECT count(*) FROM location WHERE event_id = {event}")).await;
    assert_eq!((count(1).await, count(second.get()).await), (3, 2));
    assert_eq!(database.number("SELECT count(*) FROM location JOIN person ON person_id = person.id AND location.event_id <> person.event_id").await, 0);
    let client = database.client().await;
    let letters = client.query("SELECT first_offset, reason, event_id FROM dead_letter ORDER BY 1", &[]).await.unwrap();
    let letters: Vec<(i64, String, Option<i32>)> =
        letters.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(letters.iter().map(|letter| letter.0).collect::<Vec<_>>(), [5, 6, 7, 8], "{letters:?}");
    assert!(letters.iter().all(|letter| letter.1.contains("event")), "{letters:?}");
    assert_eq!(letters[0].2, Some(1), "the event is the person's");
}

/// A plan is made once for a connection, for whatever comes: what it expects of an event among many must not make a large batch slow.
#[tokio::test]
async fn a_large_batch_of_one_event_among_many_is_stored_in_its_time() {
    let database = Database::new().await;
    let client = database.client().await;
    client
        .batch_execute(
            "INSERT INTO event (slug, name) SELECT 'e-' || n, 'Event' FROM generate_series(1, 20) AS n;
             INSERT INTO person (event_id, first_name, last_name, company_name)
             SELECT id, 'a', 'b', 'c' FROM event, generate_series(1, 100);
             ANALYZE person",
        )
        .await
        .unwrap();
    let person: i64 = client.query_one("SELECT min(id) FROM person WHERE event_id = 1", &[]).await.unwrap().get(0);
    // A loop in a loop over so many takes longer than a statement may on any machine, and a list that is looked up a thousandth of it.
    let person = PersonId::new(person, "person_id").unwrap();
    let all: Vec<_> = (0..60_000).map(|second| location(person, second, 0.0)).collect();
    let recorded = store(&database).event(EventId::FIRST).record(&all).await.unwrap();
    assert!(recorded.iter().all(|recorded| matches!(recorded, Recorded::Stored { .. })));
}
