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
    assert_eq!(send(&server, "", ADA, &bad).await, (200, json!([])));
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
async fn other_messages_are_left_alone_and_nobodys_are_kept() {
    let database = Database::new().await;
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("OWNTRACKS_CREATE", "true")]).await;
    for other in [json!({"_type": "lwt", "tst": 1}), json!({"_type": "waypoints", "waypoints": []})] {
        assert_eq!(send(&server, "", &[], &other).await, (200, json!([])));
    }
    // Who sends is configured, and the phone keeps what it has until it is so rightly.
    let (status, problem) = send(&server, "", &[], &message()).await;
    assert_eq!((status, problem["errors"].as_array().unwrap().len()), (400, 2), "{problem}");
    assert_eq!(send(&server, "?u=a%2Fb&d=phone", &[], &message()).await.0, 400);
    assert_eq!(send(&server, "", ADA, &json!([])).await, (200, json!([])));
    assert_eq!(database.number("SELECT count(*) FROM person").await, 0);
}

/// What the app would send again for ever, and nothing behind it.
#[tokio::test]
async fn what_can_never_be_stored_is_noted_and_blocks_no_phone() {
    let database = Database::new().await;
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("OWNTRACKS_CREATE", "true")]).await;
    let with = |change: Value| {
        let mut bad = message();
        bad.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        bad.to_string()
    };
    let without = |name: &str| {
        let mut bad = message();
        bad.as_object_mut().unwrap().remove(name);
        bad.to_string()
    };
    let ahead = chrono::Utc::now().timestamp() + 86_400;
    let mut bad = vec![
        with(json!({"lat": 95})),
        with(json!({"lon": "x"})),
        with(json!({"lat": [], "lon": {}})),
        with(json!({"tst": null})),
        with(json!({"tst": ahead})),
        with(json!({"tst": 4_000_000_000_u64})),
        with(json!({"tst": "yesterday"})),
        with(json!({"acc": 1e300, "tst": 1e300})),
        with(json!({"_type": "encrypted", "data": "x"})),
        with(json!({"_type": 7})),
        without("_type"),
        without("tst"),
        without("lat"),
        "7".to_owned(),
        String::new(),
        "\u{0}".to_owned(),
        "[[]]".to_owned(),
    ];
    let whole = message().to_string();
    bad.extend((1..whole.len()).step_by(7).map(|end| whole[..end].to_owned()));
    let count = bad.len();
    for body in bad {
        let path = "/api/locations/owntracks?u=ada&d=phone";
        let answer = server.post_raw(path, "application/json", body.clone()).await;
        assert_eq!(answer, (200, json!([])), "{body}");
    }
    assert_eq!(database.number("SELECT count(*) FROM location").await, 0);
    let metrics = server.http.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let counted = format!("udaconnect_ingest_refused_total{{reason=\"invalid\"}} {count}");
    assert!(metrics.contains(&counted), "{counted}: {metrics}");
    let log = server.program.log();
    for part in ["cannot be stored and was left", "tst: must be at most", "must not be encrypted", "is not valid JSON"]
    {
        assert!(log.contains(part), "{part}");
    }
}

/// As clients send that gather fixes while there is no network.
#[tokio::test]
async fn several_messages_come_as_a_list() {
    let database = Database::new().await;
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("OWNTRACKS_CREATE", "true")]).await;
    let at = |number: i64| {
        let mut message = message();
        message["tst"] = json!(1_780_401_600 + number);
        message
    };
    let mut wrong = at(1);
    wrong["lat"] = json!("north");
    let mut none = at(2);
    none["acc"] = json!(-1);
    let list = json!([at(0), wrong, {"_type": "lwt", "tst": 1}, none, 7, at(3)]);
    assert_eq!(send(&server, "", ADA, &list).await, (200, json!([])));
    assert_eq!(database.number("SELECT count(*) FROM location").await, 2);
    assert_eq!(send(&server, "", ADA, &list).await, (200, json!([])), "a resend is a success");
    // One that is cut off, many at once, and of several phones.
    let cut = json!([at(10), at(11), at(12)]).to_string();
    let path = "/api/locations/owntracks?u=ada&d=phone";
    assert_eq!(server.post_raw(path, "application/json", cut[..cut.len() - 9].to_owned()).await.0, 200);
    assert_eq!(database.number("SELECT count(*) FROM location").await, 4);
    let many: Vec<Value> = (100..3_100).map(at).collect();
    assert_eq!(send(&server, "", ADA, &json!(many)).await, (200, json!([])));
    assert_eq!(database.number("SELECT count(*) FROM location").await, 3_004);
    let of = |user: &str| {
        let mut message = at(0);
        message["topic"] = json!(format!("owntracks/{user}/phone"));
        message
    };
    assert_eq!(send(&server, "", &[], &json!([of("bob"), of("eve")])).await, (200, json!([])));
    assert_eq!(database.number("SELECT count(*) FROM person").await, 3);
    // What is nobody's stays in the phone; what stands beside it is stored.
    let strict = Server::with(&[("DATABASE_URL", &database.url())]).await;
    let mut bobs = of("bob");
    bobs["tst"] = json!(1_780_409_999);
    let (status, problem) = send(&strict, "", &[], &json!([of("mallory"), bobs])).await;
    assert!(status == 404 && problem["detail"].as_str().unwrap().contains("mallory/phone"), "{problem}");
    let stored = "SELECT count(*) FROM location WHERE creation_time = to_timestamp(1780409999)";
    assert_eq!(database.number(stored).await, 1);
}

/// A phone whose clock was a day ahead for one fix: it puts whatever is not answered with 200 back to the head of its queue.
#[tokio::test]
async fn one_bad_fix_leaves_nothing_in_the_phone() {
    let database = Database::new().await;
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("OWNTRACKS_CREATE", "true")]).await;
    let now = chrono::Utc::now().timestamp();
    let mut queue: std::collections::VecDeque<i64> = [now - 300, now + 86_400, now - 200, now - 100].into();
    for _ in 0..20 {
        let Some(tst) = queue.pop_front() else { break };
        let mut message = message();
        message["tst"] = json!(tst);
        if send(&server, "", ADA, &message).await.0 != 200 {
            queue.push_front(tst);
        }
    }
    assert!(queue.is_empty(), "{queue:?}");
    assert_eq!(database.number("SELECT count(*) FROM location").await, 3);
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
