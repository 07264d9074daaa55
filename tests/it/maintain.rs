//! What `maintain` does: tables for the months ahead, and the end of what is kept of an event.

use crate::support::{Database, Program, Server, eventually, run};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::Client;

/// Runs the program to its end; the status, and all that it has written.
async fn cli(database: &Database, arguments: &[&str]) -> (Option<i32>, String) {
    // A machine that is busy with something else is not what is asked about.
    let variables = [("DATABASE_URL", &*database.url()), ("DATABASE_CONNECT_TIMEOUT", "60")];
    let output = run(arguments, &variables).await;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code(), text)
}

async fn create(database: &Database, slug: &str, settings: &[&str]) {
    let (status, said) = cli(database, &[&["event", "create", slug, "--name", slug], settings].concat()).await;
    assert_eq!(status, Some(0), "{said}");
}

/// The tables of months and years, without the one for what has none.
async fn tables(client: &Client) -> BTreeSet<String> {
    let sql = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'location'::regclass
        AND inhrelid <> 'location_other'::regclass";
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

fn table(month: NaiveDate) -> String {
    month.format("location_%Y_%m").to_string()
}

async fn this_month(database: &Database) -> NaiveDate {
    let now: DateTime<Utc> = database.client().await.query_one("SELECT now()", &[]).await.unwrap().get(0);
    now.date_naive().with_day(1).unwrap()
}

fn later(month: NaiveDate, n: u32) -> NaiveDate {
    month.checked_add_months(Months::new(n)).unwrap()
}

fn before(month: NaiveDate, n: u32) -> NaiveDate {
    month.checked_sub_months(Months::new(n)).unwrap()
}

/// Everything that there is, but for what the server does by itself.
async fn everything(client: &Client) -> (BTreeSet<String>, String) {
    let sql = "SELECT concat_ws(' ', (SELECT md5(string_agg(l::text, ';' ORDER BY id)) FROM location AS l),
        (SELECT md5(string_agg(p::text, ';' ORDER BY id)) FROM person AS p),
        (SELECT md5(string_agg(d::text, ';' ORDER BY id)) FROM dead_letter AS d),
        (SELECT md5(string_agg(e::text, ';' ORDER BY id)) FROM event AS e))";
    (tables(client).await, client.query_one(sql, &[]).await.unwrap().get(0))
}

#[tokio::test]
async fn months_ahead_and_those_of_events_have_their_tables() {
    let database = Database::new().await;
    let (client, this) = (database.client().await, this_month(&database).await);
    // From the day before the month after next but three to the day after the next one's end, and one of the past.
    let (begins, ends) = (later(this, 5), later(this, 7).pred_opt().unwrap());
    create(&database, "coming", &["--begins", &begins.to_string(), "--ends", &ends.to_string()]).await;
    let past = before(this, 10).checked_add_days(Days::new(9)).unwrap().to_string();
    create(&database, "past", &["--begins", &past, "--ends", &past]).await;
    // Too far away to have tables already, or still.
    for (slug, day) in [("far", later(this, 30)), ("gone", before(this, 40))] {
        create(&database, slug, &["--begins", &day.to_string(), "--ends", &day.to_string()]).await;
    }
    create(&database, "without-dates", &[]).await;

    let before_it = everything(&client).await;
    let (status, said) = cli(&database, &["maintain", "--months-ahead", "1", "--dry-run"]).await;
    assert!(status == Some(0) && said.contains("would make the table of"), "{said}");
    assert_eq!(everything(&client).await, before_it, "a dry run changes nothing");

    let (status, said) = cli(&database, &["maintain", "--months-ahead", "1"]).await;
    assert_eq!(status, Some(0), "{said}");
    let mut expected: BTreeSet<String> = [0, 1, 4, 5, 6, 7].map(|n| table(later(this, n))).into();
    expected.insert(table(before(this, 10)));
    assert_eq!(tables(&client).await, expected, "{said}");
    let made = said.lines().filter(|line| line.starts_with("made the table of ")).count();
    assert_eq!(made, expected.len() - before_it.0.len(), "{said}");
    // There is nothing left, and nothing is made that has its year's table.
    assert_eq!(cli(&database, &["maintain", "--months-ahead", "1"]).await, (Some(0), "nothing to do\n".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_is_waited_for_while_others_go_on() {
    let database = Database::new().await;
    let (this, mut dumping) = (this_month(&database).await, database.client().await);
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("UPKEEP_INTERVAL", "0")]).await;
    let person = server.person().await;
    // What pg_dump takes, and as long as it takes.
    let dump = dumping.transaction().await.unwrap();
    dump.batch_execute("LOCK TABLE location IN ACCESS SHARE MODE").await.unwrap();
    let next = later(this, 1).format("%Y-%m").to_string();
    let (status, said) = cli(&database, &["maintain", "--wait", "0"]).await;
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains(&format!("{next} has no table yet")) && said.contains("a dump"), "{said}");

    let mut patient = Program::start(&["maintain", "--wait", "86400"], &[("DATABASE_URL", &database.url())]);
    let client = database.client().await;
    let holder = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
        AND objid = (hashtext('udaconnect maintain')::bigint & 4294967295)::oid
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("the patient one", || async {
        let held: i64 = client.query_one(holder, &[]).await.unwrap().get(0);
        (held == 1).then_some(())
    })
    .await;
    for second in 0..40 {
        let location = json!({"person_id": person, "latitude": 1, "longitude": 101,
            "creation_time": format!("2026-06-01T10:00:{second:02}Z")});
        let (status, answer) = server.post("/api/locations", &location).await;
        assert_eq!(status, 201, "{answer}");
    }
    assert!(!patient.has_ended(), "{}", patient.log());
    let (status, said) = cli(&database, &["maintain", "--wait", "86400"]).await;
    assert!(status == Some(0) && said.contains("another upkeep is under way"), "{said}");
    dump.rollback().await.unwrap();
    let ended = patient.ended().await;
    assert!(ended.success(), "{}", patient.log());
    assert!(tables(&client).await.is_superset(&[0, 1, 2].map(|n| table(later(this, n))).into()));
    assert_eq!(database.number("SELECT count(*) FROM location").await, 40);
}

#[tokio::test]
async fn what_cannot_be_made_is_said() {
    let database = Database::new().await;
    let (client, this) = (database.client().await, this_month(&database).await);
    let taken = table(later(this, 1));
    client.batch_execute(&format!("CREATE TABLE {taken} (LIKE location)")).await.unwrap();
    let (status, said) = cli(&database, &["maintain"]).await;
    let reason = format!("there is a table {taken}, which is no partition");
    assert!(status == Some(1) && said.contains(&reason), "{said}");
    // The others are there all the same.
    assert_eq!(tables(&client).await, [0, 2].map(|n| table(later(this, n))).into());
}

/// An event as it is stored: when it ended, in days before now, and for how long its locations are kept.
struct Stored {
    slug: &'static str,
    ended: Option<i32>,
    retention: Option<i32>,
    id: i32,
}

/// Stores events with two persons each, locations in their dates and outside, and letters about them.
async fn stored(client: &Client, locations: i32) -> Vec<Stored> {
    let mut events = Vec::new();
    for (slug, ended, retention) in [
        ("due", Some(40), Some(30)),
        ("just-due", Some(40), Some(40)),
        ("not-yet", Some(40), Some(41)),
        ("for-ever", Some(4_000), None),
        ("no-dates", None, Some(1)),
        ("to-come", Some(-30), Some(1)),
        ("old-and-due", Some(3_000), Some(2_000)),
    ] {
        let sql = "INSERT INTO event (slug, name, begins, ends, retention_days) VALUES ($1, 'Event',
            now() - interval '1 minute' - ($2::integer + 3) * interval '24 hours',
            now() - interval '1 minute' - $2 * interval '24 hours', $3) RETURNING id";
        let id: i32 = client.query_one(sql, &[&slug, &ended, &retention]).await.unwrap().get(0);
        events.push(Stored { slug, ended, retention, id });
    }
    // The first one too, and two that share their places, times and months.
    let first =
        "UPDATE event SET begins = now() - interval '43 days', ends = now() - interval '40 days', retention_days = 39
        WHERE id = 1 RETURNING id";
    let id: i32 = client.query_one(first, &[]).await.unwrap().get(0);
    events.push(Stored { slug: "default", ended: Some(40), retention: Some(39), id });
    for event in &events {
        let rows = format!(
            "INSERT INTO person (event_id, first_name, last_name, company_name)
             SELECT {id}, 'Ada', n::text, 'Engines' FROM generate_series(1, 2) AS n;
             INSERT INTO location (event_id, person_id, creation_time, cell, coordinate)
             SELECT {id}, p.id, now() - interval '41 days' + n * interval '1 second' - (n % 5) * interval '90 days', n,
                 ST_Point(101, 1)
             FROM generate_series(1, {locations}) AS n, (SELECT id FROM person WHERE event_id = {id}) AS p;
             INSERT INTO dead_letter (topic, partition, first_offset, last_offset, key, value, reason, event_id, person_id)
             SELECT 'topic', 0, n, n, '1', 'a location', 'refused', {id}, 1 FROM generate_series(1, 3) AS n",
            id = event.id
        );
        client.batch_execute(&rows).await.unwrap();
    }
    let nobodys = "INSERT INTO dead_letter (topic, partition, first_offset, last_offset, value, reason)
        VALUES ('topic', 0, 9, 9, 'no location', 'refused')";
    client.batch_execute(nobodys).await.unwrap();
    events
}

/// How many locations, persons, letters and letters with contents each event has; -1 is none.
async fn counts(client: &Client) -> BTreeMap<i32, [i64; 4]> {
    let mut counts = BTreeMap::new();
    for (position, sql) in [
        "SELECT event_id, count(*) FROM location GROUP BY 1",
        "SELECT event_id, count(*) FROM person GROUP BY 1",
        "SELECT coalesce(event_id, -1), count(*) FROM dead_letter GROUP BY 1",
        "SELECT coalesce(event_id, -1), count(*) FROM dead_letter WHERE value IS NOT NULL AND reason = 'refused' GROUP BY 1",
    ]
    .into_iter()
    .enumerate()
    {
        for row in client.query(sql, &[]).await.unwrap() {
            counts.entry(row.get(0)).or_insert([0; 4])[position] = row.get(1);
        }
    }
    counts
}

#[tokio::test]
async fn what_is_kept_no_longer_goes_and_nothing_else_does() {
    let database = Database::new().await;
    let client = database.client().await;
    let events = stored(&client, 500).await;
    let mut expected = counts(&client).await;
    let all = everything(&client).await;
    let (status, said) = cli(&database, &["maintain", "--dry-run"]).await;
    assert_eq!((status, everything(&client).await), (Some(0), all), "{said}");
    for event in &events {
        let due = event.ended.zip(event.retention).is_some_and(|(ended, retention)| ended >= retention);
        assert_eq!(said.contains(&format!("locations of {},", event.slug)), due, "{}: {said}", event.slug);
        if due {
            let counted = expected.get_mut(&event.id).unwrap();
            assert_eq!(*counted, [1_000, 2, 3, 3]);
            *counted = [0, 2, 3, 0];
        }
    }
    assert_eq!(expected.values().filter(|counted| counted[0] == 0).count(), 4 + 1, "four, and the letter of nobody");

    let (status, said) = cli(&database, &["maintain"]).await;
    assert_eq!((status, counts(&client).await), (Some(0), expected.clone()), "{said}");
    assert!(said.contains("deleted 1000 locations and emptied 3 dead letters of just-due, kept until "), "{said}");
    // Nothing of a letter is left but what its receipt needs.
    let left = "SELECT count(*) FROM dead_letter WHERE emptied IS NOT NULL AND person_id IS NULL AND key IS NULL
        AND value IS NULL AND reason LIKE '%not kept any longer'";
    assert_eq!(database.number(left).await, 4 * 3);
    assert_eq!(cli(&database, &["maintain"]).await, (Some(0), "nothing to do\n".to_owned()));
    // What is no longer wanted may go earlier; what came late goes with the next pass.
    assert_eq!(cli(&database, &["event", "change", "not-yet", "--retention-days", "1"]).await.0, Some(0));
    let late = format!(
        "INSERT INTO location (event_id, person_id, creation_time, cell, coordinate) SELECT event_id, id, now(), 1, ST_Point(1, 1)
         FROM person WHERE event_id = {}",
        events[0].id
    );
    client.batch_execute(&late).await.unwrap();
    let (status, said) = cli(&database, &["maintain"]).await;
    assert!(status == Some(0) && said.contains("deleted 2 locations and emptied 0 dead letters of due,"), "{said}");
    expected.insert(events[2].id, [0, 2, 3, 0]);
    assert_eq!(counts(&client).await, expected, "{said}");
}

/// Somebody holds a row in the middle: what is before it goes, and the rest waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_that_was_killed_goes_on_and_a_change_of_mind_counts() {
    let database = Database::new().await;
    let (client, mut holding) = (database.client().await, database.client().await);
    // The months first, for whose tables a pass would wait as well.
    let months =
        "SELECT location_ensure_partition((now() + n * interval '1 month')::date) FROM generate_series(-24, 3) AS n";
    client.batch_execute(months).await.unwrap();
    let events = stored(&client, 6_000).await;
    let (due, last) = (&events[0], &events[1]);
    let others = |counts: &BTreeMap<i32, [i64; 4]>| -> Vec<[i64; 4]> {
        let spared =
            events.iter().filter(|event| matches!(event.slug, "not-yet" | "for-ever" | "no-dates" | "to-come"));
        spared.map(|event| counts[&event.id]).collect()
    };
    let spared = others(&counts(&client).await);
    let count = async |event: &Stored| {
        database.number(&format!("SELECT count(*) FROM location WHERE event_id = {}", event.id)).await
    };
    for event in [due, last] {
        let hold = holding.transaction().await.unwrap();
        let held = format!(
            "SELECT FROM location WHERE event_id = {id} AND id = (
                 SELECT id FROM location WHERE event_id = {id} ORDER BY id OFFSET 11000 LIMIT 1) FOR UPDATE",
            id = event.id
        );
        assert_eq!(hold.execute(&held, &[]).await.unwrap(), 1);
        let mut pass = Program::start(&["maintain", "--wait", "86400"], &[("DATABASE_URL", &database.url())]);
        eventually("the first blocks", || async { (count(event).await == 2_000).then_some(()) }).await;
        assert!(!pass.has_ended());
        if event.id == due.id {
            pass.kill().await;
            hold.rollback().await.unwrap();
            assert_eq!(count(event).await, 2_000);
        } else {
            // Not held up by the pass, which asks again and again.
            let (status, said) = cli(&database, &["event", "change", event.slug, "--no-retention"]).await;
            assert_eq!(status, Some(0), "{said}");
            hold.rollback().await.unwrap();
            assert!(pass.ended().await.success(), "{}", pass.log());
            assert_eq!((count(due).await, count(event).await), (0, 2_000));
        }
        assert_eq!(others(&counts(&client).await), spared);
    }
    assert_eq!(counts(&client).await[&last.id], [2_000, 2, 3, 3]);
}

#[tokio::test]
async fn standalone_does_it_by_itself() {
    let database = Database::new().await;
    let (client, this) = (database.client().await, this_month(&database).await);
    let _server = Server::start(&database).await;
    eventually("the month after next has its table", || async {
        tables(&client).await.contains(&table(later(this, 2))).then_some(())
    })
    .await;
}
