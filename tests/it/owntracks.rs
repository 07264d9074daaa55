//! A phone with the OwnTracks app.

use crate::support::{Database, Server};
use serde_json::{Value, json};

fn message() -> Value {
    json!({"_type": "location", "tid": "AD", "lat": 35.0585, "lon": -106.5819, "tst": 1780401600, "acc": 12, "batt": 80})
}

async fn send(server: &Server, query: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
    let url = server.url(&format!("/api/locations/owntracks{query}"));
    let request = headers.iter().fold(server.http.post(url), |request, (name, value)| request.header(*name, *value));
    let response = request.json(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

const ADA: &[(&str, &str)] = &[("X-Limit-U", "ada"), ("X-Limit-D", "phone")];

#[tokio::test]
async fn a_phone_that_is_configured_sends() {
    let database = Database::new().await;
    let insert = "INSERT INTO person (first_name, last_name, company_name, external_key) VALUES
        ('Ada', 'Lovelace', 'Engines', NULL), ('Bob', 'Builder', 'Works', 'owntracks:bob/tablet')";
    database.client().await.batch_execute(insert).await.unwrap();
    let users = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&users, "# phones\nada/watch=1 # hers\n\n").unwrap();
    let server = Server::with(&[
        ("DATABASE_URL", &database.url()),
        ("OWNTRACKS_USERS", "ada/phone=1,eve/phone=99"),
        ("OWNTRACKS_USERS_FILE", users.path().to_str().unwrap()),
    ])
    .await;
    assert_eq!(send(&server, "", ADA, &message()).await, (200, json!([])));
    assert_eq!(send(&server, "", ADA, &message()).await, (200, json!([])), "a resend is a success");
    let (_, stored) = server.get("/api/persons/1/locations").await;
    assert_eq!(stored.as_array().unwrap().len(), 1);
    assert_eq!(stored[0]["latitude"], 35.0585);
    assert_eq!(stored[0]["creation_time"], "2026-06-02T12:00:00Z");
    assert_eq!(stored[0]["accuracy_m"], 12.0);
    // User and device by the query, by the topic, by the file, by a key.
    let mut later = message();
    later["tst"] = json!(1_780_401_660);
    assert_eq!(send(&server, "?u=ada&d=phone", &[], &later).await.0, 200);
    later["tst"] = json!(1_780_401_720);
    later["topic"] = json!("owntracks/ada/watch");
    assert_eq!(send(&server, "", &[], &later).await.0, 200);
    later["topic"] = json!("owntracks/bob/tablet");
    assert_eq!(send(&server, "", &[], &later).await.0, 200);
    assert_eq!(database.number("SELECT count(*) FROM location WHERE person_id = 1").await, 3);
    assert_eq!(database.number("SELECT count(*) FROM location WHERE person_id = 2").await, 1);
    // Nobody's, and one whose person is gone.
    let (status, problem) = send(&server, "?u=mallory&d=phone", &[], &message()).await;
    assert!(status == 404 && problem["detail"].as_str().unwrap().contains("mallory/phone"), "{problem}");
    let (status, problem) = send(&server, "?u=eve&d=phone", &[], &message()).await;
    assert!(status == 404 && problem["detail"].as_str().unwrap().contains("person 99"), "{problem}");
    assert_eq!(database.number("SELECT count(*) FROM person").await, 2, "nobody is created unless it is allowed");
}

#[tokio::test]
async fn a_phone_may_bring_its_person_where_that_is_allowed() {
    let database = Database::new().await;
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("OWNTRACKS_CREATE", "true")]).await;
    let mut bad = message();
    bad["lat"] = json!(95);
    assert_eq!(send(&server, "", ADA, &bad).await.0, 400);
    assert_eq!(database.number("SELECT count(*) FROM person").await, 0, "not for a bad location");
    for tst in [1_780_401_600, 1_780_401_660] {
        let mut message = message();
        message["tst"] = json!(tst);
        assert_eq!(send(&server, "", ADA, &message).await.0, 200);
    }
    let one =
        "SELECT count(*) FROM location JOIN person ON person.id = person_id WHERE external_key = 'owntracks:ada/phone'";
    assert_eq!(database.number(one).await, 2);
}

#[tokio::test]
async fn other_messages_are_left_alone_and_bad_ones_are_named() {
    let database = Database::new().await;
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("OWNTRACKS_CREATE", "true")]).await;
    for other in [json!({"_type": "lwt", "tst": 1}), json!({"_type": "waypoints", "waypoints": []})] {
        assert_eq!(send(&server, "", &[], &other).await, (200, json!([])));
    }
    for (change, field) in [
        (json!({"lat": 95}), "lat"),
        (json!({"lon": "x"}), "lon"),
        (json!({"tst": null}), "tst"),
        (json!({"tst": 4_000_000_000_u64}), "tst"),
        (json!({"_type": "encrypted", "data": "x"}), "_type"),
        (json!({"_type": 7}), "_type"),
    ] {
        let mut bad = message();
        bad.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (status, problem) = send(&server, "", ADA, &bad).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!(field)), "{problem}");
    }
    let (status, problem) = send(&server, "", &[], &message()).await;
    assert_eq!((status, problem["errors"].as_array().unwrap().len()), (400, 2), "{problem}");
    assert_eq!(send(&server, "?u=a%2Fb&d=phone", &[], &message()).await.0, 400);
    assert_eq!(send(&server, "", ADA, &json!([])).await.0, 400);
    assert_eq!(database.number("SELECT count(*) FROM person").await, 0);
}

#[tokio::test]
async fn a_wrong_configuration_ends_the_program_with_what_is_wrong() {
    let output = crate::support::run(
        &["serve-api"],
        &[("DATABASE_URL", "postgres://u@127.0.0.1:1/d"), ("LISTEN_ADDR", "127.0.0.1:0"), ("OWNTRACKS_USERS", "ada=1")],
    )
    .await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("OWNTRACKS_USERS") && said.contains("ada/phone=1"), "{said}");
}
