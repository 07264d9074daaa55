//! The contract over HTTP.

use crate::support::{Database, Server};
use serde_json::{Value, json};

/// Ada, who stands at a booth for an hour; Bob, who passes by twice; Eve, who comes the day after; all at |longitude| > 90.
struct Crowd {
    database: Database,
    server: Server,
    ada: i64,
    bob: i64,
    eve: i64,
}

const LATITUDE: f64 = 35.0585136;
const LONGITUDE: f64 = -106.5819;

impl Crowd {
    async fn new() -> Self {
        let database = Database::new().await;
        let server = Server::start(&database).await;
        let crowd = Self {
            ada: server.person().await,
            bob: server.person().await,
            eve: server.person().await,
            database,
            server,
        };
        for minute in 0..60 {
            crowd.at(crowd.ada, &format!("2026-06-02T10:{minute:02}:00Z"), 0.0).await;
        }
        for minute in [0, 5, 10, 40, 45] {
            crowd.at(crowd.bob, &format!("2026-06-02T10:{minute:02}:30Z"), 4.0).await;
        }
        crowd.at(crowd.bob, "2026-06-02T10:20:00Z", 500.0).await;
        crowd.at(crowd.bob, "2026-06-02T23:59:59.5Z", 3.0).await;
        crowd.at(crowd.eve, "2026-06-03T00:00:00Z", 3.0).await;
        crowd.at(crowd.ada, "2026-06-02T23:59:59Z", 0.0).await;
        crowd
    }

    /// Records where somebody was: so many metres north of the booth.
    async fn at(&self, person: i64, time: &str, metres: f64) {
        let location = json!({"person_id": person, "latitude": LATITUDE + metres / 110_950.0, "longitude": LONGITUDE,
            "creation_time": time});
        assert_eq!(self.server.post("/api/locations", &location).await.0, 201);
    }

    async fn ask(&self, path: &str) -> Value {
        let (status, answer) = self.server.get(&format!("/api/persons/{path}")).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    async fn refused(&self, path: &str, expected: u16) -> Vec<String> {
        let (status, problem) = self.server.get(&format!("/api/persons/{path}")).await;
        assert_eq!(status, expected, "{path}: {problem}");
        problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn connections_and_their_encounters() {
    let crowd = Crowd::new().await;
    let (ada, bob, eve) = (crowd.ada, crowd.bob, crowd.eve);
    let connections = crowd.ask(&format!("{ada}/connections?start_date=2026-06-02&end_date=2026-06-02")).await;
    let [connection] = &connections.as_array().unwrap()[..] else { panic!("{connections}") };
    assert_eq!(connection["person"], crowd.ask(&bob.to_string()).await);
    assert_eq!(connection["encounters"], 3);
    // 10:00:00 to 10:15:00, as far as Ada was within five minutes of Bob; 10:36:00 to 10:50:00; and the end of the day.
    assert_eq!(connection["total_duration"], 900.0 + 840.0 + 0.5);
    assert_eq!(connection["first_met"], "2026-06-02T10:00:00Z");
    assert_eq!(connection["last_met"], "2026-06-02T23:59:59.500Z");
    assert!((connection["closest_m"].as_f64().unwrap() - 3.0).abs() < 0.01);
    assert_eq!(connection["closest"]["distance_m"], connection["closest_m"]);
    assert_eq!(connection["closest"]["time"], "2026-06-02T23:59:59Z", "of the earlier of the two");
    assert_eq!(
        (&connection["closest"]["latitude"], &connection["closest"]["longitude"]),
        (&json!(LATITUDE), &json!(LONGITUDE))
    );

    let encounters = crowd.ask(&format!("{ada}/connections/{bob}?start_date=2026-06-02&end_date=2026-06-02")).await;
    let spans: Vec<_> =
        encounters.as_array().unwrap().iter().map(|met| json!([met["start"], met["end"], met["duration"]])).collect();
    assert_eq!(
        spans,
        [
            json!(["2026-06-02T10:00:00Z", "2026-06-02T10:15:00Z", 900.0]),
            json!(["2026-06-02T10:36:00Z", "2026-06-02T10:50:00Z", 840.0]),
            json!(["2026-06-02T23:59:59Z", "2026-06-02T23:59:59.500Z", 0.5]),
        ]
    );
    let mirrored = crowd.ask(&format!("{bob}/connections/{ada}?start_date=2026-06-02&end_date=2026-06-02")).await;
    assert_eq!(encounters, mirrored);
    assert_eq!(crowd.ask(&format!("{ada}/connections/{ada}")).await, json!([]));
    // Midnight is Eve's, and the next day's; without an end both days are asked about.
    assert_eq!(crowd.ask(&format!("{ada}/connections/{eve}?end_date=2026-06-02")).await, json!([]));
    assert_eq!(crowd.ask(&format!("{eve}/connections?start_date=2026-06-02")).await.as_array().unwrap().len(), 2);
    let long = crowd.ask(&format!("{ada}/connections?min_duration=PT1M")).await;
    assert_eq!(long.as_array().unwrap().len(), 1, "{long}");
    assert_eq!(crowd.ask(&format!("{ada}/connections?min_duration=86400")).await, json!([]));
    assert_eq!(crowd.ask(&format!("{ada}/connections?distance=1")).await, json!([]));
    let gaps = crowd.ask(&format!("{ada}/connections/{bob}?end_date=2026-06-02&gap=PT22M")).await;
    assert_eq!(gaps.as_array().unwrap().len(), 2);
    let wide = crowd.ask(&format!("{ada}/connections?distance=1000&within=P1D&gap=PT24H")).await;
    assert_eq!(wide.as_array().unwrap().len(), 2);
    assert_eq!(crowd.ask(&format!("{ada}/days")).await, json!([{"date": "2026-06-02", "locations": 61}]));
}

#[tokio::test]
async fn connections_come_with_their_encounters_where_asked() {
    let crowd = Crowd::new().await;
    let ada = crowd.ada;
    for query in ["", "distance=1000&within=P1D&gap=PT24H", "distance=5&within=60"] {
        let bare = crowd.ask(&format!("{ada}/connections?{query}")).await;
        let with = crowd.ask(&format!("{ada}/connections?{query}&include=encounters")).await;
        let mut stripped = with.clone();
        for (connection, bare) in stripped.as_array_mut().unwrap().iter_mut().zip(bare.as_array().unwrap()) {
            let met = connection.as_object_mut().unwrap().remove("met").unwrap();
            assert_eq!(met.as_array().unwrap().len() as i64, bare["encounters"].as_i64().unwrap());
            let other = &bare["person"]["id"];
            assert_eq!(met, crowd.ask(&format!("{ada}/connections/{other}?{query}")).await, "{query}");
        }
        assert_eq!(stripped, bare, "{query}");
    }
    let pages = crowd.server.pages(&format!("/api/persons/{ada}/connections?include=encounters&limit=1")).await;
    assert!(pages.len() == 2 && pages.concat().iter().all(|connection| connection["met"].is_array()));
    assert_eq!(crowd.refused(&format!("{ada}/connections?include=persons"), 400).await, ["include"]);
    let url = crowd.server.url(&format!("/api/persons/{ada}/connections?include=encounters"));
    let response = crowd.server.http.get(url).header("accept", "text/csv").send().await.unwrap();
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn days_are_those_of_a_time_zone() {
    let crowd = Crowd::new().await;
    let eve = crowd.eve;
    let days = async |tz: &str| crowd.ask(&format!("{eve}/days?tz={tz}")).await;
    let utc = crowd.ask(&format!("{eve}/days")).await;
    assert_eq!(days("UTC").await, utc);
    let somebody = crowd.server.person().await;
    for time in ["2026-06-02T05:59:59Z", "2026-06-02T06:00:00Z", "2026-06-02T23:00:00Z"] {
        crowd.at(somebody, time, 0.0).await;
    }
    let days = async |tz: &str| crowd.ask(&format!("{somebody}/days?tz={tz}")).await;
    assert_eq!(days("UTC").await, json!([{"date": "2026-06-02", "locations": 3}]));
    assert_eq!(
        days("America/Denver").await,
        json!([{"date": "2026-06-01", "locations": 1}, {"date": "2026-06-02", "locations": 2}])
    );
    assert_eq!(
        days("Asia/Kathmandu").await,
        json!([{"date": "2026-06-02", "locations": 2}, {"date": "2026-06-03", "locations": 1}])
    );
    for wrong in ["Mars/Olympus", "UTC+2", "'", "localtime"] {
        assert_eq!(crowd.refused(&format!("{somebody}/days?tz={wrong}"), 400).await, ["tz"], "{wrong}");
    }
    assert_eq!(crowd.refused("999/days?tz=Europe/Berlin", 404).await, ["id"]);
}

#[tokio::test]
async fn the_proof_of_concepts_page_works() {
    let crowd = Crowd::new().await;
    let (ada, bob) = (crowd.ada, crowd.bob);
    // Its own call, with the year of this data.
    let found = crowd.ask(&format!("{ada}/connection?start_date=2026-01-01&end_date=2026-12-30&distance=5")).await;
    let found = found.as_array().unwrap();
    let times: Vec<_> = found.iter().map(|item| item["location"]["creation_time"].as_str().unwrap()).collect();
    assert_eq!(times.len(), 7, "{times:?}");
    assert!(times.is_sorted());
    for item in found {
        let location = &item["location"];
        assert!(location["latitude"].as_f64().unwrap() > 35.0 && location["longitude"].as_f64().unwrap() < -106.0);
        assert_eq!(item["person"]["id"], location["person_id"]);
        assert_eq!(item["person"]["first_name"], "Ada", "everybody is called that here");
        assert!(["last_name", "company_name"].iter().all(|name| item["person"][name].is_string()));
    }
    // The end date's day counts, the next one's first instant does not; each location once, near however many of Ada's.
    let day = crowd.ask(&format!("{ada}/connection?start_date=2026-06-02&end_date=2026-06-02&distance=5")).await;
    let day = day.as_array().unwrap();
    assert_eq!(day.len(), 6);
    assert!(day.iter().all(|item| item["location"]["person_id"] == bob));
    assert_eq!(day[5]["location"]["creation_time"], "2026-06-02T23:59:59.500Z");
    let limited = crowd.ask(&format!("{ada}/connection?start_date=2026-06-02&end_date=2026-06-02&limit=2")).await;
    assert_eq!(limited.as_array().unwrap()[..], day[..2]);
    let within = crowd.ask(&format!("{ada}/connection?start_date=2026-06-02&end_date=2026-06-02&within=1")).await;
    assert_eq!(within.as_array().unwrap()[..], day[5..]);
    let nobody = crowd.server.person().await;
    for path in [
        format!("{nobody}/connection?start_date=2026-06-02&end_date=2026-06-02"),
        format!("{nobody}/connections"),
        format!("{nobody}/days"),
    ] {
        assert_eq!(crowd.ask(&path).await, json!([]));
    }
    let response = crowd
        .server
        .http
        .head(crowd.server.url(&format!("/api/persons/{ada}/connection?start_date=2026-06-02&end_date=2026-06-02")))
        .send()
        .await
        .unwrap();
    assert_eq!((response.status().as_u16(), response.bytes().await.unwrap().len()), (200, 0));
}

#[tokio::test]
async fn connections_are_paged_from_the_strongest() {
    let crowd = Crowd::new().await;
    let ada = crowd.ada;
    for minutes in [3, 1, 2, 2] {
        let person = crowd.server.person().await;
        for minute in 0..=minutes {
            crowd.at(person, &format!("2026-06-02T10:{minute:02}:00Z"), 1.0).await;
        }
    }
    let query = "start_date=2026-06-02&end_date=2026-06-02&within=0&distance=2";
    let whole = crowd.ask(&format!("{ada}/connections?{query}")).await;
    let whole = whole.as_array().unwrap();
    let ranks: Vec<_> =
        whole.iter().map(|c| (c["total_duration"].as_f64().unwrap(), c["person"]["id"].as_i64().unwrap())).collect();
    let eve = crowd.eve;
    assert_eq!(ranks, [(180.0, eve + 1), (120.0, eve + 3), (120.0, eve + 4), (60.0, eve + 2)]);
    for limit in 1..=4 {
        let pages = crowd.server.pages(&format!("/api/persons/{ada}/connections?{query}&limit={limit}")).await;
        assert!(pages.iter().all(|page| (1..=limit).contains(&page.len())));
        assert_eq!(pages.concat(), whole[..]);
    }
    let first = crowd.server.http.get(crowd.server.url(&format!("/api/persons/{ada}/connections?{query}&limit=1")));
    let next = crate::support::next_page(&first.send().await.unwrap()).unwrap();
    let cursor = next.split("cursor=").nth(1).unwrap();
    for foreign in [
        format!("{ada}/connections?{query}&min_duration=1&cursor={cursor}"),
        format!("{ada}/connections?start_date=2026-06-02&cursor={cursor}"),
        format!("{}/connections?{query}&cursor={cursor}", crowd.bob),
        format!("{ada}/connections?{query}&cursor={}", &cursor[2..]),
        format!("{ada}/connections?{query}&cursor=x"),
    ] {
        assert_eq!(crowd.refused(&foreign, 400).await, ["cursor"], "{foreign}");
    }
}

#[tokio::test]
async fn an_answer_that_the_client_has_is_not_sent_again() {
    let crowd = Crowd::new().await;
    let (ada, bob) = (crowd.ada, crowd.bob);
    for path in ["days".to_owned(), "connections".to_owned(), format!("connections/{bob}")] {
        let url = crowd.server.url(&format!("/api/persons/{ada}/{path}"));
        let response = crowd.server.http.get(&url).send().await.unwrap();
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        let ask = async || {
            let response = crowd.server.http.get(&url).header("if-none-match", &tag).send().await.unwrap();
            (response.status().as_u16(), response.bytes().await.unwrap().len())
        };
        assert_eq!(ask().await, (304, 0), "{path}");
        crowd.at(ada, &format!("2026-06-02T10:50:{:02}Z", path.len()), 0.0).await;
        let (status, length) = ask().await;
        assert!(status == 200 && length > 0, "{path}");
    }
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let crowd = Crowd::new().await;
    let ada = crowd.ada;
    for (path, fields) in [
        ("connections?distance=0", vec!["distance"]),
        ("connections?distance=-5", vec!["distance"]),
        ("connections?distance=abc", vec!["distance"]),
        ("connections?distance=NaN", vec!["distance"]),
        ("connections?distance=1e9", vec!["distance"]),
        ("connections?within=-1", vec!["within"]),
        ("connections?within=PT25H", vec!["within"]),
        ("connections?within=600&gap=599", vec!["gap"]),
        ("connections?gap=P2D", vec!["gap"]),
        ("connections?min_duration=long", vec!["min_duration"]),
        ("connections?limit=0", vec!["limit"]),
        ("connections?limit=1001", vec!["limit"]),
        ("connections?start_date=2026-06-03&end_date=2026-06-02", vec!["end_date"]),
        ("connections?start_date=yesterday&distance=0&within=x&gap=y", vec!["start_date", "within", "gap", "distance"]),
        ("connections?distanse=5", vec!["distanse"]),
        ("connections/0", vec!["other_id"]),
        ("connection", vec!["start_date", "end_date"]),
        ("connection?start_date=2026-06-02&distance=0", vec!["end_date", "distance"]),
        ("connection?start_date=2026-06-02&end_date=2026-06-02&limit=0", vec!["limit"]),
        ("connection?start_date=2026-06-02&end_date=2026-06-02&within=P2D", vec!["within"]),
    ] {
        assert_eq!(crowd.refused(&format!("{ada}/{path}"), 400).await, fields, "{path}");
    }
    for path in [
        "999/connections".to_owned(),
        "999/days".to_owned(),
        format!("{ada}/connections/999"),
        format!("999/connections/{ada}"),
        "999/connection?start_date=2026-06-02&end_date=2026-06-02".to_owned(),
    ] {
        assert_eq!(crowd.refused(&path, 404).await, ["id"], "{path}");
    }
}

#[tokio::test]
async fn a_question_that_takes_too_long_says_what_to_narrow() {
    let crowd = Crowd::new().await;
    let url = crowd.database.url();
    let server = Server::with(&[("DATABASE_URL", &url), ("DATABASE_STATEMENT_TIMEOUT", "1")]).await;
    let client = crowd.database.client().await;
    // As good as a table too large to search: nobody may read it for now.
    client.batch_execute("BEGIN; LOCK TABLE location").await.unwrap();
    for path in ["connections", "connection?start_date=2026-06-02&end_date=2026-06-02"] {
        let (status, problem) = server.get(&format!("/api/persons/{}/{path}", crowd.ada)).await;
        assert_eq!(status, 503, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("a shorter range"), "{problem}");
    }
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(server.get(&format!("/api/persons/{}/connections", crowd.ada)).await.0, 200);
}
