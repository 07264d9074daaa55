//! Two events in one hall at one time know nothing of each other, whichever way they are asked.

use super::{about, channel, cli, create, person};
use crate::support::{Database, Server, location};
use serde_json::{Value, json};
use tonic::Code;
use udaconnect::codec::proto::connection_service_client::ConnectionServiceClient;
use udaconnect::codec::proto::location_service_client::LocationServiceClient;
use udaconnect::codec::proto::person_service_client::PersonServiceClient;
use udaconnect::codec::proto::{
    CreatePersonRequest, DeletePersonRequest, EncounterRule, GetPersonRequest, ListConnectionsRequest,
    ListEncountersRequest, ListLocationsRequest, ListPersonsRequest, RecordLocationRequest, StreamLocationsRequest,
};

const RED: &str = "/api/events/red";
const BLUE: &str = "/api/events/blue";

/// Two who stand beside each other in each of two events: for each event the two, in the same hall at the same time.
async fn hall(server: &Server) -> [[i64; 2]; 2] {
    let mut all = [[0; 2]; 2];
    for (below, pair) in [RED, BLUE].iter().zip(&mut all) {
        for (number, id) in pair.iter_mut().enumerate() {
            *id = person(server, below).await;
            let batch: Vec<Value> = (0..10)
                .map(|minute| {
                    json!({"person_id": *id, "latitude": 35.0 + number as f64 / 1e5, "longitude": -106.5,
                        "creation_time": format!("2026-06-02T10:{minute:02}:00Z")})
                })
                .collect();
            let (status, outcome) = server.post(&format!("{below}/locations/batch"), &json!(batch)).await;
            assert_eq!((status, &outcome["stored"]), (200, &json!(10)), "{outcome}");
        }
    }
    all
}

#[tokio::test]
async fn rest_shows_of_an_event_what_is_its_own() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    create(&server, "red", json!({})).await;
    create(&server, "blue", json!({})).await;
    let [[ada, bob], [eve, mallory]] = hall(&server).await;
    let ids =
        |list: Value| -> Vec<i64> { list.as_array().unwrap().iter().map(|p| p["id"].as_i64().unwrap()).collect() };
    assert_eq!(ids(server.get("/api/events/red/persons?q=lovelace").await.1), [ada, bob]);
    assert_eq!(ids(server.get("/api/events/blue/persons").await.1), [eve, mallory]);
    assert_eq!(server.get("/api/persons").await.1, json!([]), "the default event has nobody");
    let (_, met) = server.get(&format!("{RED}/persons/{ada}/connections")).await;
    let whom: Vec<&Value> = met.as_array().unwrap().iter().map(|met| &met["person"]["id"]).collect();
    assert_eq!(whom, [&json!(bob)]);
    let range = "start_date=2026-06-02&end_date=2026-06-02";
    let (_, near) = server.get(&format!("{RED}/persons/{ada}/connection?{range}")).await;
    assert!(near.as_array().unwrap().iter().all(|near| near["person"]["id"] == bob), "{near}");
    assert_eq!(near.as_array().unwrap().len(), 10);
    let (_, track) = server.get(&format!("{RED}/persons/{ada}/locations")).await;
    let theirs = track[0]["id"].as_i64().unwrap();
    assert_eq!(server.get(&format!("{RED}/locations/{theirs}")).await.0, 200);

    // What is another event's does not exist, and is not touched.
    for below in [BLUE, "/api"] {
        for path in
            ["", "/locations", "/days", "/connections", &format!("/connections/{bob}"), &format!("/connection?{range}")]
        {
            let (status, problem) = server.get(&format!("{below}/persons/{ada}{path}")).await;
            assert_eq!(status, 404, "{below} {path}: {problem}");
        }
        assert_eq!(server.get(&format!("{below}/locations/{theirs}")).await.0, 404);
        assert_eq!(server.delete(&format!("{below}/locations/{theirs}")).await.0, 404);
        assert_eq!(server.delete(&format!("{below}/persons/{ada}")).await.0, 404);
        let here = json!({"person_id": ada, "latitude": 1, "longitude": 101});
        assert_eq!(server.post(&format!("{below}/locations"), &here).await.0, 404);
        let (_, outcome) = server.post(&format!("{below}/locations/batch"), &json!([here])).await;
        assert_eq!((&outcome["refused"], &outcome["items"][0]["errors"][0]["field"]), (&json!(1), &json!("person_id")));
    }
    assert_eq!(server.get(&format!("{BLUE}/persons/{eve}/connections/{ada}")).await.0, 404);
    assert_eq!(server.get(&format!("{RED}/persons/{ada}/locations")).await.1, track);
    assert_eq!(server.delete(&format!("{RED}/persons/{ada}")).await.0, 204);
    assert_eq!(server.get(&format!("{BLUE}/persons/{eve}/connections")).await.1.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn links_stay_below_the_path_that_was_asked() {
    let database = Database::new().await;
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("DEFAULT_EVENT", "red")]).await;
    // While there is no such event, addresses without one say so.
    let (status, problem) = server.get("/api/persons").await;
    assert!(status == 404 && problem["detail"].as_str().unwrap().contains("red"), "{problem}");
    create(&server, "red", json!({})).await;
    let ada = json!({"first_name": "Ada", "last_name": "Lovelace", "company_name": "Engines"});
    let mut persons = Vec::new();
    for below in [RED, "/api", RED] {
        let response = server.http.post(server.url(&format!("{below}/persons"))).json(&ada).send().await.unwrap();
        let place = response.headers()["location"].to_str().unwrap().to_owned();
        let person: Value = response.json().await.unwrap();
        assert_eq!(place, format!("{below}/persons/{}", person["id"]));
        assert_eq!(server.get(&place).await, (200, person.clone()), "the default event is this one");
        persons.push(person["id"].as_i64().unwrap());
        let here = json!({"person_id": person["id"], "latitude": 35, "longitude": -106.5, "creation_time": "2026-06-02T10:00:00Z"});
        let response = server.http.post(server.url(&format!("{below}/locations"))).json(&here).send().await.unwrap();
        let place = response.headers()["location"].to_str().unwrap().to_owned();
        assert!(place.starts_with(&format!("{below}/locations/")), "{place}");
        assert_eq!(server.get(&place).await.1["person_id"], person["id"]);
    }
    for below in [RED, "/api"] {
        let paths = [format!("{below}/persons?limit=1"), format!("{below}/persons/{}/connections?limit=1", persons[0])];
        for path in paths {
            let response = server.http.get(server.url(&path)).send().await.unwrap();
            let link = response.headers()["link"].to_str().unwrap();
            assert!(link.starts_with(&format!("<{below}/persons")), "{link}");
            assert!(server.pages(&path).await.len() > 1);
        }
    }
    let (_, index) = server.get("/api").await;
    let links: Vec<&str> =
        index["links"].as_array().unwrap().iter().map(|link| link["href"].as_str().unwrap()).collect();
    for path in ["/api/events", "/api/events/{event}", "/api/events/{event}/persons/{id}/connections", "/api/persons"] {
        assert!(links.contains(&path), "{path} in {links:?}");
    }
}

#[tokio::test]
async fn an_event_that_is_none_is_named_everywhere() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = person(&server, "/api").await;
    let ada = json!({"first_name": "Ada", "last_name": "Lovelace", "company_name": "Engines"});
    let here = json!({"person_id": person, "latitude": 1, "longitude": 101});
    for slug in ["nowhere", "No%20such", "%00", &"x".repeat(100)] {
        let below = format!("/api/events/{slug}");
        for path in [
            String::new(),
            "/persons".to_owned(),
            format!("/persons/{person}"),
            format!("/persons/{person}/locations"),
            format!("/persons/{person}/days"),
            format!("/persons/{person}/connections"),
            format!("/persons/{person}/connections/2"),
            format!("/persons/{person}/connection?start_date=2026-06-02&end_date=2026-06-02"),
            "/locations/1".to_owned(),
            "/receipts/0-1".to_owned(),
        ] {
            let (status, problem) = server.get(&format!("{below}{path}")).await;
            assert_eq!((status, &problem["errors"][0]["field"]), (404, &json!("event")), "{below}{path}: {problem}");
        }
        for (path, body) in [
            ("/persons", &ada),
            ("/locations", &here),
            ("/locations/batch", &json!([here])),
            ("/locations/owntracks", &here),
        ] {
            let (status, problem) = server.post(&format!("{below}{path}"), body).await;
            assert_eq!((status, &problem["errors"][0]["field"]), (404, &json!("event")), "{below}{path}: {problem}");
        }
        for path in ["", "/locations/1", "/persons/1"] {
            assert_eq!(server.delete(&format!("{below}{path}")).await.0, 404, "{below}{path}");
        }
    }
    let (_, problem) = server.get("/api/events/nowhere/persons").await;
    assert_eq!(problem["detail"], "event: there is no event nowhere");

    let mut persons = PersonServiceClient::new(channel(&server).await);
    let mut locations = LocationServiceClient::new(channel(&server).await);
    let mut connections = ConnectionServiceClient::new(channel(&server).await);
    for slug in ["nowhere", "No such"] {
        let code = persons.list_persons(about(slug, ListPersonsRequest::default())).await.unwrap_err();
        assert!(code.code() == Code::NotFound && code.message().contains(slug), "{code:?}");
        let request = RecordLocationRequest { location: Some(location(person, 1)) };
        assert_eq!(locations.record_location(about(slug, request)).await.unwrap_err().code(), Code::NotFound);
        let messages = tokio_stream::iter([StreamLocationsRequest { locations: vec![location(person, 1)] }]);
        assert_eq!(locations.stream_locations(about(slug, messages)).await.unwrap_err().code(), Code::NotFound);
        let request = ListConnectionsRequest { person_id: person, ..ListConnectionsRequest::default() };
        assert_eq!(connections.list_connections(about(slug, request)).await.unwrap_err().code(), Code::NotFound);
    }
    let file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
    std::fs::write(&file, "person_id,latitude,longitude,time\n1,1,101,2026-06-02T10:00:00Z\n").unwrap();
    let path = file.path().to_str().unwrap();
    for arguments in [&["import", path, "--event", "nowhere"][..], &["export", "--event", "nowhere"]] {
        let (status, text) = cli(&database, arguments).await;
        assert!(status == Some(1) && text.contains("no event nowhere"), "{arguments:?}: {text}");
        assert_eq!(cli(&database, &[&arguments[..arguments.len() - 1], &["No such"]].concat()).await.0, Some(2));
    }
}

#[tokio::test]
async fn grpc_calls_are_about_the_event_that_their_metadata_name() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    create(&server, "red", json!({"distance_m": 0.5})).await;
    create(&server, "blue", json!({})).await;
    let [[ada, bob], [eve, _]] = hall(&server).await;
    let mut persons = PersonServiceClient::new(channel(&server).await);
    let mut locations = LocationServiceClient::new(channel(&server).await);
    let mut connections = ConnectionServiceClient::new(channel(&server).await);
    let listed = persons.list_persons(about("red", ListPersonsRequest::default())).await.unwrap().into_inner().persons;
    assert_eq!(listed.iter().map(|person| person.id).collect::<Vec<_>>(), [ada, bob]);
    assert!(persons.list_persons(ListPersonsRequest::default()).await.unwrap().into_inner().persons.is_empty());
    for event in ["blue", "default"] {
        let get = persons.get_person(about(event, GetPersonRequest { id: ada })).await.unwrap_err();
        let delete = persons.delete_person(about(event, DeletePersonRequest { id: ada })).await.unwrap_err();
        let list = ListLocationsRequest { person_id: ada, ..ListLocationsRequest::default() };
        let list = locations.list_locations(about(event, list)).await.unwrap_err();
        let record = RecordLocationRequest { location: Some(location(ada, 1)) };
        let record = locations.record_location(about(event, record)).await.unwrap_err();
        assert_eq!([get, delete, list, record].map(|status| status.code()), [Code::NotFound; 4]);
        let messages = tokio_stream::iter([StreamLocationsRequest { locations: vec![location(ada, 1)] }]);
        let mut stream = locations.stream_locations(about(event, messages)).await.unwrap().into_inner();
        let answer = stream.message().await.unwrap().unwrap();
        assert_eq!((answer.acknowledged_through, answer.refused.len()), (1, 1), "{answer:?}");
    }
    let new =
        CreatePersonRequest { first_name: "Carol".into(), last_name: "Shaw".into(), company_name: "Works".into() };
    let carol = persons.create_person(about("blue", new)).await.unwrap().into_inner().person.unwrap().id;
    assert_eq!(server.get(&format!("{BLUE}/persons/{carol}")).await.0, 200);
    assert_eq!(server.get(&format!("{RED}/persons/{carol}")).await.0, 404);

    // Half a metre is the red event's rule, by which the two do not meet; ten metres are blue's, and whoever's who says nothing.
    let met = async |connections: &mut ConnectionServiceClient<_>, event: &str, person: i64, rule| {
        let request = ListConnectionsRequest { person_id: person, rule, ..ListConnectionsRequest::default() };
        let mut stream = connections.list_connections(about(event, request)).await.unwrap().into_inner();
        let mut whom = Vec::new();
        while let Some(answer) = stream.message().await.unwrap() {
            whom.push(answer.connection.unwrap().person.unwrap().id);
        }
        whom
    };
    let wide = EncounterRule { distance_m: Some(10.0), ..EncounterRule::default() };
    assert!(met(&mut connections, "red", ada, None).await.is_empty());
    assert_eq!(met(&mut connections, "red", ada, Some(wide)).await, [bob]);
    assert_eq!(met(&mut connections, "blue", eve, None).await.len(), 1);
    let request = ListEncountersRequest { person_id: ada, other_person_id: eve, ..ListEncountersRequest::default() };
    assert_eq!(connections.list_encounters(about("red", request)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn files_and_keys_are_their_events() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    create(&server, "red", json!({})).await;
    create(&server, "blue", json!({})).await;
    let file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
    std::fs::write(
        &file,
        "key,latitude,longitude,time\nbadge-7,35,-106.5,2026-06-02T10:00:00Z\nbadge-8,35,-106.5,2026-06-02T10:00:00Z\n",
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    let import = |event| ["import", path, "--person-column", "key", "--person-by", "key", "--event", event];
    for event in ["red", "blue"] {
        let (status, text) = cli(&database, &import(event)).await;
        assert!(status == Some(0), "{text}");
        let (_, again) = cli(&database, &import(event)).await;
        assert!(again.contains("2 ") && database.number("SELECT count(*) FROM location").await % 2 == 0, "{again}");
    }
    assert_eq!(
        database.number("SELECT count(*) FROM person WHERE external_key = 'badge-7'").await,
        2,
        "one in each event"
    );
    assert_eq!(database.number("SELECT count(*) FROM location").await, 4);
    let (_, red) = cli(&database, &["export", "--event", "red"]).await;
    assert_eq!(red.lines().count(), 3, "{red}");
    let (_, none) = cli(&database, &["export"]).await;
    assert!(!none.contains("badge"), "{none}");
    let (_, persons) = server.get("/api/events/red/persons").await;
    let ada = persons[0]["id"].as_i64().unwrap();
    let (_, met) = cli(&database, &["export", "--event", "red", "--person", &ada.to_string(), "--encounters"]).await;
    assert_eq!(met.lines().count(), 2, "the other of the red ones alone: {met}");
    let (status, text) = cli(&database, &["export", "--event", "blue", "--person", &ada.to_string()]).await;
    assert!(status == Some(1) && text.contains("does not exist"), "{text}");
    // Ids of another event are nobody's.
    let (status, text) = cli(&database, &["import", path, "--person", &ada.to_string(), "--event", "blue"]).await;
    assert_eq!(status, Some(3), "{text}");
    assert_eq!(database.number("SELECT count(*) FROM location").await, 4);
}
