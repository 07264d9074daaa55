//! That several servers could share the events: no statement of the program touches the rows of more than one, but for those
//! that are listed here.

use crate::support::recorder::{Asked, Recorder, asked_by_the_suite};
use crate::support::{Database, Geography, Server, TABLES, TOPIC, Worker, divide, eventually, run, skipped, touched};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tokio_postgres::Client;

/// Statements that are above events, each by its name and how it begins.
const ABOVE_EVENTS: &[(&str, &str)] = &[
    // Producers that know no events name only the person.
    ("the events of persons", "SELECT id, event_id FROM person WHERE id = ANY("),
];

/// Roles whose statements are above events, each by what it calls itself, and why.
const ROLES_ABOVE_EVENTS: &[(&str, &str)] =
    &[("udaconnect migrate", "makes and changes the tables, and gives old rows their event")];

/// Statements that cannot be explained afterwards, each by how it begins, and why.
const NOT_EXPLAINED: &[(&str, &str)] = &[];

/// What begins a statement that has no plan.
const WITHOUT_PLAN: &[&str] = &["BEGIN", "COMMIT", "ROLLBACK", "SET ", "VACUUM ", "SAVEPOINT", "RELEASE"];

/// What came of looking at statements.
#[derive(Debug, Default)]
struct Looked {
    /// Those that touch the rows of several events, or could not be explained.
    wrong: BTreeSet<String>,
    /// Those that are listed, and were asked.
    above_events: BTreeSet<&'static str>,
    /// Why others were not explained, with how many.
    not_explained: BTreeMap<&'static str, usize>,
    /// Different texts.
    texts: BTreeSet<String>,
    /// How many plans read or wrote rows of events.
    reading: usize,
}

/// The single statements of what was asked: without parameters there may be several in one text.
fn single(asked: Asked) -> Vec<Asked> {
    if !asked.types.is_empty() || !without_plan(&asked.sql) {
        return vec![asked];
    }
    let parts = asked.sql.split(';').filter(|part| !part.trim().is_empty());
    parts.map(|sql| Asked { sql: sql.trim().to_owned(), ..asked.clone() }).collect()
}

fn without_plan(sql: &str) -> bool {
    WITHOUT_PLAN.iter().any(|begin| sql.trim_start().starts_with(begin))
}

/// Explains statements where every table of events is divided.
async fn look(client: &Client, asked: Vec<Asked>) -> Looked {
    let (mut looked, geography) = (Looked::default(), Geography::of(client).await);
    for asked in asked.into_iter().flat_map(single) {
        let sql = asked.sql.trim_start().replace('"', "");
        if let Some((_, why)) = ROLES_ABOVE_EVENTS.iter().find(|(role, _)| *role == asked.application) {
            *looked.not_explained.entry(why).or_default() += 1;
            continue;
        }
        if without_plan(&sql) {
            continue;
        }
        let inserts = TABLES.iter().any(|table| sql.contains(&format!("INSERT INTO {table} ")));
        if inserts && !sql.contains("event_id") {
            looked.wrong.insert(format!("an insert that names no event: {sql}"));
        }
        match touched(client, &geography.here(asked.clone())).await {
            Ok(touched) => {
                looked.reading += usize::from(!touched.is_empty());
                if touched.values().any(|parts| parts.len() > 1) {
                    match ABOVE_EVENTS.iter().find(|(_, begin)| sql.starts_with(begin)) {
                        Some((name, _)) => _ = looked.above_events.insert(*name),
                        None => {
                            _ = looked.wrong.insert(format!("{touched:?}, asked by {}: {sql}", asked.application));
                        }
                    }
                }
            }
            Err(error) => match NOT_EXPLAINED.iter().find(|(begin, _)| sql.starts_with(begin)) {
                Some((_, why)) => *looked.not_explained.entry(why).or_default() += 1,
                None => {
                    let said = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
                    looked.wrong.insert(format!("{said}, asked by {}: {sql}", asked.application));
                }
            },
        }
        looked.texts.insert(sql);
    }
    looked
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

    let dates = ["--begins", "2020-06-01", "--ends", "2020-06-03", "--retention-days", "30"];
    tool(&[&["event", "create", "over", "--name", "Over"], &dates[..]].concat()).await;
    tool(&["maintain", "--dry-run"]).await;
    tool(&["maintain"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_touches_the_rows_of_one_event() {
    let database = Database::new().await;
    let recorder = Recorder::to(database.port()).await;
    do_everything(&database, &recorder).await;
    let client = database.client().await;
    divide(&client).await;

    let looked = look(&client, recorder.asked()).await;
    assert!(looked.wrong.is_empty(), "{:#?}", looked.wrong);
    let listed = looked.above_events.len();
    assert_eq!(listed, ABOVE_EVENTS.len(), "a statement that is listed was not asked: {:?}", looked.above_events);
    // Were there none, nothing would be wrong either.
    assert!(looked.reading > 20, "{} of {}", looked.reading, looked.texts.len());
    // That a statement of several events is found.
    let every = Asked { sql: "SELECT id FROM person WHERE id = 1".to_owned(), ..Asked::default() };
    assert_eq!(touched(&client, &every).await.unwrap()["person"].len(), 4);
}

#[tokio::test]
#[ignore = "looks at what the other tests asked; make test runs it after them"]
async fn statements_of_the_whole_suite_touch_one_event() {
    let directory = std::env::var("UDACONNECT_TEST_STATEMENTS").unwrap_or_default();
    let asked = asked_by_the_suite(Path::new(&directory));
    if asked.is_empty() {
        skipped(
            "the statements of the whole suite",
            "there are none in the directory that UDACONNECT_TEST_STATEMENTS names for the tests before this one",
        );
        return;
    }
    let database = Database::new().await;
    let client = database.client().await;
    divide(&client).await;
    let looked = look(&client, asked).await;
    assert!(looked.wrong.is_empty(), "{:#?}", looked.wrong);
    eprintln!(
        "{} statements, {} plans with rows of events; above events: {:?}; not explained: {:?}",
        looked.texts.len(),
        looked.reading,
        looked.above_events,
        looked.not_explained
    );
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
