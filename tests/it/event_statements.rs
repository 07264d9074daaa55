//! That several servers could share the events: no statement of the program touches the rows of more than one, but for those
//! that are listed here.

use crate::support::{Asked, Database, Recorder, Server, TOPIC, Worker, eventually, run, skipped};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;
use tokio_postgres::Client;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

/// Statements that are above events, each by its name and how it begins.
const ABOVE_EVENTS: &[(&str, &str)] = &[
    // Producers that know no events name only the person.
    ("the events of persons", "SELECT id, event_id FROM person WHERE id = ANY("),
];

/// What begins a statement that has no plan.
const WITHOUT_PLAN: &[&str] = &["BEGIN", "COMMIT", "ROLLBACK", "SET ", "VACUUM ", "SAVEPOINT", "RELEASE"];

/// The same statement with so many different sets of parameters is enough.
const SETS: usize = 5;

/// The tables that are an event's.
const TABLES: [&str; 2] = ["person", "location"];

/// The tables of events anew in another schema, each divided by the event into four as several servers would have them, with the
/// same columns and indexes; found before the ones that are used.
async fn divide(client: &Client) {
    client.batch_execute("CREATE SCHEMA divided").await.unwrap();
    for table in TABLES {
        let create = format!(
            "CREATE TABLE divided.{table} (LIKE public.{table} INCLUDING DEFAULTS INCLUDING GENERATED)
             PARTITION BY HASH (event_id)"
        );
        client.batch_execute(&create).await.unwrap();
        for part in 0..4 {
            let create = format!(
                "CREATE TABLE divided.{table}_part_{part} PARTITION OF divided.{table}
                 FOR VALUES WITH (MODULUS 4, REMAINDER {part})"
            );
            client.batch_execute(&create).await.unwrap();
        }
        let indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = $1";
        let indexes = client.query(indexes, &[&table]).await.unwrap();
        assert!(indexes.len() >= 3);
        for index in indexes {
            let index: String = index.get(0);
            let index = index
                .replace(&format!("ON ONLY public.{table} "), &format!("ON divided.{table} "))
                .replace(&format!("ON public.{table} "), &format!("ON divided.{table} "));
            client.batch_execute(&index).await.unwrap();
        }
    }
    client.batch_execute("SET search_path = divided, public").await.unwrap();
}

/// A parameter as it was sent.
#[derive(Debug)]
struct Raw(Option<Vec<u8>>);

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(value) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(value);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }

    to_sql_checked!();
}

/// A type that is PostGIS's has no name here; its number is all that is sent.
fn of_number(oid: u32) -> Type {
    Type::from_oid(oid).unwrap_or_else(|| Type::new(String::new(), oid, Kind::Simple, String::new()))
}

/// The parts of the divided tables that the statement's plan looks into.
async fn touched(client: &Client, asked: &Asked) -> BTreeMap<&'static str, BTreeSet<String>> {
    // Types by their numbers, which are the same in both schemas; the server infers what is not given.
    let explain = format!("EXPLAIN {}", asked.sql);
    let types: Vec<Type> = asked.types.iter().map(|oid| of_number(*oid)).collect();
    let statement =
        client.prepare_typed(&explain, &types).await.unwrap_or_else(|error| panic!("{error:?}: {}", asked.sql));
    let values: Vec<Raw> = asked.values.iter().cloned().map(Raw).collect();
    let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
    let rows = client.query(&statement, &parameters).await.unwrap_or_else(|error| panic!("{error:?}: {}", asked.sql));
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut touched: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    for table in TABLES {
        let name = format!(" on {table}_part_");
        for line in &plan {
            if let Some((_, rest)) = line.split_once(&name) {
                touched.entry(table).or_default().insert(rest.chars().take_while(char::is_ascii_digit).collect());
            }
        }
    }
    touched
}

/// Has every role do everything that it can do.
async fn do_everything(database: &Database, recorder: &Recorder) {
    let url = format!("{}?sslmode=disable", database.url_at(recorder.port));
    let tool = async |arguments: &[&str]| {
        let output = run(arguments, &[("DATABASE_URL", &url)]).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    tool(&["seed", "--persons", "3", "--days", "1"]).await;
    tool(&["seed", "--persons", "3", "--days", "1", "--if-empty"]).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("all.csv");
    let file = file.to_str().unwrap();
    tool(&["export", "--output", file]).await;
    tool(&["import", file]).await;
    tool(&["export", "--person", "2", "--output", directory.path().join("one.csv").to_str().unwrap()]).await;
    // Persons by key, who are created, and by name.
    for (file, person, by) in [("keys.csv", "new", "key"), ("names.csv", "new new", "name")] {
        let path = directory.path().join(file);
        let lines = format!("person,latitude,longitude,time\n{person},1,101,2026-06-02T10:00:00Z\n");
        std::fs::write(&path, lines).unwrap();
        // Whatever comes of a name that is nobody's, it was looked for.
        run(&["import", path.to_str().unwrap(), "--person-by", by], &[("DATABASE_URL", &url)]).await;
    }

    let server = Server::with(&[("DATABASE_URL", &url), ("OWNTRACKS_CREATE", "true")]).await;
    let person = server.person().await;
    let location = |minute: u32| json!({"person_id": person, "latitude": 1, "longitude": 101, "creation_time": format!("2026-06-02T10:{minute:02}:00Z")});
    let (status, stored) = server.post("/api/locations", &location(0)).await;
    assert_eq!(status, 201);
    let id = stored["id"].as_i64().unwrap();
    server.post("/api/locations", &location(0)).await;
    server.post("/api/locations/batch", &json!([location(0), location(1), location(2)])).await;
    let phone = json!({"_type": "location", "lat": 35.0, "lon": -106.5, "tst": 1_780_401_600});
    server.post("/api/locations/owntracks?u=eve&d=phone", &phone).await;
    for path in [
        "/api/persons?q=ada".to_owned(),
        "/api/persons?limit=1".to_owned(),
        format!("/api/persons/{person}"),
        format!("/api/locations/{id}"),
        "/api/persons/1/locations?limit=2".to_owned(),
        "/api/persons/1/days?tz=Europe/Berlin".to_owned(),
        "/api/persons/1/connections?distance=10".to_owned(),
        "/api/persons/1/connections?distance=1000&encounters=true".to_owned(),
        "/api/persons/1/connections/2?distance=1000".to_owned(),
        "/api/persons/1/connection?start_date=2026-06-01&end_date=2026-06-30&distance=5".to_owned(),
        "/api/persons/1/connection?start_date=2026-06-01&end_date=2026-06-30&distance=1000".to_owned(),
        "/api/persons/1/connection?start_date=2026-06-01&end_date=2026-06-30&distance=1000&within=PT5M".to_owned(),
    ] {
        assert_eq!(server.get_any(&path).await, 200, "{path}");
    }
    server.pages("/api/persons/1/locations?limit=200").await;
    assert_eq!(server.delete(&format!("/api/locations/{id}")).await.0, 204);
    assert_eq!(server.delete(&format!("/api/persons/{person}")).await.0, 204);

    // Records with their event and without, and letters of both.
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, 1, 1).unwrap();
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", mock.bootstrap_servers()).create().unwrap();
    for (number, (who, event)) in (0..).zip([(1, None), (2, Some(1)), (2, Some(2)), (999, None)]) {
        let value = json!({"person_id": who, "event_id": event, "latitude": 1, "longitude": 101,
            "creation_time": format!("2026-06-03T10:{number:02}:00Z")});
        let (key, value) = (who.to_string(), value.to_string());
        producer.send(FutureRecord::to(TOPIC).key(&key).payload(&value), Duration::from_secs(60)).await.unwrap();
    }
    let worker = Worker::start(&[("DATABASE_URL", url.clone()), ("KAFKA_BOOTSTRAP", mock.bootstrap_servers())]).await;
    eventually("four records", || async {
        (database.number("SELECT coalesce(max(next_offset), 0) FROM kafka_partition").await == 4).then_some(())
    })
    .await;
    drop(worker);
    assert_eq!(database.number("SELECT count(*) FROM dead_letter").await, 2);
    run(&["dead-letters", "list"], &[("DATABASE_URL", &url)]).await;
    run(&["dead-letters", "replay", "--all"], &[("DATABASE_URL", &url)]).await;
    run(&["dead-letters", "discard", "1"], &[("DATABASE_URL", &url)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_touches_the_rows_of_one_event() {
    let database = Database::new().await;
    let recorder = Recorder::to(database.port()).await;
    do_everything(&database, &recorder).await;
    let client = database.client().await;
    divide(&client).await;

    let (mut seen, mut sets): (HashSet<Asked>, BTreeMap<String, usize>) = (HashSet::new(), BTreeMap::new());
    let (mut wrong, mut excused) = (BTreeSet::new(), BTreeSet::new());
    let mut reading = 0;
    for asked in recorder.asked() {
        let sql = asked.sql.trim_start().replace('"', "");
        if WITHOUT_PLAN.iter().any(|begin| sql.starts_with(begin)) || !seen.insert(asked.clone()) {
            continue;
        }
        let set = sets.entry(sql.clone()).or_default();
        *set += 1;
        if *set > SETS {
            continue;
        }
        let inserts = TABLES.iter().any(|table| sql.contains(&format!("INSERT INTO {table} ")));
        if inserts && !sql.contains("event_id") {
            wrong.insert(format!("an insert that names no event: {sql}"));
        }
        let touched = touched(&client, &asked).await;
        reading += usize::from(!touched.is_empty());
        if touched.values().any(|parts| parts.len() > 1) {
            match ABOVE_EVENTS.iter().find(|(_, begin)| sql.starts_with(begin)) {
                Some((name, _)) => _ = excused.insert(*name),
                None => _ = wrong.insert(format!("{touched:?}: {sql}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(excused.len(), ABOVE_EVENTS.len(), "a statement that is listed was not asked: {excused:?}");
    // Were there none, nothing would be wrong either.
    assert!(reading > 20, "{reading} of {}", sets.len());
    // That a statement of several events is found.
    let every = Asked { sql: "SELECT id FROM person WHERE id = 1".to_owned(), ..Asked::default() };
    assert_eq!(touched(&client, &every).await["person"].len(), 4);
}

#[tokio::test]
async fn without_citus_distributing_says_what_is_missing() {
    let database = Database::new().await;
    let output = run(&["migrate", "--distribute"], &[("DATABASE_URL", &database.url())]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("extension citus"), "{output:?}");
    // And changes nothing.
    let output = run(&["migrate", "--check"], &[("DATABASE_URL", &database.url())]).await;
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn events_are_divided_among_the_servers_of_a_citus_cluster() {
    let Ok(url) = std::env::var("UDACONNECT_TEST_CITUS_URL") else {
        skipped(
            "a Citus cluster",
            "UDACONNECT_TEST_CITUS_URL names none; it is a database of its own, without any table",
        );
        return;
    };
    let output = run(&["migrate", "--distribute"], &[("DATABASE_URL", &url)]).await;
    assert!(output.status.success(), "{output:?}");
    let server = Server::with(&[("DATABASE_URL", &url)]).await;
    let person = server.person().await;
    let location =
        json!({"person_id": person, "latitude": 1, "longitude": 101, "creation_time": "2026-06-02T10:00:00Z"});
    assert_eq!(server.post("/api/locations", &location).await.0, 201);
    assert_eq!(server.post("/api/locations", &location).await.0, 201);
    let (status, listed) = server.get(&format!("/api/persons/{person}/locations")).await;
    assert_eq!((status, listed.as_array().unwrap().len()), (200, 1));
    for path in ["connections?distance=10", "days", "connection?start_date=2026-06-01&end_date=2026-06-30&distance=5"] {
        assert_eq!(server.get_any(&format!("/api/persons/{person}/{path}")).await, 200, "{path}");
    }
    assert_eq!(server.delete(&format!("/api/persons/{person}")).await.0, 204);
}
