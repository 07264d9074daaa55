//! Which times an event takes, at every door; and whose days are asked for.

use super::{about, channel, cli, create, fields, person};
use crate::support::{Database, Produced, Server, TOPIC, Worker, eventually, kafka_variables, location, produce};
use rdkafka::mocking::MockCluster;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;
use udaconnect::codec::proto::location_service_client::LocationServiceClient;
use udaconnect::codec::proto::{RecordLocationRequest, StreamLocationsRequest};

const SANDIA: &str = "/api/events/sandia";

fn june() -> Value {
    json!({"time_zone": "America/Denver", "begins": "2026-06-01", "ends": "2026-06-03"})
}

/// What is a day before its beginning and a day after its end, and what is not.
const TAKEN: [&str; 3] = ["2026-05-31T06:00:00Z", "2026-06-02T12:00:00Z", "2026-06-05T05:59:59.999999Z"];
const REFUSED: [&str; 3] = ["1970-01-01T00:00:00Z", "2026-05-31T05:59:59.999999Z", "2026-06-05T06:00:00Z"];

fn at(person: i64, time: &str) -> Value {
    json!({"person_id": person, "latitude": 35, "longitude": -106.5, "creation_time": time})
}

/// Whether this names the event and its dates.
fn names_the_dates(text: &str) -> bool {
    ["sandia", "2026-06-01T06:00:00Z", "2026-06-04T06:00:00Z"].iter().all(|part| text.contains(part))
}

#[tokio::test]
async fn rest_refuses_what_is_outside_the_dates() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    create(&server, "sandia", june()).await;
    let ada = person(&server, SANDIA).await;
    for time in TAKEN {
        assert_eq!(server.post(&format!("{SANDIA}/locations"), &at(ada, time)).await.0, 201, "{time}");
    }
    for time in REFUSED {
        let (status, problem) = server.post(&format!("{SANDIA}/locations"), &at(ada, time)).await;
        assert_eq!((status, fields(&problem)), (400, vec!["creation_time"]), "{time}");
        assert!(names_the_dates(&problem.to_string()) && problem.to_string().contains(time), "{problem}");
    }
    // With everything else that is wrong.
    let mut wrong = at(ada, REFUSED[0]);
    wrong["latitude"] = json!(95);
    let (_, problem) = server.post(&format!("{SANDIA}/locations"), &wrong).await;
    let mut named = fields(&problem);
    named.sort_unstable();
    assert_eq!(named, ["creation_time", "latitude"], "{problem}");
    let batch: Vec<Value> = TAKEN.iter().chain(&REFUSED).map(|time| at(ada, time)).collect();
    let (status, outcome) = server.post(&format!("{SANDIA}/locations/batch"), &json!(batch)).await;
    assert_eq!((status, &outcome["duplicates"], &outcome["refused"]), (200, &json!(3), &json!(3)));
    assert!(names_the_dates(&outcome["items"][5]["errors"][0]["message"].to_string()), "{outcome}");
    // The event that has no dates takes what is from 2000 on.
    let bob = person(&server, "/api").await;
    assert_eq!(server.post("/api/locations", &at(bob, "2000-01-01T00:00:00Z")).await.0, 201);
    let (status, problem) = server.post("/api/locations", &at(bob, "1999-12-31T23:59:59Z")).await;
    assert!(status == 400 && problem.to_string().contains("2000-01-01"), "{problem}");
    assert_eq!(database.number("SELECT count(*) FROM location").await, 4);
}

#[tokio::test]
async fn grpc_refuses_what_is_outside_the_dates() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    create(&server, "sandia", june()).await;
    let ada = person(&server, SANDIA).await;
    let mut locations = LocationServiceClient::new(channel(&server).await);
    let made = |time: &str, number| {
        let time: chrono::DateTime<chrono::Utc> = time.parse().unwrap();
        let (seconds, nanos) = (time.timestamp(), time.timestamp_subsec_nanos() as i32);
        udaconnect::codec::proto::NewLocation {
            creation_time: Some(prost_types::Timestamp { seconds, nanos }),
            ..location(ada, number)
        }
    };
    for time in REFUSED {
        let request = RecordLocationRequest { location: Some(made(time, 1)) };
        let status = locations.record_location(about("sandia", request)).await.unwrap_err();
        assert!(status.code() == Code::InvalidArgument && names_the_dates(status.message()), "{status:?}");
        let details = status.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "location.creation_time");
    }
    let request = RecordLocationRequest { location: Some(made(TAKEN[0], 1)) };
    locations.record_location(about("sandia", request)).await.unwrap();
    let all = TAKEN.iter().chain(&REFUSED).map(|time| made(time, 2)).collect();
    let messages = tokio_stream::iter([StreamLocationsRequest { locations: all }]);
    let mut stream = locations.stream_locations(about("sandia", messages)).await.unwrap().into_inner();
    let mut refused = Vec::new();
    while let Some(answer) = stream.message().await.unwrap() {
        refused.extend(answer.refused);
    }
    assert_eq!(refused.iter().map(|refused| refused.position).collect::<Vec<_>>(), [4, 5, 6]);
    assert!(refused.iter().all(|refused| names_the_dates(&refused.violations[0].description)), "{refused:?}");
    assert_eq!(database.number("SELECT count(*) FROM location").await, 4);
}

#[tokio::test]
async fn phones_and_files_are_refused_what_is_outside_the_dates() {
    let database = Database::new().await;
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("OWNTRACKS_CREATE", "true")]).await;
    create(&server, "sandia", june()).await;
    let message = |time: &str| {
        let time: chrono::DateTime<chrono::Utc> = time.parse().unwrap();
        json!({"_type": "location", "tid": "AD", "lat": 35.0585, "lon": -106.5819, "tst": time.timestamp()})
    };
    let phone = format!("{SANDIA}/locations/owntracks?u=ada&d=phone");
    assert_eq!(server.post(&phone, &message(TAKEN[1])).await.0, 200);
    // The app would send it again for ever.
    for time in REFUSED {
        assert_eq!(server.post(&phone, &message(time)).await, (200, json!([])), "{time}");
    }
    assert!(names_the_dates(&server.program.log()));
    assert_eq!(database.number("SELECT count(*) FROM location").await, 1);
    let (_, persons) = server.get(&format!("{SANDIA}/persons")).await;
    assert_eq!(persons.as_array().unwrap().len(), 1, "the phone's person is the event's");

    let ada = persons[0]["id"].as_i64().unwrap();
    let mut csv = "person_id,latitude,longitude,time\n".to_owned();
    TAKEN.iter().chain(&REFUSED).for_each(|time| csv.push_str(&format!("{ada},35,-106.5,{time}\n")));
    let file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
    std::fs::write(&file, csv).unwrap();
    let path = file.path().to_str().unwrap();
    let (status, text) = cli(&database, &["import", path, "--person-by", "id", "--event", "sandia"]).await;
    assert!(status == Some(3) && names_the_dates(&text), "{text}");
    assert_eq!(database.number("SELECT count(*) FROM location").await, 4);
    let dry = cli(&database, &["import", path, "--person-by", "id", "--event", "sandia", "--dry-run"]).await;
    assert!(dry.0 == Some(3) && names_the_dates(&dry.1), "{}", dry.1);
}

/// Whoever writes to the topic, with the event or without: its person's dates count.
#[tokio::test]
async fn a_record_outside_the_dates_is_set_aside() {
    let database = Database::new().await;
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, 1, 1).unwrap();
    let server = Server::start(&database).await;
    let sandia = create(&server, "sandia", june()).await;
    let ada = person(&server, SANDIA).await;
    let bob = person(&server, "/api").await;
    let record = |person: i64, time: &str, event: Option<i64>| {
        let mut value = at(person, time);
        if let Some(event) = event {
            value["event_id"] = json!(event);
        }
        let (key, value) = (person.to_string().into_bytes(), value.to_string().into_bytes());
        Produced { key: Some(key), value: Some(value), content_type: Some("application/json") }
    };
    let mut records = Vec::new();
    for time in TAKEN.iter().chain(&REFUSED) {
        records.push(record(ada, time, None));
        records.push(record(ada, time, Some(sandia)));
        records.push(record(bob, time, None));
    }
    records.push(record(bob, TAKEN[0], Some(sandia)));
    let count = records.len() as i64;
    produce(&mock.bootstrap_servers(), TOPIC, &records).await;
    let _worker = Worker::start(&kafka_variables(&database, &mock.bootstrap_servers())).await;
    eventually("the records to be settled", || async {
        (database.number("SELECT coalesce(max(next_offset), 0) FROM kafka_partition").await == count).then_some(())
    })
    .await;
    let of = async |person| database.number(&format!("SELECT count(*) FROM location WHERE person_id = {person}")).await;
    assert_eq!((of(ada).await, of(bob).await), (3, 5), "bob's event has no dates, and 1970 is before 2000");
    let client = database.client().await;
    let rows = client.query("SELECT reason, event_id FROM dead_letter ORDER BY id", &[]).await.unwrap();
    let dead: Vec<(String, Option<i32>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(dead.len(), 6 + 1 + 1, "{dead:?}");
    // 1970 is no event's.
    let of_no_clock = dead.iter().filter(|(reason, _)| reason.contains("before that no clock was set")).count();
    let of_sandia = |(reason, event): &&(String, Option<i32>)| names_the_dates(reason) && *event == Some(sandia as i32);
    assert_eq!((of_no_clock, dead.iter().filter(of_sandia).count()), (3, 4), "{dead:?}");
    let (_, list) = cli(&database, &["dead-letters", "list"]).await;
    assert!(list.lines().next().unwrap().contains("event") && list.contains("sandia"), "{list}");
    // With other dates they can be stored.
    assert_eq!(cli(&database, &["event", "change", "sandia", "--no-dates"]).await.0, Some(0));
    cli(&database, &["dead-letters", "replay", "--all"]).await;
    assert_eq!(of(ada).await, 5, "all but 1970");
}

/// What goes through Kafka is refused before it is queued.
#[tokio::test]
async fn what_is_outside_the_dates_is_not_queued() {
    let database = Database::new().await;
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, 1, 1).unwrap();
    let bootstrap = mock.bootstrap_servers();
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("KAFKA_BOOTSTRAP", &bootstrap)]).await;
    create(&server, "sandia", june()).await;
    let ada = person(&server, SANDIA).await;
    let (status, problem) = server.post(&format!("{SANDIA}/locations"), &at(ada, REFUSED[0])).await;
    assert!(status == 400 && names_the_dates(&problem.to_string()), "{problem}");
    let body = at(ada, TAKEN[0]);
    let response = server.http.post(server.url(&format!("{SANDIA}/locations"))).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let receipt = response.headers()["location"].to_str().unwrap().to_owned();
    assert!(receipt.starts_with("/api/events/sandia/receipts/"), "{receipt}");
    eventually("it to be stored", || async { (server.get(&receipt).await.1["status"] == "stored").then_some(()) })
        .await;
    assert_eq!(server.get(&format!("{SANDIA}/persons/{ada}/locations")).await.1.as_array().unwrap().len(), 1);
}

/// Below an event, days are its zone's; on the old paths UTC's. Either way `tz` says otherwise.
#[tokio::test]
async fn days_are_those_of_the_events_zone() {
    let database = Database::new().await;
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("DEFAULT_EVENT", "sandia")]).await;
    create(
        &server,
        "sandia",
        json!({"time_zone": "America/Denver", "begins": "2026-06-01", "ends": "2026-06-03", "distance_m": 0.5}),
    )
    .await;
    let (ada, bob) = (person(&server, "/api").await, person(&server, "/api").await);
    // Of which 2 June in Denver has the middle two.
    for time in ["2026-06-02T05:59:00Z", "2026-06-02T06:00:00Z", "2026-06-03T05:59:00Z", "2026-06-03T06:00:00Z"] {
        for (person, latitude) in [(ada, 35.0), (bob, 35.00002)] {
            let here = json!({"person_id": person, "latitude": latitude, "longitude": -106.5, "creation_time": time});
            assert_eq!(server.post("/api/locations", &here).await.0, 201);
        }
    }
    let day = "start_date=2026-06-02&end_date=2026-06-02";
    let count = async |path: String| {
        let (status, list) = server.get(&path).await;
        assert_eq!(status, 200, "{path}: {list}");
        list.as_array().unwrap().len()
    };
    let times = async |path: String| -> Vec<String> {
        let (_, list) = server.get(&path).await;
        list.as_array().unwrap().iter().map(|l| l["creation_time"].as_str().unwrap().to_owned()).collect()
    };
    let denver = ["2026-06-02T06:00:00Z", "2026-06-03T05:59:00Z"];
    let utc = ["2026-06-02T05:59:00Z", "2026-06-02T06:00:00Z"];
    for (below, tz, expected) in
        [(SANDIA, "", denver), ("/api", "", utc), (SANDIA, "&tz=UTC", utc), ("/api", "&tz=America/Denver", denver)]
    {
        assert_eq!(times(format!("{below}/persons/{ada}/locations?{day}{tz}")).await, expected, "{below} {tz}");
        let path = format!("{below}/persons/{ada}/connection?{day}{tz}&within=0");
        let (_, near) = server.get(&path).await;
        let near: Vec<&str> =
            near.as_array().unwrap().iter().map(|n| n["location"]["creation_time"].as_str().unwrap()).collect();
        assert_eq!(near, expected, "{path}");
        let path = format!("{below}/persons/{ada}/connections?{day}{tz}&distance=10");
        let (_, met) = server.get(&path).await;
        let end = if expected == denver { "2026-06-03T05:59:00Z" } else { "2026-06-02T06:00:00Z" };
        assert_eq!(met[0]["last_met"], end, "{path}: {met}");
        let path = format!("{below}/persons/{ada}/connections/{bob}?{day}{tz}&distance=10");
        assert_eq!(count(path).await, if expected == denver { 2 } else { 1 });
    }
    let days = async |path: &str| -> Vec<String> {
        let (_, list) = server.get(path).await;
        list.as_array()
            .unwrap()
            .iter()
            .map(|day| format!("{} {}", day["date"].as_str().unwrap(), day["locations"]))
            .collect()
    };
    let mine = |below: &str, query: &str| format!("{below}/persons/{ada}/days{query}");
    assert_eq!(days(&mine(SANDIA, "")).await, ["2026-06-01 1", "2026-06-02 2", "2026-06-03 1"]);
    assert_eq!(days(&mine("/api", "")).await, ["2026-06-02 2", "2026-06-03 2"]);
    assert_eq!(days(&mine(SANDIA, "?tz=UTC")).await, ["2026-06-02 2", "2026-06-03 2"]);

    // Half a metre is the event's rule, below its path alone.
    assert_eq!(count(format!("{SANDIA}/persons/{ada}/connections")).await, 0);
    assert_eq!(count(format!("/api/persons/{ada}/connections")).await, 1);
    assert_eq!(count(format!("{SANDIA}/persons/{ada}/connections?distance=10")).await, 1);
    assert_eq!(count(format!("{SANDIA}/persons/{ada}/connections/{bob}")).await, 0);
    for path in ["locations?", "connections?", &format!("connections/{bob}?"), &format!("connection?{day}&"), "days?"] {
        for tz in ["Mars", "%2B02:00", "america"] {
            let (status, problem) = server.get(&format!("{SANDIA}/persons/{ada}/{path}tz={tz}")).await;
            assert_eq!((status, fields(&problem)), (400, vec!["tz"]), "{path} {tz}: {problem}");
        }
    }
}
