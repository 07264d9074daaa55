//! Bad input: each a 4xx that names the field, and nothing is stored.

use crate::support::{Database, Server};
use serde_json::{Value, json};

fn fields(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn bad_locations_are_refused_by_field() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let with = |name: &str, value: Value| {
        let mut location = json!({"person_id": person, "latitude": 35, "longitude": -106.5});
        location[name] = value;
        location
    };
    let far = chrono::Utc::now() + chrono::TimeDelta::minutes(10);
    for (name, value) in [
        ("latitude", json!(90.0001)),
        ("latitude", json!("NaN")),
        ("latitude", json!("Infinity")),
        ("latitude", json!("north")),
        ("latitude", json!(null)),
        ("latitude", json!([35])),
        ("longitude", json!(-180.5)),
        ("longitude", json!("")),
        ("longitude", json!(true)),
        ("person_id", json!(0)),
        ("person_id", json!(-1)),
        ("person_id", json!(1.5)),
        ("person_id", json!("one")),
        ("person_id", json!(9_223_372_036_854_775_808_u64)),
        ("creation_time", json!("2020-02-30")),
        ("creation_time", json!("2020-02-30T10:00:00Z")),
        ("creation_time", json!("yesterday")),
        ("creation_time", json!(1_780_000_000)),
        ("creation_time", json!(far.to_rfc3339())),
        ("accuracy_m", json!(-0.1)),
        ("accuracy_m", json!("wide")),
    ] {
        let (status, problem) = server.post("/api/locations", &with(name, value.clone())).await;
        assert_eq!((status, fields(&problem)), (400, vec![name]), "{name}: {value}: {problem}");
    }
    for name in ["lattitude", "personId", "creationTime", "accuracy"] {
        let (status, problem) = server.post("/api/locations", &with(name, json!(1))).await;
        assert_eq!((status, fields(&problem)), (400, vec![name]), "{problem}");
    }
    let (status, problem) = server.post("/api/locations", &json!({})).await;
    assert_eq!((status, fields(&problem)), (400, vec!["person_id", "latitude", "longitude"]));
    let (status, problem) = server.post("/api/locations", &with("person_id", json!(person + 1))).await;
    assert_eq!((status, fields(&problem)), (404, vec!["person_id"]));
    // What is unknown and looks like nothing that is known, a newer client may send.
    assert_eq!(server.post("/api/locations", &with("battery", json!(88))).await.0, 201);
    assert_eq!(database.number("SELECT count(*) FROM location").await, 1);
}

#[tokio::test]
async fn bad_persons_are_refused_by_field() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let long = "x".repeat(201);
    for (name, value) in [
        ("first_name", json!("  ")),
        ("last_name", json!(7)),
        ("last_name", json!(null)),
        ("company_name", json!(long)),
        ("company_name", json!("a\u{0}b")),
        ("company_name", json!("a\nb")),
    ] {
        let mut person = json!({"first_name": "Ada", "last_name": "Lovelace", "company_name": "Engines"});
        person[name] = value.clone();
        let (status, problem) = server.post("/api/persons", &person).await;
        assert_eq!((status, fields(&problem)), (400, vec![name]), "{value}: {problem}");
    }
    assert_eq!(database.number("SELECT count(*) FROM person").await, 0);
}

#[tokio::test]
async fn bad_bodies_are_refused() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let good = json!({"person_id": person, "latitude": 35, "longitude": -106.5}).to_string();
    for path in ["/api/locations", "/api/persons", "/api/locations/batch"] {
        for (kind, body, expected) in [
            ("application/json", "{\"person_id\": 1,", 400),
            ("application/json", "", 400),
            ("application/json", "7", 400),
            ("application/json", "{\"latitude\": NaN}", 400),
            ("application/json", "\u{feff}nonsense", 400),
            ("text/plain", good.as_str(), 415),
            ("application/x-www-form-urlencoded", "person_id=1", 415),
        ] {
            let (status, problem) = server.post_raw(path, kind, body.to_owned()).await;
            assert_eq!(status, expected, "{path} {kind} {body}: {problem}");
            let field = if expected == 415 { "Content-Type" } else { "body" };
            assert_eq!(fields(&problem), [field], "{path} {kind} {body}: {problem}");
        }
        // A hundred megabytes, of which the server keeps next to nothing.
        let (status, problem) = server.post_raw(path, "application/json", vec![b' '; 100_000_000]).await;
        assert_eq!((status, fields(&problem)), (413, vec!["body"]), "{path}");
        // Deeply nested, to overflow a parser's stack.
        let (status, _) = server.post_raw(path, "application/json", "[".repeat(50_000)).await;
        assert_eq!(status, 400, "{path}");
    }
    let item =
        json!({"person_id": person, "latitude": 35, "longitude": -106.5, "creation_time": "2026-06-02T10:00:00Z"});
    let many = json!(vec![item; 10_001]);
    let (status, problem) = server.post("/api/locations/batch", &many).await;
    assert_eq!((status, fields(&problem)), (413, vec!["body"]), "{problem}");
    assert_eq!(database.number("SELECT count(*) FROM location").await, 0);
}

#[tokio::test]
async fn a_packed_body_is_unpacked_within_the_limit() {
    let database = Database::new().await;
    let packed = |text: &[u8]| {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    // Before there is a connection, which would be idle for too long meanwhile.
    let bomb = packed(&vec![b' '; 50_000_000]);
    let server = Server::start(&database).await;
    let person = server.person().await;
    let post = async |body: Vec<u8>| {
        let request = server.http.post(server.url("/api/locations")).header("content-type", "application/json");
        request.header("content-encoding", "gzip").body(body).send().await.unwrap().status().as_u16()
    };
    let location = json!({"person_id": person, "latitude": 35, "longitude": -106.5}).to_string();
    assert_eq!(post(packed(location.as_bytes())).await, 201);
    assert_eq!(post(bomb).await, 413, "a bomb");
    assert_eq!(post(b"no gzip".to_vec()).await, 400);
}

#[tokio::test]
async fn bad_paths_methods_and_parameters_are_refused() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    for (path, field) in [
        ("/api/persons/0", "id"),
        ("/api/persons/abc", "id"),
        ("/api/persons/1.0", "id"),
        ("/api/persons/9223372036854775808", "id"),
        ("/api/persons/-1/locations", "id"),
        ("/api/locations/99999999999999999999", "id"),
        ("/api/persons?limit=0", "limit"),
        ("/api/persons?limit=1001", "limit"),
        ("/api/persons?limit=ten", "limit"),
        ("/api/persons?limit=2&limit=3", "limit"),
        ("/api/persons?limti=2", "limti"),
        ("/api/persons?cursor=x", "cursor"),
        ("/api/persons?cursor=AAAAAAAAAAAAAAAAAAAAAA", "cursor"),
        ("/api/persons?q=%00", "q"),
        (&format!("/api/persons/{person}/locations?start_date=2020-02-30"), "start_date"),
        (&format!("/api/persons/{person}/locations?end_date=soon"), "end_date"),
        (&format!("/api/persons/{person}/locations?start_date=2026-06-02&end_date=2026-06-01"), "end_date"),
        (&format!("/api/persons/{person}/locations?start_dat=2026-06-02"), "start_dat"),
        (&format!("/api/persons/{person}/locations?limit=10001"), "limit"),
    ] {
        let (status, problem) = server.get(path).await;
        assert_eq!((status, fields(&problem)), (400, vec![field]), "{path}: {problem}");
    }
    // A cursor of another list, and one of other filters.
    server.person().await;
    let cursor = {
        let response = server.http.get(server.url("/api/persons?limit=1")).send().await.unwrap();
        let next = crate::support::next_page(&response).unwrap();
        next.split_once("cursor=").unwrap().1.to_owned()
    };
    for path in ["/api/persons?q=ada&cursor=", &format!("/api/persons/{person}/locations?cursor=")] {
        let (status, problem) = server.get(&format!("{path}{cursor}")).await;
        assert_eq!((status, fields(&problem)), (400, vec!["cursor"]), "{path}: {problem}");
    }
    for path in
        ["/api/persons/1000000", "/api/locations/1000000", "/api/persons/1000000/locations", "/api/nothing", "/x/y"]
    {
        assert_eq!(server.get(path).await.0, 404, "{path}");
    }
    for (method, path, allow) in [
        ("PUT", "/api/persons", "GET, HEAD, POST"),
        ("PATCH", "/api/persons/1", "GET, HEAD, DELETE"),
        ("GET", "/api/locations", "POST"),
        ("GET", "/api/locations/batch", "POST"),
        ("DELETE", "/api/persons/1/locations", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
    ] {
        let request = server.http.request(method.parse().unwrap(), server.url(path));
        let response = request.send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &allow.parse().unwrap()),
            "{path}"
        );
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_read_the_answers() {
    let database = Database::new().await;
    let server = Server::with(&[
        ("DATABASE_URL", &database.url()),
        ("CORS_ALLOWED_ORIGINS", "https://app.example.org, http://localhost:30000"),
    ])
    .await;
    let ask = async |origin: &str| {
        let response = server.http.get(server.url("/api/persons")).header("origin", origin).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(ask("https://app.example.org").await.as_deref(), Some("https://app.example.org"));
    assert_eq!(ask("https://evil.example.org").await, None);
    let preflight = server
        .http
        .request(reqwest::Method::OPTIONS, server.url("/api/persons"))
        .header("origin", "http://localhost:30000")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 200);
    assert!(preflight.headers()["access-control-allow-methods"].to_str().unwrap().contains("POST"));
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_can_read_it() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    for coding in ["gzip", "br"] {
        let request = server.http.get(server.url("/openapi.json")).header("accept-encoding", coding);
        assert_eq!(request.send().await.unwrap().headers()["content-encoding"], coding);
    }
    let plain = server.http.get(server.url("/openapi.json")).send().await.unwrap();
    assert!(!plain.headers().contains_key("content-encoding"));
}
