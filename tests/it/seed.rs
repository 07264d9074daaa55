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
