//! Values at the edges of what they may be, by every way in: a 4xx or INVALID_ARGUMENT that names the field, or one meaning.

use crate::support::{Database, Server, command, run};
use prost_types::{Duration, Timestamp};
use serde_json::{Value, json};
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt;
use udaconnect::codec::Listed;
use udaconnect::codec::proto::connection_service_client::ConnectionServiceClient;
use udaconnect::codec::proto::location_service_client::LocationServiceClient;
use udaconnect::codec::proto::person_service_client::PersonServiceClient;
use udaconnect::codec::proto::{
    CreatePersonRequest, EncounterRule, ListConnectionsRequest, ListEncountersRequest, ListLocationsRequest,
    ListPersonsRequest, NewLocation, RecordLocationRequest,
};
use udaconnect::domain::{PersonId, TimeRange};

async fn channel(server: &Server) -> Channel {
    Channel::from_shared(server.grpc.clone()).unwrap().connect().await.unwrap()
}

/// The fields that a status says are wrong; it must be INVALID_ARGUMENT.
fn violations(status: &tonic::Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    details.bad_request().unwrap().field_violations.iter().map(|violation| violation.field.clone()).collect()
}

/// The fields that a problem says are wrong.
fn fields(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

/// A path with parameters, escaped.
async fn ask(server: &Server, path: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
    let url = reqwest::Url::parse_with_params(&server.url(path), parameters).unwrap();
    let answer = server.http.get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_search_has_bounds_by_rest_and_grpc() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    server.person().await;
    let mut client = PersonServiceClient::new(channel(&server).await);
    // The first once overflowed the stack and ended the process.
    let queries = ["a ".repeat(8_171), "x".repeat(201), "a ".repeat(21), "a\0b".into(), "a\nb".into(), "\u{9b}".into()];
    for query in &queries {
        let request = ListPersonsRequest { query: query.clone(), ..Default::default() };
        let status = client.list_persons(request).await.unwrap_err();
        assert_eq!(violations(&status), ["query"], "{status:?}");
        assert!(status.message().len() < 200, "{status:?}");
        let (status, problem) = ask(&server, "/api/persons", &[("q", query)]).await;
        assert_eq!((status, fields(&problem)), (400, vec!["q"]), "{problem}");
    }
    let most = "ada ".repeat(20);
    let request = ListPersonsRequest { query: most.clone(), ..Default::default() };
    assert_eq!(client.list_persons(request).await.unwrap().into_inner().persons.len(), 1);
    assert_eq!(ask(&server, "/api/persons", &[("q", &most)]).await.1.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_time_is_one_instant_by_every_way_in() {
    let database = Database::new().await;
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("OWNTRACKS_USERS", "ada/phone=1")]).await;
    let person = server.person().await;
    assert_eq!(person, 1);
    let location = |time: &str| json!({"person_id": 1, "latitude": 35.5, "longitude": -106.5, "creation_time": time});
    for time in ["2026-05-28T20:26:46.8Z", "2026-05-28T20:26:46.799999952Z", "2026-05-28 22:26:46.8000004999+02:00"] {
        let (status, stored) = server.post("/api/locations", &location(time)).await;
        assert_eq!((status, stored["creation_time"].as_str()), (201, Some("2026-05-28T20:26:46.800Z")), "{time}");
    }
    let (_, batch) = server.post("/api/locations/batch", &json!([location("2026-05-28T20:26:46.7999995Z")])).await;
    assert_eq!(batch["duplicates"], 1, "{batch}");
    let mut client = LocationServiceClient::new(channel(&server).await);
    for nanos in [800_000_000, 799_999_952] {
        let location = NewLocation {
            person_id: 1,
            latitude: Some(35.5),
            longitude: Some(-106.5),
            creation_time: Some(Timestamp { seconds: 1_780_000_006, nanos }),
            accuracy_m: None,
        };
        client.record_location(RecordLocationRequest { location: Some(location) }).await.unwrap();
    }
    // A double of seconds, as JSON and as text.
    for seconds in ["1780000006.8", "1780000006.799999952"] {
        let body =
            format!(r#"{{"_type":"location","lat":35.5,"lon":-106.5,"tst":{seconds},"topic":"owntracks/ada/phone"}}"#);
        let (status, answer) = server.post_raw("/api/locations/owntracks", "application/json", body).await;
        assert_eq!(status, 200, "{answer}");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("track.csv");
    let times =
        ["1780000006.8", "1780000006.799999952", "1780000006800", "1780000006799999952", "2026-05-28 20:26:46,8"];
    let lines: String = times.iter().map(|time| format!("1;35.5;-106.5;{time}\n")).collect();
    std::fs::write(&file, format!("person_id;latitude;longitude;time\n{lines}")).unwrap();
    let output = run(&["import", file.to_str().unwrap()], &[("DATABASE_URL", &database.url())]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(database.number("SELECT count(*) FROM location").await, 1);
    assert_eq!(
        database.number("SELECT (extract(epoch FROM creation_time) * 1000000)::bigint FROM location").await,
        1_780_000_006_800_000
    );
}

#[tokio::test]
async fn durations_are_exact_or_refused() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let (ada, grace) = (server.person().await, server.person().await);
    for (person, time) in [(ada, "2026-06-02T10:00:00Z"), (grace, "2026-06-02T10:05:00Z")] {
        let location = json!({"person_id": person, "latitude": 35.5, "longitude": -106.5, "creation_time": time});
        assert_eq!(server.post("/api/locations", &location).await.0, 201);
    }
    let path = format!("/api/persons/{ada}/connections");
    for (within, met) in [("300", 1), ("PT5M", 1), ("299.999999", 0), ("PT299.999999S", 0), ("300.000001", 1)] {
        let (status, answer) = ask(&server, &path, &[("within", within)]).await;
        assert_eq!((status, answer.as_array().map(Vec::len)), (200, Some(met)), "{within}: {answer}");
    }
    for name in ["within", "gap", "min_duration"] {
        for value in ["299.9999999", "PT299.9999999S", "-1", "1e9999", "99999999999999999999", "PT1000000000000000H"] {
            let (status, problem) = ask(&server, &path, &[(name, value)]).await;
            assert_eq!((status, fields(&problem)), (400, vec![name]), "{name}={value}: {problem}");
        }
    }
    let mut client = ConnectionServiceClient::new(channel(&server).await);
    for (seconds, nanos) in
        [(299, 999_999_900), (0, 1), (-1, 0), (i64::MAX, 0), (i64::MIN, i32::MIN), (1, -1_000), (0, 1_000_000_000)]
    {
        let length = Some(Duration { seconds, nanos });
        let rules = [
            (EncounterRule { within: length, ..Default::default() }, None, "rule.within"),
            (EncounterRule { gap: length, ..Default::default() }, None, "rule.gap"),
            (EncounterRule::default(), length, "min_duration"),
        ];
        for (rule, min_duration, field) in rules {
            let request =
                ListConnectionsRequest { person_id: ada, rule: Some(rule), min_duration, ..Default::default() };
            let status = client.list_connections(request).await.unwrap_err();
            assert_eq!(violations(&status), [field], "{seconds} {nanos}: {status:?}");
        }
    }
    let export = ["export", "--person", "1", "--encounters", "--within", "299.9999999"];
    let output = run(&export, &[("DATABASE_URL", &database.url())]).await;
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("microseconds"), "{output:?}");
}

#[tokio::test]
async fn times_out_of_range_are_refused_by_every_operation() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let mut locations = LocationServiceClient::new(channel(&server).await);
    let mut connections = ConnectionServiceClient::new(channel(&server).await);
    for text in [
        "-4800-01-01",
        "-4800-01-01T00:00:00Z",
        "0000-06-01",
        "0000-12-31T23:59:59Z",
        "10000-01-01",
        "+300000-01-01T00:00:00Z",
    ] {
        for path in ["locations", "connections", "connection", "connections/1"] {
            for field in ["start_date", "end_date"] {
                let mut parameters = vec![("start_date", "2026-06-01"), ("end_date", "2026-06-02")];
                parameters.retain(|(name, _)| *name != field);
                parameters.push((field, text));
                let (status, problem) = ask(&server, &format!("/api/persons/{person}/{path}"), &parameters).await;
                assert_eq!((status, fields(&problem)), (400, vec![field]), "{path} {text}: {problem}");
            }
        }
        let location = json!({"person_id": person, "latitude": 1, "longitude": 1, "creation_time": text});
        let (status, problem) = server.post("/api/locations", &location).await;
        assert_eq!((status, fields(&problem)), (400, vec!["creation_time"]), "{text}: {problem}");
    }
    // 4714 BC, the last second of the year 0, the first of 10000, and what no clock can show.
    for seconds in [-210_866_889_600, -62_135_596_801, 253_402_300_800, 8_000_000_000_000, i64::MIN, i64::MAX] {
        let time = Some(Timestamp { seconds, nanos: 0 });
        for (from, to, field) in [(time, None, "from"), (None, time, "to")] {
            let request = ListLocationsRequest { person_id: person, from, to, ..Default::default() };
            assert_eq!(violations(&locations.list_locations(request).await.unwrap_err()), [field], "{seconds}");
            let request = ListConnectionsRequest { person_id: person, from, to, ..Default::default() };
            assert_eq!(violations(&connections.list_connections(request).await.unwrap_err()), [field], "{seconds}");
            let request =
                ListEncountersRequest { person_id: person, other_person_id: person, from, to, ..Default::default() };
            assert_eq!(violations(&connections.list_encounters(request).await.unwrap_err()), [field], "{seconds}");
        }
        let location = NewLocation {
            person_id: person,
            latitude: Some(1.0),
            longitude: Some(1.0),
            creation_time: time,
            accuracy_m: None,
        };
        let status = locations.record_location(RecordLocationRequest { location: Some(location) }).await.unwrap_err();
        assert_eq!(violations(&status), ["location.creation_time"], "{seconds}");
    }
    // What is at the edges can be asked for, and is written as a Timestamp again.
    let location = json!({"person_id": person, "latitude": 1, "longitude": 1, "creation_time": "2000-01-01T00:00:00Z"});
    assert_eq!(server.post("/api/locations", &location).await.0, 201);
    let edges = [-62_135_596_800, 253_402_300_799].map(|seconds| Some(Timestamp { seconds, nanos: 0 }));
    let request = ListLocationsRequest { person_id: person, from: edges[0], to: edges[1], ..Default::default() };
    let found = locations.list_locations(request).await.unwrap().into_inner().locations;
    assert_eq!(found[0].creation_time, Some(Timestamp { seconds: 946_684_800, nanos: 0 }));
    let parameters = [("start_date", "0001-01-01"), ("end_date", "9999-12-31")];
    let (status, found) = ask(&server, &format!("/api/persons/{person}/locations"), &parameters).await;
    assert_eq!((status, found.as_array().map(Vec::len)), (200, Some(1)), "{found}");
}

#[tokio::test]
async fn tokens_and_cursors_belong_to_their_list() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(server.person().await);
    }
    for (person, second) in ids.iter().flat_map(|person| (0..3).map(move |second| (person, second))) {
        let time = format!("2026-06-02T10:00:0{second}Z");
        let location = json!({"person_id": person, "latitude": 35, "longitude": -106.5, "creation_time": time});
        assert_eq!(server.post("/api/locations", &location).await.0, 201);
    }
    let mut persons = PersonServiceClient::new(channel(&server).await);
    let mut locations = LocationServiceClient::new(channel(&server).await);
    let list = |query: &str, page_size, page_token: &str| ListPersonsRequest {
        query: query.into(),
        page_size,
        page_token: page_token.into(),
    };
    let token = persons.list_persons(list("ada", 1, "")).await.unwrap().into_inner().next_page_token;
    assert!(persons.list_persons(list("ada", 2, &token)).await.is_ok(), "pages may be of any size");
    for query in ["", "Ada", "ad"] {
        let status = persons.list_persons(list(query, 1, &token)).await.unwrap_err();
        assert_eq!(violations(&status), ["page_token"], "{query:?}");
        assert!(status.message().contains("other filters"), "{status:?}");
    }
    let of = |person_id, from: Option<i64>, page_token: &str| ListLocationsRequest {
        person_id,
        from: from.map(|seconds| Timestamp { seconds, nanos: 0 }),
        to: None,
        page_size: 1,
        page_token: page_token.into(),
    };
    let token = locations.list_locations(of(ids[0], None, "")).await.unwrap().into_inner().next_page_token;
    assert!(locations.list_locations(of(ids[0], None, &token)).await.is_ok());
    for request in [of(ids[1], None, &token), of(ids[0], Some(0), &token)] {
        assert_eq!(violations(&locations.list_locations(request).await.unwrap_err()), ["page_token"]);
    }
    let person = PersonId::new(ids[0], "id").unwrap();
    let forged = |micros: i64, id| {
        let time = chrono::DateTime::from_timestamp_micros(micros).unwrap();
        Listed::locations(person, TimeRange::ALL).after_location(time, id)
    };
    let (ancient, far) = (forged(-213_600_000_000_000_000, 1), forged(8_000_000_000_000_000_000, 1));
    let long = "A".repeat(10_000);
    let garbage = ["1", "x", "-1", "AAAAAAAAAAA", "1780000000000000.1", "9223372036854775807.1", "\u{202e}", " "];
    for token in garbage.into_iter().chain([&*ancient, &*far, &*long, &*forged(0, -1), &*forged(0, i64::MIN)]) {
        let status = locations.list_locations(of(ids[0], None, token)).await.unwrap_err();
        assert_eq!(violations(&status), ["page_token"], "{token}");
        let status = persons.list_persons(list("", 1, token)).await.unwrap_err();
        assert_eq!(violations(&status), ["page_token"], "{token}");
        for list in ["persons", &format!("persons/{person}/locations"), &format!("persons/{person}/connections")] {
            let (status, problem) = ask(&server, &format!("/api/{list}"), &[("cursor", token)]).await;
            assert_eq!((status, fields(&problem)), (400, vec!["cursor"]), "{list} {token}: {problem}");
        }
    }
    // Written by an earlier version of the program: all three lists go on from there.
    let (status, rest) = ask(&server, "/api/persons", &[("q", "ada"), ("cursor", "bSvCSsOKJbcAAAAAAAAAAQ")]).await;
    assert_eq!((status, rest.as_array().map(Vec::len)), (200, Some(2)), "{rest}");
}

#[tokio::test]
async fn numbers_at_the_edge_are_no_defects() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let most = i64::MAX.to_string();
    for path in ["persons/{}", "persons/{}/locations", "persons/{}/days", "persons/{}/connections", "locations/{}"] {
        assert_eq!(server.get(&format!("/api/{}", path.replace("{}", &most))).await.0, 404, "{path}");
        for wrong in ["0", "-1", "9223372036854775808", "1e3", "%00", "%E2%80%AE"] {
            let (status, problem) = server.get(&format!("/api/{}", path.replace("{}", wrong))).await;
            assert_eq!((status, fields(&problem)), (400, vec!["id"]), "{path} {wrong}: {problem}");
        }
    }
    let wrong = [
        (format!("persons/{person}/connections/0"), "other_id"),
        (format!("persons/{person}/connections/x"), "other_id"),
    ];
    for (path, field) in wrong {
        let (status, problem) = server.get(&format!("/api/{path}")).await;
        assert_eq!((status, fields(&problem)), (400, vec![field]), "{path}: {problem}");
    }
    for list in ["persons", &format!("persons/{person}/locations"), &format!("persons/{person}/connections")] {
        for limit in ["0", "-1", "4294967296", "18446744073709551615", "18446744073709551616", "1.5", ""] {
            let (status, problem) = ask(&server, &format!("/api/{list}"), &[("limit", limit)]).await;
            assert_eq!((status, fields(&problem)), (400, vec!["limit"]), "{list} {limit}: {problem}");
        }
    }
    for receipt in ["2147483647-9223372036854775807", "0-0", "2147483648-0", "0-9223372036854775808", "%00-1", "-1--1"]
    {
        let status = server.get(&format!("/api/receipts/{receipt}")).await.0;
        assert!(status == 404 || status == 400, "{receipt}: {status}");
    }
    let mut client = PersonServiceClient::new(channel(&server).await);
    for page_size in [-1, i32::MIN, i32::MAX] {
        let request = ListPersonsRequest { page_size, ..Default::default() };
        assert_eq!(violations(&client.list_persons(request).await.unwrap_err()), ["page_size"]);
    }
    let mut client = ConnectionServiceClient::new(channel(&server).await);
    for limit in [i32::MAX, 0] {
        let request = ListConnectionsRequest { person_id: person, limit, ..Default::default() };
        assert!(client.list_connections(request).await.is_ok(), "{limit}");
    }
    let request = ListConnectionsRequest { person_id: i64::MAX, limit: i32::MIN, ..Default::default() };
    assert_eq!(violations(&client.list_connections(request).await.unwrap_err()), ["limit"]);
}

#[tokio::test]
async fn names_that_hide_or_reorder_are_refused_by_grpc_and_import() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let mut client = PersonServiceClient::new(channel(&server).await);
    for (name, number) in [("\u{202e}x", "U+202E"), ("\u{200b}", "U+200B"), ("a\0", "U+0000"), ("a\u{2028}b", "U+2028")]
    {
        let request =
            CreatePersonRequest { first_name: name.into(), last_name: name.into(), company_name: name.into() };
        let status = client.create_person(request).await.unwrap_err();
        assert_eq!(violations(&status), ["first_name", "last_name", "company_name"]);
        assert!(status.message().contains(number), "{status:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    for by in ["key", "name"] {
        let file = directory.path().join(format!("{by}.csv"));
        let names = ["Ada L", "\u{202e}adA L", "a\u{200b}", "علی\u{200c}رضا م"];
        let lines: String = names.iter().map(|name| format!("{name},35.5,-106.5,2026-06-02T10:00:00Z\n")).collect();
        std::fs::write(&file, format!("person,latitude,longitude,time\n{lines}")).unwrap();
        let arguments = ["import", file.to_str().unwrap(), "--person-by", by];
        let output = run(&arguments, &[("DATABASE_URL", &database.url())]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("U+202E") && said.contains("U+200B") && !said.contains('\u{202e}'), "{said}");
    }
    assert_eq!(database.number("SELECT count(*) FROM person").await, 4, "two by key, two by name");
    // In JSON a key can hold what no column can; it is one bad record, not the end of the import.
    let file = directory.path().join("phone.json");
    let record = |user: &str| json!({"_type": "location", "lat": 35.5, "lon": -106.5, "tst": 1_780_000_000, "topic": format!("owntracks/{user}/phone")});
    std::fs::write(&file, json!([record("a\u{0}b"), record("\u{202e}"), record("bob")]).to_string()).unwrap();
    let output = run(&["import", file.to_str().unwrap()], &[("DATABASE_URL", &database.url())]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("U+0000") && said.contains("U+202E"), "{said}");
    assert_eq!(
        database.number("SELECT count(*) FROM person WHERE external_key = 'owntracks:bob/phone'").await,
        1,
        "{said}"
    );
}

/// Whoever is deleted between the creation of persons and the reading of their ids must not shift the others' locations.
#[tokio::test]
async fn persons_deleted_while_they_are_created_shift_nobody() {
    let database = Database::new().await;
    // Deletes one of them when the creating transaction commits, as somebody else might at that moment.
    database
        .client()
        .await
        .batch_execute(
            "CREATE FUNCTION delete_b() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN DELETE FROM person WHERE external_key = 'b'; RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER delete_b AFTER INSERT ON person DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW WHEN (NEW.external_key = 'b') EXECUTE FUNCTION delete_b()",
        )
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("track.csv");
    let lines: String =
        (1..).zip(["a", "b", "c", "d"]).map(|(i, key)| format!("{key},{i},{i},2026-06-02T10:00:00Z\n")).collect();
    std::fs::write(&file, format!("person,latitude,longitude,time\n{lines}")).unwrap();
    let arguments = ["import", file.to_str().unwrap(), "--person-by", "key"];
    let output = run(&arguments, &[("DATABASE_URL", &database.url())]).await;
    let rows = database
        .client()
        .await
        .query(
            "SELECT external_key, st_y(coordinate::geometry)::bigint FROM location JOIN person ON person.id = person_id
             ORDER BY external_key",
            &[],
        )
        .await
        .unwrap();
    let stored: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(stored, [("a".to_owned(), 1), ("c".to_owned(), 3), ("d".to_owned(), 4)], "{output:?}");
}

/// Two imports that create the same persons, and somebody who deletes them meanwhile: whatever is stored is under its own key.
#[tokio::test]
async fn imports_and_deletions_at_once_mix_nobody_up() {
    let database = Database::new().await;
    let directory = tempfile::tempdir().unwrap();
    let mut running = Vec::new();
    for import in 0..2 {
        let file = directory.path().join(format!("{import}.csv"));
        // In opposite orders.
        let mut keys: Vec<u32> = (1..=80).collect();
        if import == 1 {
            keys.reverse();
        }
        let lines: String = keys.iter().map(|key| format!("k{key},{key},{import},2026-06-02T10:00:00Z\n")).collect();
        std::fs::write(&file, format!("person,latitude,longitude,time\n{lines}")).unwrap();
        let mut import = command(&["import", file.to_str().unwrap(), "--person-by", "key"]);
        running.push(tokio::spawn(import.env("DATABASE_URL", database.url()).output()));
    }
    let deleting = database.client().await;
    while running.iter().any(|import| !import.is_finished()) {
        deleting.batch_execute("DELETE FROM person WHERE id % 3 = 0").await.unwrap();
    }
    for import in running {
        let output = import.await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("internal error") && !said.contains("deadlock"), "{said}");
    }
    let misplaced = "SELECT count(*) FROM location JOIN person ON person.id = person_id
         WHERE external_key <> 'k' || st_y(coordinate::geometry)::int";
    assert_eq!(database.number(misplaced).await, 0);
    assert!(database.number("SELECT count(*) FROM location").await > 0);
}
