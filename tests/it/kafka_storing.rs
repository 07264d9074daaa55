//! What a consumer stores and what it sets aside, against librdkafka's mock cluster and a database that misbehaves.

use crate::support::{Database, Server, TOPIC, Worker, command, eventually, kafka_variables};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use serde_json::{Value, json};
use std::time::Duration;

type Mock = MockCluster<'static, DefaultProducerContext>;

fn cluster() -> Mock {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, 1, 1).unwrap();
    mock
}

/// Writes JSON records, each with a key, a value and its own time in milliseconds; returns the last one's offset.
async fn write(mock: &Mock, records: &[(Vec<u8>, Vec<u8>, i64)]) -> i64 {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", mock.bootstrap_servers())
        .set("message.max.bytes", "30000000")
        .create()
        .unwrap();
    let mut last = 0;
    for (key, value, timestamp) in records {
        let headers = OwnedHeaders::new().insert(Header { key: "content-type", value: Some("application/json") });
        let record = FutureRecord::to(TOPIC).key(key).payload(value).timestamp(*timestamp).headers(headers);
        let sent = producer.send(record, Duration::from_secs(60)).await.map_err(|(error, _)| error).unwrap();
        last = sent.offset;
    }
    last
}

fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

fn at(millis: i64) -> Value {
    chrono::DateTime::from_timestamp_millis(millis).unwrap().to_rfc3339().into()
}

fn location(person: i64, number: i64) -> Value {
    json!({"person_id": person, "latitude": 35.5, "longitude": -106.5 - number as f64 / 1e6, "creation_time": "2026-06-02T10:00:00Z"})
}

fn record(value: &Value) -> (Vec<u8>, Vec<u8>, i64) {
    (value["person_id"].to_string().into_bytes(), value.to_string().into_bytes(), now())
}

async fn persons(database: &Database, count: i64) {
    let sql = format!(
        "INSERT INTO person (first_name, last_name, company_name) SELECT 'a', 'b', 'c' FROM generate_series(1, {count})"
    );
    database.client().await.batch_execute(&sql).await.unwrap();
}

/// Until everything before this offset is settled.
async fn settled(database: &Database, last: i64) {
    eventually(&format!("offset {last} to be settled"), || async {
        let sql = "SELECT coalesce(max(next_offset), 0) FROM kafka_partition";
        (database.number(sql).await > last).then_some(())
    })
    .await;
}

async fn errors(worker: &Worker) -> f64 {
    let mut sum = worker.metric("udaconnect_consume_errors_total").await;
    for reason in ["unavailable", "timed out", "internal", "refused"] {
        sum += worker.metric(&format!("udaconnect_consume_errors_total{{reason=\"{reason}\"}}")).await;
    }
    sum
}

#[tokio::test]
async fn a_location_is_judged_by_its_records_time_and_by_no_other_clock() {
    let (database, mock) = (Database::new().await, cluster());
    persons(&database, 1).await;
    let made = |number: i64, time: i64| {
        let mut location = location(1, number);
        location["creation_time"] = at(time);
        location
    };
    let minute = 60_000;
    let of = |value: Value, timestamp: i64| (b"1".to_vec(), value.to_string().into_bytes(), timestamp);
    let mut records = Vec::new();
    // To whoever took these, this machine's clock is slow by some minutes, or by a year.
    for (number, ahead) in (0..).zip([10 * minute, 400 * 24 * 60 * minute]) {
        records.push(of(made(number, now() + ahead + 4 * minute), now() + ahead));
    }
    // The record's own time says nothing; the location's does.
    records.push(of(made(10, now()), 1));
    records.push(of(made(11, now()), 4_200_000_000_000));
    let good = records.len() as i64;
    // Six minutes after it was recorded, and long before now.
    records.push(of(made(20, 1_600_000_360_000), 1_600_000_000_000));
    // No time at all.
    let mut none = location(1, 21);
    none["creation_time"] = Value::Null;
    records.push(of(none, 1));
    let last = write(&mock, &records).await;
    let _worker = Worker::start(&kafka_variables(&database, &mock.bootstrap_servers())).await;
    settled(&database, last).await;
    let letters: Vec<(i64, String)> = database
        .client()
        .await
        .query("SELECT first_offset, reason FROM dead_letter ORDER BY first_offset", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let offsets: Vec<i64> = letters.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, [good, good + 1], "{letters:?}");
    assert!(letters.iter().all(|(_, reason)| reason.starts_with("creation_time: ")), "{letters:?}");
    assert_eq!(database.number("SELECT count(*) FROM location").await, good);
}

/// Makes storing a location of person 2, or a dead letter, fail with the SQLSTATE in a table.
const FAULTS: &str = "
    CREATE TABLE fault (code text, letters boolean);
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE wanted text;
    BEGIN
        SELECT code INTO wanted FROM fault WHERE letters = (TG_TABLE_NAME = 'dead_letter');
        IF wanted IS NOT NULL AND (TG_TABLE_NAME = 'dead_letter' OR NEW.person_id = 2) THEN
            RAISE EXCEPTION 'the database system is full of deadlock detected 22001' USING ERRCODE = wanted;
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER fail BEFORE INSERT ON location FOR EACH ROW EXECUTE FUNCTION fail();
    CREATE TRIGGER fail BEFORE INSERT ON dead_letter FOR EACH ROW EXECUTE FUNCTION fail();";

#[tokio::test]
async fn only_what_the_database_has_against_a_record_sets_it_aside() {
    let (database, mock) = (Database::new().await, cluster());
    persons(&database, 2).await;
    let client = database.client().await;
    client.batch_execute(FAULTS).await.unwrap();
    let worker = Worker::start(&kafka_variables(&database, &mock.bootstrap_servers())).await;
    worker.owns(1).await;
    let mut stored = 0;
    // Disk full, out of memory, starting up, I/O error, a time limit, a lock that is not to be had, a deadlock, no permission,
    // no such table, a defect.
    for code in ["53100", "53200", "57P03", "58030", "57014", "55P03", "40P01", "42501", "42P01", "XX000"] {
        client.batch_execute(&format!("DELETE FROM fault; INSERT INTO fault VALUES ('{code}', false)")).await.unwrap();
        let before = errors(&worker).await;
        let last = write(&mock, &[record(&location(1, stored)), record(&location(2, stored))]).await;
        eventually(&format!("{code} to be met again and again"), || async {
            (errors(&worker).await >= before + 7.0).then_some(())
        })
        .await;
        let (status, said) = worker.ready().await;
        assert!(status == 503 && said["checks"]["storing"] != "ok", "{code}: {said}");
        assert_eq!(worker.metric("udaconnect_consume_partitions_waiting").await, 1.0);
        assert_eq!(database.number("SELECT count(*) FROM dead_letter").await, 0, "{code}");
        client.batch_execute("DELETE FROM fault").await.unwrap();
        settled(&database, last).await;
        stored += 2;
        assert_eq!(database.number("SELECT count(*) FROM location").await, stored, "{code}");
        assert_eq!(database.number("SELECT count(*) FROM dead_letter").await, 0, "{code}");
    }
    eventually("readiness", || async { (worker.ready().await.0 == 200).then_some(()) }).await;
    let mut letters = 0;
    for code in ["22003", "22021", "23514", "23505", "23502", "54000"] {
        client.batch_execute(&format!("DELETE FROM fault; INSERT INTO fault VALUES ('{code}', false)")).await.unwrap();
        let mut records: Vec<_> = (0..20).map(|number| record(&location(1, 1_000 * stored + number))).collect();
        records.insert(7, record(&location(2, 1_000 * stored)));
        let last = write(&mock, &records).await;
        settled(&database, last).await;
        stored += 20;
        letters += 1;
        assert_eq!(database.number("SELECT count(*) FROM location").await, stored, "{code}");
        assert_eq!(database.number("SELECT count(*) FROM dead_letter").await, letters, "{code}");
        let newest = "SELECT reason FROM dead_letter ORDER BY id DESC LIMIT 1";
        let reason: String = client.query_one(newest, &[]).await.unwrap().get(0);
        assert!(reason.starts_with("the database refuses it") && reason.contains(code), "{code}: {reason}");
    }
}

#[tokio::test]
async fn a_lock_that_is_held_for_long_makes_no_dead_letters() {
    let (database, mock) = (Database::new().await, cluster());
    persons(&database, 1).await;
    let mut variables = kafka_variables(&database, &mock.bootstrap_servers());
    variables[0].1.push_str("?options=-c%20statement_timeout%3D100ms");
    let worker = Worker::start(&variables).await;
    worker.owns(1).await;
    let holder = database.client().await;
    holder.batch_execute("BEGIN; LOCK TABLE location IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let records: Vec<_> = (0..50).map(|number| record(&location(1, number))).collect();
    let last = write(&mock, &records).await;
    eventually("time-outs", || async { (errors(&worker).await >= 15.0).then_some(()) }).await;
    holder.batch_execute("COMMIT").await.unwrap();
    settled(&database, last).await;
    assert_eq!(database.number("SELECT count(*) FROM location").await, 50);
    assert_eq!(database.number("SELECT count(*) FROM dead_letter").await, 0);
}

#[tokio::test]
async fn a_partition_moves_on_whatever_is_in_a_record() {
    let (database, mock) = (Database::new().await, cluster());
    persons(&database, 1).await;
    let huge = |byte: u8, size: usize| vec![byte; size];
    let records = vec![
        // Longer than anything worth keeping; NUL in a text; no UTF-8; a time before PostgreSQL's.
        (b"1".to_vec(), huge(b'x', 1_000_000), now()),
        (huge(b'k', 500_000), b"{}".to_vec(), now()),
        (huge(0, 2_000), b"{\"person_id\": \"\\u0000\", \"latitude\": \"\\u0000\", \"longitude\": 1}".to_vec(), now()),
        (huge(0xff, 19), huge(0xff, 100), now()),
        (b"9999999999999999999".to_vec(), b"{}".to_vec(), now()),
        (b"9223372036854775807".to_vec(), b"{\"person_id\": 9223372036854775807}".to_vec(), now()),
        (b"1".to_vec(), b"{}".to_vec(), -250_000_000_000_000),
        record(&location(1, 1)),
    ];
    let last = write(&mock, &records).await;
    let worker = Worker::start(&kafka_variables(&database, &mock.bootstrap_servers())).await;
    settled(&database, last).await;
    assert_eq!(database.number("SELECT count(*) FROM location").await, 1);
    let letters =
        database.client().await.query("SELECT first_offset, last_offset, reason FROM dead_letter", &[]).await.unwrap();
    let letters: Vec<(i64, i64, String)> = letters.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let settled_ones: i64 = letters.iter().map(|letter| letter.1 - letter.0 + 1).sum();
    assert_eq!(settled_ones, 7, "{letters:?}");
    let cut = "SELECT count(*) FROM dead_letter WHERE value_length = 1000000 AND octet_length(value) = 65536";
    assert_eq!(database.number(cut).await, 1, "{letters:?}");
    let shown = crate::support::run(&["dead-letters", "show", "1"], &[("DATABASE_URL", &database.url())]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("(1000000 bytes in all)") && shown.len() < 10_000, "{}", shown.len());
    drop(worker);

    // A database that refuses letters: first what is in them, then letters as such.
    let client = database.client().await;
    client.batch_execute(FAULTS).await.unwrap();
    client
        .batch_execute(
            "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF NEW.value IS NOT NULL OR NEW.record_time IS NOT NULL THEN
                     RAISE EXCEPTION 'no' USING ERRCODE = '22000'; END IF;
                 RETURN NEW; END $$;
             DROP TRIGGER fail ON location;",
        )
        .await
        .unwrap();
    let worker = Worker::start(&kafka_variables(&database, &mock.bootstrap_servers())).await;
    let bad = (b"1".to_vec(), b"bad".to_vec(), now());
    let last = write(&mock, &[bad.clone(), record(&location(1, 2))]).await;
    settled(&database, last).await;
    assert_eq!(database.number("SELECT count(*) FROM location").await, 2);
    assert_eq!(
        database.number("SELECT count(*) FROM dead_letter WHERE reason LIKE '%nothing else of it is kept%'").await,
        1
    );
    client
        .batch_execute(
            "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '54000'; END $$",
        )
        .await
        .unwrap();
    let last = write(&mock, &[bad, record(&location(1, 3))]).await;
    settled(&database, last).await;
    assert_eq!(database.number("SELECT count(*) FROM location").await, 3);
    assert_eq!(worker.metric("udaconnect_consume_lost_total").await, 1.0);
}

/// Everything in a database, as text.
async fn everything(database: &Database) -> String {
    let client = database.client().await;
    let rows = client
        .query("SELECT row_to_json(d)::text || coalesce(encode(d.value, 'escape'), '') FROM dead_letter AS d", &[])
        .await
        .unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

async fn standalone(database: &Database, mock: &Mock) -> Server {
    let (url, bootstrap) = (database.url(), mock.bootstrap_servers());
    let server = Server::with(&[("DATABASE_URL", &url), ("KAFKA_BOOTSTRAP", &bootstrap)]).await;
    eventually("readiness", || async { (server.get_any("/readyz").await == 200).then_some(()) }).await;
    server
}

#[tokio::test]
async fn erasing_a_person_erases_what_dead_letters_hold_of_them() {
    let (database, mock) = (Database::new().await, cluster());
    let server = standalone(&database, &mock).await;
    let (erased, kept) = (server.person().await, server.person().await);
    let text =
        |person: i64, latitude: &str| json!({"person_id": person, "latitude": latitude, "longitude": 1}).to_string();
    let keyed = |key: i64, value: String| (key.to_string().into_bytes(), value.into_bytes(), now());
    let letters = vec![
        keyed(erased, text(erased, "secret-both")),
        keyed(kept, text(erased, "secret-value")),
        keyed(erased, text(kept, "secret-key")),
        keyed(erased, "secret-unreadable".to_owned()),
        keyed(kept, text(kept, "another's")),
    ];
    let last = write(&mock, &letters).await;
    settled(&database, last).await;
    let before = everything(&database).await;
    for secret in ["secret-both", "secret-value", "secret-key", "secret-unreadable"] {
        assert!(before.contains(secret), "{secret}: {before}");
    }
    assert_eq!(server.delete(&format!("/api/persons/{erased}")).await.0, 204);
    let after = everything(&database).await;
    assert!(!after.contains("secret") && after.contains("another's"), "{after}");
    // What was on its way when they were erased.
    let late =
        json!({"person_id": erased, "latitude": 12.345678, "longitude": 1, "creation_time": "2026-06-02T10:00:00Z"});
    let last = write(&mock, &[record(&late), keyed(erased, text(erased, "secret-late"))]).await;
    settled(&database, last).await;
    let after = everything(&database).await;
    assert!(!after.contains("secret") && !after.contains("12.345678"), "{after}");
    for offset in [0, 1, 2, 3, 4, 5, 6] {
        let (_, answer) = server.get(&format!("/api/receipts/0-{offset}")).await;
        assert_eq!(answer["status"], "rejected", "{answer}");
    }
    // Somebody who is still to be added is no erased person.
    let next = kept + 1;
    let last = write(&mock, &[record(&location(next, 1))]).await;
    settled(&database, last).await;
    assert_eq!(server.person().await, next);
    let replayed =
        crate::support::run(&["dead-letters", "replay", "--all"], &[("DATABASE_URL", &database.url())]).await;
    assert!(String::from_utf8_lossy(&replayed.stdout).contains("1 stored"), "{replayed:?}");
    // Nothing that is replayed comes back to an erased person.
    assert_eq!(database.number("SELECT count(*) FROM location").await, 1);
}

#[tokio::test]
async fn dead_letters_are_discarded_and_kept_within_bounds_and_receipts_stay_true() {
    let (database, mock) = (Database::new().await, cluster());
    let server = standalone(&database, &mock).await;
    server.person().await;
    let records: Vec<_> = (0..30).map(|number| record(&location(1_000, number))).collect();
    let last = write(&mock, &records).await;
    let last = last.max(write(&mock, &[record(&location(1, 1))]).await);
    settled(&database, last).await;
    let receipt = async |offset: i64| server.get(&format!("/api/receipts/0-{offset}")).await;
    assert_eq!(receipt(30).await.1["status"], "stored");
    let url = database.url();
    let tool = async |arguments: &[&str]| {
        let output = crate::support::run(&[&["dead-letters"], arguments].concat(), &[("DATABASE_URL", &url)]).await;
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(tool(&["discard", "1", "2"]).await, (true, "2 discarded\n".to_owned()));
    assert_eq!(tool(&["discard", "2", "3"]).await, (false, "1 discarded\n".to_owned()));
    assert_eq!(tool(&["discard", "--older-than", "P1D"]).await, (true, "0 discarded\n".to_owned()));
    assert!(!tool(&["discard"]).await.0, "which ones must be said");
    assert_eq!(tool(&["list"]).await.1.lines().count(), 1 + 27);
    let (_, answer) = receipt(0).await;
    assert_eq!(answer["status"], "rejected");
    assert!(answer["reason"].as_str().unwrap().contains("discarded"), "{answer}");
    // Not any more, and not less.
    let (replayed, text) = tool(&["replay", "1"]).await;
    assert!(!replayed && text.contains("discarded"), "{text}");
    drop(server);

    // Rows beyond a number are dropped, then those that are too old; their receipts are not known any more.
    let mut variables = kafka_variables(&database, &mock.bootstrap_servers());
    variables.push(("DEAD_LETTERS_MOST", "10".to_owned()));
    let worker = Worker::start(&variables).await;
    let rows = async || database.number("SELECT count(*) FROM dead_letter").await;
    eventually("ten letters", || async { (rows().await == 10).then_some(()) }).await;
    eventually("the metrics", || async {
        let dropped = worker.metric("udaconnect_dead_letters_dropped_total{reason=\"room\"}").await;
        (dropped == 20.0 && worker.metric("udaconnect_dead_letters").await == 10.0).then_some(())
    })
    .await;
    drop(worker);
    let server = standalone(&database, &mock).await;
    let receipt = async |offset: i64| server.get(&format!("/api/receipts/0-{offset}")).await;
    assert_eq!(receipt(0).await.0, 404);
    assert_eq!(receipt(29).await.1["status"], "rejected");
    assert_eq!(receipt(30).await.1["status"], "stored");
    drop(server);
    database
        .client()
        .await
        .batch_execute("UPDATE dead_letter SET time = now() - interval '31 days' WHERE first_offset < 25")
        .await
        .unwrap();
    let worker = Worker::start(&kafka_variables(&database, &mock.bootstrap_servers())).await;
    eventually("the youngest letters", || async { (rows().await == 5).then_some(()) }).await;
    drop(worker);
    assert_eq!(tool(&["discard", "--all"]).await, (true, "5 discarded\n".to_owned()));
    assert_eq!(rows().await, 5, "their receipts stay true");
}

#[tokio::test]
async fn dead_letters_are_listed_and_replayed_in_little_memory_and_without_harm_to_a_terminal() {
    let database = Database::new().await;
    let client = database.client().await;
    // As an older version left them: 600 values of a megabyte, and one reason that takes over a terminal.
    client
        .batch_execute(
            "INSERT INTO dead_letter (topic, partition, first_offset, last_offset, key, value, reason)
             SELECT 't', 0, n, n, convert_to(repeat('k', 100000), 'UTF8'), convert_to(repeat('x', 1000000), 'UTF8'), 'bad'
             FROM generate_series(1, 600) AS n;
             INSERT INTO dead_letter (topic, partition, first_offset, last_offset, value, reason)
             VALUES ('t', 0, 601, 601, '\\x1b5d303b7a1b5c', E'value: got \\x1b]0;owned\\x07 \\u202e \\u200b end')",
        )
        .await
        .unwrap();
    let url = database.url();
    let tool = async |arguments: &[&str]| {
        let mut command = command(&[&["dead-letters"], arguments].concat());
        command.env("DATABASE_URL", &url);
        // Safe: setrlimit may be called between fork and exec.
        unsafe {
            command.pre_exec(|| {
                let limit = libc::rlimit { rlim_cur: 192 << 20, rlim_max: 192 << 20 };
                match libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await.expect("an end").unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.chars().any(|c| c != '\n' && (c.is_control() || "\u{202e}\u{200b}".contains(c))), "{text:?}");
        (output.status.code(), text)
    };
    let (code, text) = tool(&["list", "--limit", "1000"]).await;
    assert_eq!((code, text.lines().count()), (Some(0), 602));
    assert!(text.contains(r"\u{1b}]0;owned\u{7} \u{202e} \u{200b} end"), "{text}");
    let (code, text) = tool(&["show", "601"]).await;
    assert!(code == Some(0) && text.contains("1b5d303b7a1b5c"), "{text}");
    let (code, text) = tool(&["show", "1"]).await;
    assert!(code == Some(0) && text.len() < 20_000 && text.contains("(1000000 bytes in all)"), "{}", text.len());
    let (code, text) = tool(&["replay", "--all"]).await;
    assert!(code == Some(1) && text.contains("0 stored, 601 still cannot be"), "{text}");
}
