use crate::support::{Database, Server, run};
use serde_json::Value;

#[tokio::test]
async fn the_demo_event_is_the_same_every_time_and_grows() {
    let database = Database::new().await;
    let url = database.url();
    let seed = async |arguments: &[&str]| {
        let output = run(&[&["seed"], arguments].concat(), &[("DATABASE_URL", &url)]).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let content = "SELECT coalesce(sum(hashtextextended(concat(person_id, creation_time, coordinate, accuracy_m), 0) % 1000003), 0)::bigint
        FROM location";
    assert!(seed(&["--persons", "4", "--days", "2"]).await.contains("4320 stored"));
    let first = database.number(content).await;
    assert!(seed(&["--persons", "4", "--days", "2"]).await.contains("0 stored"));
    assert_eq!(database.number(content).await, first);
    assert_eq!(database.number("SELECT count(*) FROM location").await, 4 * 2 * 540);
    assert!(seed(&["--persons", "5", "--days", "3"]).await.contains("3780 stored"), "those of the larger that are new");
    assert!(seed(&["--if-empty", "--persons", "100"]).await.contains("nothing was loaded"));

    let server = Server::start(&database).await;
    let (_, persons) = server.get("/api/persons").await;
    assert_eq!(persons.as_array().unwrap().len(), 5);
    let (_, day) = server.get("/api/persons/1/locations?start_date=2026-06-02&end_date=2026-06-02").await;
    let day: &Vec<Value> = day.as_array().unwrap();
    assert_eq!(day.len(), 540);
    assert!(day.iter().all(|l| l["longitude"].as_f64().unwrap() < -90.0));
}

#[tokio::test]
async fn locations_are_laid_down_by_month() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    for time in ["2026-06-30T23:59:59Z", "2026-07-01T00:00:00Z", "2000-01-01T00:00:00Z"] {
        let location = serde_json::json!({"person_id": person, "latitude": 1, "longitude": 101, "creation_time": time});
        assert_eq!(server.post("/api/locations", &location).await.0, 201);
    }
    let client = database.client().await;
    let rows = client.query("SELECT tableoid::regclass::text FROM location ORDER BY creation_time", &[]).await.unwrap();
    let tables: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(tables, ["location_2000", "location_2026_06", "location_2026_07"]);
}

#[tokio::test]
async fn the_demo_may_be_another_event_on_other_days() {
    let database = Database::new().await;
    let url = database.url();
    let variables = [("DATABASE_URL", url.as_str()), ("DEFAULT_EVENT", "spring")];
    let seed = ["seed", "--persons", "2", "--days", "1", "--start", "2025-03-01"];
    let output = run(&seed, &variables).await;
    assert!(output.status.success(), "{output:?}");
    let server = Server::with(&variables).await;
    let (_, event) = server.get("/api/events/spring").await;
    assert_eq!((&event["name"], &event["time_zone"]), (&"Demo event".into(), &"America/Denver".into()));
    let (_, persons) = server.get("/api/persons").await;
    let (_, days) = server.get(&format!("/api/persons/{}/days", persons[0]["id"])).await;
    assert_eq!(days, serde_json::json!([{"date": "2025-03-01", "locations": 540}]));
    assert_eq!(server.get("/api/events/default/persons").await.1, serde_json::json!([]));
    // What somebody who tries it out sends now is taken.
    let now = serde_json::json!({"person_id": persons[0]["id"], "latitude": 35.0585, "longitude": -106.5819});
    assert_eq!(server.post("/api/locations", &now).await.0, 201);
    // An event with dates has no place for other days.
    let dates = serde_json::json!({"begins": "2025-03-01", "ends": "2025-03-01"});
    assert_eq!(server.patch("/api/events/spring", &dates).await.0, 200);
    let output = run(&["seed", "--persons", "2", "--event", "spring"], &[("DATABASE_URL", &url)]).await;
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && text.contains("--start") && text.contains("2025-03-01"), "{text}");

    let walk =
        ["simulate", "--persons", "2", "--duration", "2s", "--interval", "PT0.5S", "--verify", "--event", "default"];
    let servers = [("SIMULATE_GRPC_URL", server.grpc.as_str()), ("SIMULATE_API_URL", server.api.as_str())];
    let output = run(&walk, &servers).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(server.get("/api/events/default/persons").await.1.as_array().unwrap().len(), 2);
    assert_eq!(server.get("/api/persons").await.1, persons, "the others are as they were");
}
