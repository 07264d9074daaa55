use crate::support::{Database, Server};
use serde_json::{Value, json};

#[tokio::test]
async fn a_location_is_recorded_read_and_deleted() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    // |longitude| > 90: latitude and longitude that change places cannot pass.
    let sent = json!({"person_id": person, "latitude": "35.0585136", "longitude": -106.5819,
        "creation_time": "2026-06-02T18:00:00+02:00", "accuracy_m": 4.5});
    let response = server.http.post(server.url("/api/locations")).json(&sent).send().await.unwrap();
    assert_eq!(response.status(), 201);
    let path = response.headers()["location"].to_str().unwrap().to_owned();
    let stored: Value = response.json().await.unwrap();
    let expected = json!({"id": stored["id"], "person_id": person, "latitude": 35.0585136, "longitude": -106.5819,
        "creation_time": "2026-06-02T16:00:00Z", "accuracy_m": 4.5});
    assert_eq!(stored, expected);
    assert_eq!(server.get(&path).await, (200, expected));
    let (x, y) = {
        let client = database.client().await;
        let row = client
            .query_one("SELECT st_x(coordinate::geometry), st_y(coordinate::geometry) FROM location", &[])
            .await
            .unwrap();
        (row.get::<_, f64>(0), row.get::<_, f64>(1))
    };
    assert_eq!((x, y), (-106.5819, 35.0585136));
    assert_eq!(server.delete(&path).await, (204, Value::Null));
    assert_eq!(server.get(&path).await.0, 404);
    assert_eq!(server.delete(&path).await.0, 404);
}

#[tokio::test]
async fn a_resend_is_a_success_and_is_stored_once() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let at = |latitude: f64, time: &str, accuracy: f64| json!({"person_id": person, "latitude": latitude, "longitude": 120.5, "creation_time": time, "accuracy_m": accuracy});
    let first = server.post("/api/locations", &at(-0.0, "2026-06-02T10:00:00Z", 3.0)).await;
    let again = server.post("/api/locations", &at(0.0, "2026-06-02T12:00:00.0000001+02:00", 9.0)).await;
    assert_eq!(first.0, 201);
    assert_eq!(first, again, "as it was stored the first time");
    let elsewhere = server.post("/api/locations", &at(1e-9, "2026-06-02T10:00:00Z", 3.0)).await;
    assert_ne!(first.1["id"], elsewhere.1["id"], "another place at the same instant is another location");
    assert_eq!(database.number("SELECT count(*) FROM location").await, 2);
}

#[tokio::test]
async fn concurrent_requests_are_each_answered_with_their_own() {
    let database = Database::new().await;
    let server = std::sync::Arc::new(Server::start(&database).await);
    let person = server.person().await;
    let mut requests = tokio::task::JoinSet::new();
    for i in 0..200 {
        let server = server.clone();
        requests.spawn(async move {
            // Every location twice, and a tenth for somebody who does not exist.
            let (place, stranger) = (i / 2, i % 20 == 0);
            let who = if stranger { 1_000_000 } else { person };
            let location = json!({"person_id": who, "latitude": 10.0, "longitude": 100.0 + f64::from(place) / 1000.0,
                "creation_time": "2026-06-02T10:00:00Z"});
            let (status, answer) = server.post("/api/locations", &location).await;
            if stranger {
                assert_eq!(status, 404, "{answer}");
                assert_eq!(answer["errors"][0]["field"], "person_id");
            } else {
                assert_eq!(status, 201, "{answer}");
                assert_eq!(answer["longitude"], location["longitude"]);
                let path = format!("/api/locations/{}", answer["id"]);
                assert_eq!(server.get(&path).await.1["longitude"], location["longitude"], "committed when answered");
            }
        });
    }
    while let Some(done) = requests.join_next().await {
        done.unwrap();
    }
    assert_eq!(database.number("SELECT count(*) FROM location").await, 100);
}

#[tokio::test]
async fn a_batch_keeps_what_is_good() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let good = json!({"person_id": person, "latitude": 1, "longitude": 101, "creation_time": "2026-06-02T10:00:00Z"});
    let items = [
        good.clone(),
        json!({"person_id": person, "latitude": 91, "longitude": 181}),
        good.clone(),
        json!({"person_id": person + 1000, "latitude": 1, "longitude": 1}),
        json!("nonsense"),
        json!({"person_id": person, "latitude": "2", "longitude": "102", "creation_time": "2026-06-02 10:00"}),
    ];
    let (status, outcome) = server.post("/api/locations/batch", &json!(items)).await;
    assert_eq!(status, 200);
    let of = |outcome: &Value| -> Vec<String> {
        outcome["items"].as_array().unwrap().iter().map(|item| item["status"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(of(&outcome), ["stored", "refused", "duplicate", "refused", "refused", "stored"]);
    assert_eq!((&outcome["stored"], &outcome["duplicates"], &outcome["refused"]), (&json!(2), &json!(1), &json!(3)));
    let fields = |index: usize| -> Vec<&str> {
        outcome["items"][index]["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect()
    };
    assert_eq!(fields(1), ["latitude", "longitude"]);
    assert_eq!(fields(3), ["person_id"]);
    assert_eq!(fields(4), ["item"]);
    assert_eq!(outcome["items"][0]["id"], outcome["items"][2]["id"]);

    let lines = items.map(|item| item.to_string()).join("\r\n") + "\n\n{broken";
    let (status, outcome) = server.post_raw("/api/locations/batch", "application/x-ndjson", lines).await;
    assert_eq!(status, 200);
    assert_eq!(of(&outcome), ["duplicate", "refused", "duplicate", "refused", "refused", "duplicate", "refused"]);
    assert_eq!(database.number("SELECT count(*) FROM location").await, 2);
}

#[tokio::test]
async fn a_large_batch_is_stored_whole_and_read_back_in_pages() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let location = |i: i64| {
        // Newest first, and three at each instant.
        let time = chrono::DateTime::from_timestamp(1_780_000_000 - i / 3, 0).unwrap().to_rfc3339();
        json!({"person_id": person, "latitude": 35.0 + i as f64 * 1e-6, "longitude": -106.5, "creation_time": time})
    };
    let batch: Vec<Value> = (0..10_000).map(location).collect();
    let (status, outcome) = server.post("/api/locations/batch", &json!(batch)).await;
    assert_eq!((status, &outcome["stored"]), (200, &json!(10_000)));
    let pages = server.pages(&format!("/api/persons/{person}/locations?limit=1234")).await;
    let all: Vec<Value> = pages.concat();
    assert_eq!(all.len(), 10_000);
    let key = |l: &Value| (l["creation_time"].as_str().unwrap().to_owned(), l["id"].as_i64().unwrap());
    assert!(all.is_sorted_by(|a, b| key(a) < key(b)), "oldest first, none twice");
}

#[tokio::test]
async fn a_range_is_half_open_and_a_date_is_a_whole_day() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let times =
        ["2026-06-01T23:59:59.999999Z", "2026-06-02T00:00:00Z", "2026-06-02T23:59:59.999999Z", "2026-06-03T00:00:00Z"];
    for time in times {
        let location = json!({"person_id": person, "latitude": 1, "longitude": 101, "creation_time": time});
        assert_eq!(server.post("/api/locations", &location).await.0, 201);
    }
    let found = async |query: &str| -> Vec<String> {
        let (status, list) = server.get(&format!("/api/persons/{person}/locations?{query}")).await;
        assert_eq!(status, 200, "{list}");
        list.as_array().unwrap().iter().map(|l| l["creation_time"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found("start_date=2026-06-02&end_date=2026-06-02").await, times[1..3]);
    assert_eq!(found("start_date=2026-06-02&end_date=2026-06-02T23:59:59.999999Z").await, times[1..2]);
    assert_eq!(found("end_date=2026-06-01").await, times[..1]);
    assert_eq!(found("start_date=2026-06-03T02:00:00%2B02:00").await, times[3..]);
    assert_eq!(found("start_date=2026-06-03T02:00:00+02:00").await, times[3..], "a + that nobody escaped");
    assert_eq!(found("").await, times);
    assert_eq!(found("start_date=2027-01-01").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_that_is_deleted_while_it_is_sent_again_is_stored_again() {
    const TIMES: usize = 200;
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let location = json!({"person_id": server.person().await, "latitude": 1, "longitude": 2, "creation_time": "2026-06-02T10:00:00Z"});
    let (ids, mut deleted) = tokio::sync::mpsc::unbounded_channel::<i64>();
    let send = async || {
        for _ in 0..TIMES {
            let (status, answer) = server.post("/api/locations", &location).await;
            // Never "nobody has this id".
            assert_eq!(status, 201, "{answer}");
            ids.send(answer["id"].as_i64().unwrap()).unwrap();
        }
    };
    let delete = async {
        for _ in 0..TIMES * 2 {
            let id = deleted.recv().await.unwrap();
            let (status, answer) = server.delete(&format!("/api/locations/{id}")).await;
            assert!(matches!(status, 204 | 404), "{status} {answer}");
        }
    };
    tokio::join!(send(), send(), delete);
}
