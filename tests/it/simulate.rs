//! A crowd of phones, and whether it tells the truth.

use crate::support::{Database, Proxy, Server, command, eventually, run};
use rdkafka::mocking::MockCluster;
use std::process::{Output, Stdio};

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn everything_that_phones_are_told_is_stored() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    // A quarter of an hour in three seconds, so that phones are offline in it, and late.
    let arguments =
        ["simulate", "--persons", "30", "--duration", "3s", "--speed", "300", "--offline", "60", "--verify"];
    let variables = [("SIMULATE_GRPC_URL", server.grpc.as_str()), ("SIMULATE_API_URL", server.api.as_str())];
    let output = run(&arguments, &variables).await;
    assert!(output.status.success(), "{}\n{}", text(&output), server.program.log());
    assert!(text(&output).contains("every acknowledged location is stored"), "{}", text(&output));
    let stored = database.number("SELECT count(*) FROM location").await;
    assert!(text(&output).contains(&format!(", {stored} acknowledged")), "{stored}: {}", text(&output));
    assert!(stored > 30 * 100, "{stored}");
    assert_eq!(database.number("SELECT count(*) FROM person WHERE company_name = 'Simulated'").await, 30);
    // The same people once more, some fewer.
    let output = run(&["simulate", "--persons", "20", "--duration", "1s", "--rate", "500"], &variables).await;
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(database.number("SELECT count(*) FROM person").await, 30);
}

#[tokio::test]
async fn phones_send_again_what_a_broken_network_swallowed() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let port = server.grpc.rsplit_once(':').unwrap().1.parse().unwrap();
    let proxy = Proxy::to(port).await;
    let simulation = command(&["simulate", "--persons", "10", "--duration", "4s", "--speed", "100", "--verify"])
        .env("SIMULATE_GRPC_URL", format!("http://127.0.0.1:{}", proxy.port))
        .env("SIMULATE_API_URL", &server.api)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let count = "SELECT count(*) FROM location";
    eventually("some locations", || async { (database.number(count).await > 50).then_some(()) }).await;
    proxy.cut();
    proxy.mend();
    let output = simulation.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("streams broke"), "{}", text(&output));
    assert!(text(&output).contains("every acknowledged location is stored"), "{}", text(&output));
}

#[tokio::test]
async fn a_location_that_was_acknowledged_and_lost_is_missed() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let empty = Database::new().await;
    // The phones send to one server and the other is asked: it has the persons and none of their locations.
    let elsewhere = Server::start(&empty).await;
    let persons = "INSERT INTO person (first_name, last_name, company_name) SELECT 'A', 'B', 'Simulated' FROM generate_series(1, 5)";
    for database in [&database, &empty] {
        database.client().await.batch_execute(persons).await.unwrap();
    }
    let arguments = ["simulate", "--persons", "5", "--duration", "1s", "--speed", "50", "--patience", "2s", "--verify"];
    let variables = [("SIMULATE_GRPC_URL", server.grpc.as_str()), ("SIMULATE_API_URL", elsewhere.api.as_str())];
    let output = run(&arguments, &variables).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("acknowledged locations are not stored as they were sent"), "{}", text(&output));
    let output = run(&["simulate", "--duration", "1s"], &[("SIMULATE_GRPC_URL", "http://127.0.0.1:1")]).await;
    assert!(output.status.code() == Some(1) && text(&output).contains("--grpc-url"), "{}", text(&output));
}

/// What a server that lies does with some of what it is to store.
const LIES: [(&str, &str, &str); 5] = [
    ("swaps coordinates", "BEFORE", "NEW.coordinate := ST_FlipCoordinates(NEW.coordinate::geometry)::geography"),
    ("alters accuracies", "BEFORE", "NEW.accuracy_m := NEW.accuracy_m + 0.1"),
    ("forgets accuracies", "BEFORE", "NEW.accuracy_m := NULL"),
    ("loses locations", "AFTER", "DELETE FROM location WHERE id = NEW.id"),
    (
        "stores them a second time, elsewhere",
        "AFTER",
        "IF pg_trigger_depth() = 1 THEN INSERT INTO location (person_id, coordinate, cell, creation_time, accuracy_m)
         VALUES (NEW.person_id, ST_MakePoint(-106.25, 35.5)::geography, NEW.cell, NEW.creation_time, NEW.accuracy_m); END IF",
    ),
];

#[tokio::test]
async fn a_location_that_is_stored_otherwise_than_it_was_sent_is_noticed() {
    for (what, when, lie) in LIES {
        let database = Database::new().await;
        let trigger = format!(
            "CREATE FUNCTION lie() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {lie}; RETURN NEW; END $$;
             CREATE TRIGGER lie {when} INSERT ON location FOR EACH ROW
             WHEN (extract(microseconds FROM NEW.creation_time)::bigint % 5 = 0) EXECUTE FUNCTION lie()"
        );
        database.client().await.batch_execute(&trigger).await.unwrap();
        let server = Server::start(&database).await;
        let arguments = [
            "simulate",
            "--persons",
            "5",
            "--duration",
            "1s",
            "--speed",
            "100",
            "--patience",
            "2s",
            "--seed",
            "7",
            "--verify",
        ];
        let variables = [("SIMULATE_GRPC_URL", server.grpc.as_str()), ("SIMULATE_API_URL", server.api.as_str())];
        let output = run(&arguments, &variables).await;
        assert_eq!(output.status.code(), Some(1), "{what}: {}", text(&output));
        assert!(text(&output).contains("are not stored as they were sent"), "{what}: {}", text(&output));
        assert!(text(&output).contains("--seed 7"), "{what}: {}", text(&output));
    }
}

#[tokio::test]
async fn files_and_phones_go_through_kafka() {
    const TOPIC: &str = "udaconnect.locations.v1";
    let database = Database::new().await;
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, 4, 1).unwrap();
    let (url, bootstrap) = (database.url(), mock.bootstrap_servers());
    let server = Server::with(&[("DATABASE_URL", url.as_str()), ("KAFKA_BOOTSTRAP", &bootstrap)]).await;
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("KAFKA_BOOTSTRAP", bootstrap.as_str()),
        ("SIMULATE_GRPC_URL", server.grpc.as_str()),
        ("SIMULATE_API_URL", server.api.as_str()),
    ];
    let file = format!("{}/tests/data/strava.gpx", env!("CARGO_MANIFEST_DIR"));
    let output = run(&["import", &file, "--person", "ada", "--person-by", "key"], &variables).await;
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("3 locations are safe in Kafka"), "{}", text(&output));
    let stored = "SELECT count(*) FROM location";
    eventually("three stored locations", || async { (database.number(stored).await == 3).then_some(()) }).await;
    let arguments = ["simulate", "--persons", "5", "--duration", "2s", "--speed", "50", "--verify"];
    let output = run(&arguments, &variables).await;
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("every acknowledged location is stored"), "{}", text(&output));
}
