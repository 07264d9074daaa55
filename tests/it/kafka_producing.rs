//! Locations on their way to Kafka while a part of it, or all of it, takes nothing.

use crate::support::{Database, Phone, Server, TOPIC, eventually, location};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::{Value, json};
use std::time::Duration;
use udaconnect::stream::partition_of;

type Mock = MockCluster<'static, DefaultProducerContext>;

const PARTITIONS: i32 = 4;

fn cluster() -> Mock {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, PARTITIONS, 1).unwrap();
    mock
}

async fn standalone(database: &Database, mock: &Mock, more: &[(&str, &str)]) -> Server {
    let (url, bootstrap) = (database.url(), mock.bootstrap_servers());
    let mut variables = vec![("DATABASE_URL", url.as_str()), ("KAFKA_BOOTSTRAP", bootstrap.as_str())];
    variables.extend_from_slice(more);
    let server = Server::with(&variables).await;
    ready(&server, 200).await;
    server
}

async fn ready(server: &Server, status: u16) {
    eventually("readiness", || async { (server.get_any("/readyz").await == status).then_some(()) }).await;
}

async fn metric(server: &Server, name: &str) -> f64 {
    let text = server.http.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

fn point(person: i64, number: i64) -> Value {
    json!({"person_id": person, "latitude": 35.0, "longitude": -106.5 - number as f64 / 1e6, "creation_time": "2026-06-02T10:00:00Z"})
}

/// Two persons of different partitions: one of partition `of`, and another.
async fn two_persons(server: &Server, of: i32) -> (i64, i64) {
    let (mut one, mut other) = (None, None);
    while one.is_none() || other.is_none() {
        let person = server.person().await;
        if partition_of(person.to_string().as_bytes(), PARTITIONS) == of {
            one = Some(person);
        } else {
            other = Some(person);
        }
    }
    (one.unwrap(), other.unwrap())
}

#[tokio::test]
async fn a_partition_without_a_leader_holds_up_nobody_else() {
    let (database, mock) = (Database::new().await, cluster());
    // As small as it may be: one request can fill it.
    let server = standalone(&database, &mock, &[("KAFKA_BUFFER", "10000"), ("KAFKA_DELIVERY_TIMEOUT", "5")]).await;
    let (stuck, well) = two_persons(&server, 1).await;
    mock.partition_leader(TOPIC, 1, None).unwrap();
    let (http, url) = (server.http.clone(), server.url("/api/locations/batch"));
    let many: Vec<Value> = (0..10_000).map(|number| point(stuck, number)).collect();
    let waiting = tokio::spawn(async move { http.post(url).json(&many).send().await.unwrap().status().as_u16() });
    eventually("a full buffer", || async {
        (metric(&server, "udaconnect_kafka_buffer").await >= 10_000.0).then_some(())
    })
    .await;
    // Streams that wait for that partition keep no room from others either, though they bring locations for all.
    let mut phones = Vec::new();
    for _ in 0..3 {
        let phone = Phone::connect(&server.grpc).await.unwrap();
        let mixed = (0..5_000).map(|number| location(if number % 2 == 0 { well } else { stuck }, number)).collect();
        assert!(phone.send(mixed).await);
        phones.push(phone);
    }
    let mut healthy = Phone::connect(&server.grpc).await.unwrap();
    for number in 0..20 {
        let (status, answer) = server.post("/api/locations", &point(well, number)).await;
        assert_eq!(status, 202, "{answer}");
        assert!(healthy.send(vec![location(well, 100_000 + number)]).await);
        healthy.acknowledged(number as u64 + 1).await.unwrap();
    }
    let (status, _) = server.post("/api/locations", &point(stuck, 1)).await;
    assert!([429, 503].contains(&status), "{status}");
    eventually("the partition to be counted", || async {
        (metric(&server, "udaconnect_kafka_partitions_failing").await == 1.0).then_some(())
    })
    .await;
    assert_eq!(metric(&server, "udaconnect_kafka_up").await, 1.0, "three partitions of four go on");
    ready(&server, 200).await;
    // Whoever waits is told, in REST and on streams, and what was given up leaves its room.
    assert_eq!(waiting.await.unwrap(), 503);
    for phone in &mut phones {
        let error = phone.acknowledged(5_000).await.expect_err("not acknowledged");
        assert_eq!(error.code(), tonic::Code::Unavailable, "{error:?}");
    }
    eventually("room", || async { (metric(&server, "udaconnect_kafka_buffer").await == 0.0).then_some(()) }).await;
    assert!(metric(&server, "udaconnect_kafka_given_up_total").await >= 10_000.0);
    // With a leader all is taken, and what is sent again is stored once.
    mock.partition_leader(TOPIC, 1, Some(1)).unwrap();
    let mut again = Phone::connect(&server.grpc).await.unwrap();
    let mixed = (0..5_000).map(|number| location(if number % 2 == 0 { well } else { stuck }, number)).collect();
    assert!(again.send(mixed).await);
    again.acknowledged(5_000).await.unwrap();
    let sql = format!("SELECT count(*) FROM location WHERE person_id = {stuck} AND coordinate IS NOT NULL");
    eventually("the locations", || async { (database.number(&sql).await >= 2_500).then_some(()) }).await;
    let twice = "SELECT count(*) - count(DISTINCT (person_id, creation_time, coordinate::text)) FROM location";
    assert_eq!(database.number(twice).await, 0);
}

#[tokio::test]
async fn a_kafka_that_is_silent_is_noticed_and_found_again() {
    let (database, mock) = (Database::new().await, cluster());
    let server = standalone(&database, &mock, &[]).await;
    let person = server.person().await;
    assert_eq!(server.post("/api/locations", &point(person, 0)).await.0, 202);
    // Connections stay, and nothing answers on them.
    mock.broker_round_trip_time(1, Duration::from_secs(3_600)).unwrap();
    let mut phone = Phone::connect(&server.grpc).await.unwrap();
    assert!(phone.send((1..=100).map(|number| location(person, number)).collect()).await);
    let (status, answer) = server.post("/api/locations", &point(person, 1)).await;
    assert_eq!(status, 503, "{answer}");
    // Whoever was told that nothing was acknowledged finds that readiness knows.
    let answer = server.http.get(server.url("/readyz")).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let answer: Value = answer.json().await.unwrap();
    assert_ne!(answer["checks"]["kafka"], "ok", "{answer}");
    assert_eq!(metric(&server, "udaconnect_kafka_up").await, 0.0);
    mock.broker_round_trip_time(1, Duration::ZERO).unwrap();
    phone.acknowledged(100).await.unwrap();
    ready(&server, 200).await;
    eventually("what was sent, once", || async {
        (database.number("SELECT count(*) FROM location").await == 102).then_some(())
    })
    .await;
}
