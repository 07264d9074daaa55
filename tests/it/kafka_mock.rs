//! Through Kafka, against librdkafka's mock cluster: brokers that fail on demand.

use crate::support::{
    Database, Phone, Produced, Server, TOPIC, Worker, eventually, kafka_variables, location, produce, serve_api,
    serve_grpc,
};
use rdkafka::bindings::rd_kafka_resp_err_t as Fault;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaApiKey;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use udaconnect::stream::partition_of;

type Mock = MockCluster<'static, DefaultProducerContext>;

const PARTITIONS: i32 = 4;

/// The mock cannot create topics by request.
fn cluster(brokers: i32) -> Mock {
    let mock = MockCluster::new(brokers).unwrap();
    mock.create_topic(TOPIC, PARTITIONS, brokers).unwrap();
    mock
}

async fn standalone(database: &Database, mock: &Mock, more: &[(&str, &str)]) -> Server {
    let (url, bootstrap) = (database.url(), mock.bootstrap_servers());
    let mut variables = vec![("DATABASE_URL", url.as_str()), ("KAFKA_BOOTSTRAP", bootstrap.as_str())];
    variables.extend_from_slice(more);
    Server::with(&variables).await
}

async fn ready(server: &Server) {
    eventually("readiness", || async {
        (server.http.get(server.url("/readyz")).send().await.unwrap().status() == 200).then_some(())
    })
    .await;
}

async fn stored(database: &Database, count: i64) {
    eventually(&format!("{count} stored locations"), || async {
        (database.number("SELECT count(*) FROM location").await == count).then_some(())
    })
    .await;
}

fn point(person: i64, number: i64) -> Value {
    json!({"person_id": person, "latitude": 35.0, "longitude": -106.5 - number as f64 / 1e6, "creation_time": "2026-06-02T10:00:00Z"})
}

#[tokio::test]
async fn rest_answers_with_receipts_that_tell_what_became_of_each() {
    let database = Database::new().await;
    let mock = cluster(1);
    let server = standalone(&database, &mock, &[]).await;
    ready(&server).await;
    let person = server.person().await;
    let (status, queued) = server.post("/api/locations", &point(person, 1)).await;
    assert_eq!(status, 202, "{queued}");
    let receipt = queued["receipt"].as_str().unwrap().to_owned();
    let fate = async |receipt: &str, wanted: &str| {
        eventually(&format!("receipt {receipt} to be {wanted}"), || async {
            let (status, answer) = server.get(&format!("/api/receipts/{receipt}")).await;
            assert_eq!(status, 200, "{answer}");
            (answer["status"] == wanted).then_some(answer)
        })
        .await
    };
    fate(&receipt, "stored").await;

    let batch = json!([point(person, 1), point(person, 2), {"person_id": person}, point(999_999, 3)]);
    let (status, queued) = server.post("/api/locations/batch", &batch).await;
    assert_eq!((status, &queued["queued"], &queued["refused"]), (202, &json!(3), &json!(1)), "{queued}");
    let receipt = |index: usize| queued["items"][index]["receipt"].as_str().unwrap();
    fate(receipt(0), "stored").await;
    fate(receipt(1), "stored").await;
    assert_eq!(queued["items"][2]["status"], "refused");
    let rejected = fate(receipt(3), "rejected").await;
    assert!(rejected["reason"].as_str().unwrap().contains("nobody has the id 999999"), "{rejected}");
    assert_eq!(database.number("SELECT count(*) FROM location").await, 2);

    assert_eq!(server.get("/api/receipts/0-4000000").await.1["status"], "queued", "nobody has come that far");
    assert_eq!(server.get("/api/receipts/99-1").await.0, 404);
    assert_eq!(server.get("/api/receipts/what").await.0, 400);
}

#[tokio::test]
async fn a_dead_letter_is_listed_shown_and_replayed_when_the_person_is_there() {
    let database = Database::new().await;
    let mock = cluster(1);
    let server = standalone(&database, &mock, &[]).await;
    ready(&server).await;
    // The next person's id is known before they are added.
    let person = server.person().await + 1;
    let (_, queued) = server.post("/api/locations", &point(person, 1)).await;
    let receipt = queued["receipt"].as_str().unwrap().to_owned();
    eventually("the dead letter", || async {
        (database.number("SELECT count(*) FROM dead_letter").await == 1).then_some(())
    })
    .await;
    let tool = async |arguments: &[&str]| {
        let mut all = vec!["dead-letters"];
        all.extend_from_slice(arguments);
        let output = crate::support::run(&all, &[("DATABASE_URL", &database.url())]).await;
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (listed, text) = tool(&["list"]).await;
    assert!(listed && text.contains(&format!("person_id: nobody has the id {person}")), "{text}");
    let (_, text) = tool(&["show", "1"]).await;
    assert!(text.contains(&format!("key           {person}")), "{text}");
    let (replayed, text) = tool(&["replay", "--all"]).await;
    assert!(!replayed && text.contains("0 stored, 1 still cannot be"), "{text}");

    assert_eq!(server.person().await, person);
    let (replayed, text) = tool(&["replay", "1"]).await;
    assert!(replayed && text.contains("1 stored"), "{text}");
    assert_eq!(database.number("SELECT count(*) FROM location").await, 1);
    assert_eq!(database.number("SELECT count(*) FROM dead_letter").await, 0);
    assert_eq!(server.get(&format!("/api/receipts/{receipt}")).await.1["status"], "stored");
}

#[tokio::test]
async fn a_role_started_while_kafka_is_down_becomes_ready_when_it_is_up() {
    let database = Database::new().await;
    let mock = cluster(1);
    mock.broker_down(1).unwrap();
    let server = standalone(&database, &mock, &[]).await;
    let person = server.person().await;
    let answer = server.http.get(server.url("/readyz")).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let answer: Value = answer.json().await.unwrap();
    assert_ne!(answer["checks"]["kafka"], "ok", "{answer}");
    let refused = server.http.post(server.url("/api/locations")).json(&point(person, 1)).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));

    // A phone that comes now waits, and is served when Kafka is there.
    let mut phone = Phone::connect(&server.grpc).await.unwrap();
    assert!(phone.send(vec![location(person, 1), location(person, 2)]).await);
    mock.broker_up(1).unwrap();
    ready(&server).await;
    phone.acknowledged(2).await.unwrap();
    stored(&database, 2).await;
}

#[tokio::test]
async fn faults_of_every_kind_lose_nothing_and_no_phone_sees_an_error() {
    let database = Database::new().await;
    let mock = cluster(3);
    let server = standalone(&database, &mock, &[]).await;
    ready(&server).await;
    let person = server.person().await;
    let mut phone = Phone::connect(&server.grpc).await.unwrap();
    let mut sent = 0;
    let mut send = async |phone: &mut Phone| {
        for _ in 0..5 {
            // Several persons, so that all partitions are used; nobody but the first exists.
            let batch = (0..200).map(|number| location(person, sent + number)).collect();
            assert!(phone.send(batch).await);
            sent += 200;
        }
        phone.acknowledged(sent as u64).await.unwrap();
    };
    send(&mut phone).await;
    let produce = RDKafkaApiKey::Produce;
    let mut faults = vec![
        Fault::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        Fault::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Fault::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        Fault::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Fault::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        Fault::RD_KAFKA_RESP_ERR__TRANSPORT,
        Fault::RD_KAFKA_RESP_ERR_UNKNOWN,
    ];
    mock.request_errors(produce, &faults);
    send(&mut phone).await;
    faults.truncate(2);
    faults.extend([Fault::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, Fault::RD_KAFKA_RESP_ERR__TRANSPORT]);
    mock.request_errors(RDKafkaApiKey::Fetch, &faults);
    send(&mut phone).await;
    // The leaders move, then one broker goes and comes back.
    for partition in 0..PARTITIONS {
        mock.partition_leader(TOPIC, partition, Some(1 + partition % 3)).unwrap();
    }
    send(&mut phone).await;
    for partition in 0..PARTITIONS {
        mock.partition_leader(TOPIC, partition, Some(2)).unwrap();
    }
    mock.broker_down(3).unwrap();
    send(&mut phone).await;
    mock.broker_up(3).unwrap();
    for broker in 1..=3 {
        mock.broker_round_trip_time(broker, Duration::from_millis(300)).unwrap();
    }
    send(&mut phone).await;
    stored(&database, sent).await;
    assert!(phone.refused.is_empty(), "{:?}", phone.refused);
    assert_eq!(database.number("SELECT count(*) FROM dead_letter").await, 0);
}

#[tokio::test]
async fn an_acknowledgement_waits_for_the_brokers_and_a_full_buffer_is_felt() {
    let database = Database::new().await;
    let mock = cluster(1);
    let server = standalone(&database, &mock, &[("KAFKA_BUFFER", "10000")]).await;
    ready(&server).await;
    let person = server.person().await;
    // Slower than anything in this test.
    mock.broker_round_trip_time(1, Duration::from_secs(10)).unwrap();
    let all: Vec<Value> = (0..10_000).map(|number| point(person, number)).collect();
    let batch = server.http.post(server.url("/api/locations/batch")).json(&all).send();
    let waiting = tokio::spawn(batch);
    eventually("a full buffer", || async {
        let metrics = server.http.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
        metrics.contains("udaconnect_kafka_buffer 10000").then_some(())
    })
    .await;
    let refused = server.http.post(server.url("/api/locations")).json(&point(person, 1)).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert!(!waiting.is_finished(), "acknowledged before the broker has");
    mock.broker_round_trip_time(1, Duration::ZERO).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 202);
    stored(&database, 10_000).await;
}

#[tokio::test]
async fn poison_is_set_aside_and_never_stops_a_partition() {
    let database = Database::new().await;
    let mock = cluster(1);
    let variables = kafka_variables(&database, &mock.bootstrap_servers());
    database
        .client()
        .await
        .batch_execute(
            "INSERT INTO person (first_name, last_name, company_name) SELECT 'a', 'b', 'c' FROM generate_series(1, 20)",
        )
        .await
        .unwrap();
    let mut records = Vec::new();
    for number in 0..11_000_i64 {
        let person = 1 + number % 20;
        let key = Some(person.to_string().into_bytes());
        let good = json!({"person_id": person, "latitude": "35.5", "longitude": -106.5, "creation_time": format!("2026-06-02T{:02}:{:02}:{:02}", number / 3_600, number / 60 % 60, number % 60)});
        let record = |value: &str, content_type| Produced {
            key: key.clone(),
            value: Some(value.as_bytes().to_vec()),
            content_type,
        };
        let json_type = Some("application/json");
        // One in eleven, of ten kinds.
        records.push(if number % 11 != (number / 11) % 11 {
            record(&good.to_string(), json_type)
        } else {
            match (number / 11) % 10 {
                0 => Produced { key: key.clone(), value: None, content_type: json_type },
                1 => record("", json_type),
                2 => record("{\"person_id\": 1, \"latitude\": 35.5", json_type),
                3 => record("[1, 2, 3]", json_type),
                4 => record(&json!({"person_id": person, "latitude": 95, "longitude": 0}).to_string(), json_type),
                5 => record(&json!({"person_id": person, "longitude": 0}).to_string(), json_type),
                6 => record(&json!({"person_id": 999_999, "latitude": 1, "longitude": 2}).to_string(), json_type),
                7 => record("\u{0}\u{ff}\u{0}garbage", Some("application/x-protobuf")),
                8 => record(&good.to_string(), Some("text/plain")),
                _ => Produced { key: None, value: Some(vec![0xff; 2_000]), content_type: None },
            }
        });
    }
    let places = produce(&mock.bootstrap_servers(), TOPIC, &records).await;
    let worker = Worker::start(&variables).await;
    stored(&database, 10_000).await;
    eventually("the dead letters", || async {
        (database.number("SELECT count(*) FROM dead_letter").await == 1_000).then_some(())
    })
    .await;
    assert_eq!(
        database.number("SELECT count(*) FROM dead_letter WHERE reason = '' OR first_offset <> last_offset").await,
        0
    );
    // The offsets are at the end of every partition, and the values are kept as they were.
    let mut ends = HashMap::new();
    for (partition, offset) in &places {
        let end: &mut i64 = ends.entry(*partition).or_default();
        *end = (*end).max(offset + 1);
    }
    for (partition, end) in ends {
        let sql = format!("SELECT next_offset FROM kafka_partition WHERE partition = {partition}");
        assert_eq!(database.number(&sql).await, end, "partition {partition}");
    }
    let kept = database
        .client()
        .await
        .query("SELECT partition, first_offset, key, value FROM dead_letter", &[])
        .await
        .unwrap();
    let written: HashMap<_, _> = places.into_iter().zip(&records).collect();
    for row in kept {
        let record = written[&(row.get(0), row.get(1))];
        assert_eq!(row.get::<_, Option<Vec<u8>>>(2), record.key);
        assert_eq!(row.get::<_, Option<Vec<u8>>>(3), record.value);
    }
    eventually("the metrics", || async {
        (worker.metric("udaconnect_consume_dead_letters_total").await == 1_000.0).then_some(())
    })
    .await;
    assert_eq!(worker.ready().await.0, 200);
}

#[tokio::test]
async fn librdkafka_puts_the_same_keys_in_the_same_partitions() {
    let mock = cluster(1);
    let keys: Vec<i64> = (1..=2_000).map(|i| i * i * 7 - 6).collect();
    let records: Vec<_> = keys
        .iter()
        .map(|key| Produced { key: Some(key.to_string().into_bytes()), value: Some(b"x".to_vec()), content_type: None })
        .collect();
    let places = produce(&mock.bootstrap_servers(), TOPIC, &records).await;
    for (key, (partition, _)) in keys.iter().zip(places) {
        assert_eq!(partition_of(key.to_string().as_bytes(), PARTITIONS), partition, "{key}");
    }
}

#[tokio::test]
async fn workers_share_the_partitions_and_take_over_from_one_that_is_killed() {
    let database = Database::new().await;
    let mock = cluster(1);
    let variables = kafka_variables(&database, &mock.bootstrap_servers());
    let mut first = Worker::start(&variables).await;
    first.owns(4).await;
    let mut second = Worker::start(&variables).await;
    second.owns(2).await;
    first.owns(2).await;
    let third = Worker::start(&variables).await;
    third.owns(1).await;
    eventually("an even share", || async {
        let shares = [first.owned().await, second.owned().await];
        (shares.iter().sum::<f64>() == 3.0 && shares.contains(&1.0)).then_some(())
    })
    .await;
    // One is killed, one leaves in order.
    first.program.kill().await;
    eventually("an even share", || async { (second.owned().await + third.owned().await == 4.0).then_some(()) }).await;
    second.program.signal(libc::SIGTERM);
    assert!(second.program.ended().await.success());
    third.owns(4).await;
}

#[tokio::test]
async fn ingest_goes_on_while_the_database_is_away() {
    let database = Database::new().await;
    let mock = cluster(1);
    let server = standalone(&database, &mock, &[]).await;
    let person = server.person().await;
    let proxy = crate::support::Proxy::to(database.port()).await;
    let mut variables = kafka_variables(&database, &mock.bootstrap_servers());
    variables[0].1 = database.url_at(proxy.port);
    drop(server);

    let (_program, url) = serve_grpc(&variables).await;
    let worker = Worker::start(&variables).await;
    worker.owns(4).await;
    let mut phone = Phone::connect(&url).await.unwrap();
    assert!(phone.send(vec![location(person, 1)]).await);
    phone.acknowledged(1).await.unwrap();
    stored(&database, 1).await;
    let api = serve_api(&variables).await;
    proxy.cut();
    eventually("the worker to notice", || async { (worker.ready().await.0 == 503).then_some(()) }).await;
    for number in 2..=100 {
        assert!(phone.send(vec![location(person, number)]).await);
        phone.acknowledged(number as u64).await.unwrap();
    }
    // REST takes locations, too, and so stays ready, while it says what is away.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let posted = http.post(format!("{}/api/locations", api.1)).json(&point(person, 500)).send().await.unwrap();
    assert_eq!(posted.status(), 202);
    let ready = http.get(format!("{}/readyz", api.1)).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    let ready: Value = ready.json().await.unwrap();
    assert!(ready["checks"]["kafka"] == "ok" && ready["checks"]["postgres"] != "ok", "{ready}");
    assert_eq!(database.number("SELECT count(*) FROM location").await, 1);
    proxy.mend();
    stored(&database, 101).await;
    eventually("the worker to be ready", || async { (worker.ready().await.0 == 200).then_some(()) }).await;
}

#[tokio::test]
async fn a_worker_whose_database_is_silent_gives_its_partitions_up() {
    let database = Database::new().await;
    let mock = cluster(1);
    let server = standalone(&database, &mock, &[]).await;
    let person = server.person().await;
    drop(server);
    let proxy = crate::support::Proxy::to(database.port()).await;
    let direct = kafka_variables(&database, &mock.bootstrap_servers());
    let mut behind = direct.clone();
    behind[0].1 = database.url_at(proxy.port);
    // Nothing at the server would end a wait.
    behind.push(("DATABASE_STATEMENT_TIMEOUT", "3600".to_owned()));
    let mut silent = Worker::start(&behind).await;
    silent.owns(4).await;
    let (_program, url) = serve_grpc(&direct).await;
    let phone = Phone::connect(&url).await.unwrap();
    assert!(phone.send(vec![location(person, 1)]).await);
    stored(&database, 1).await;

    proxy.freeze();
    assert!(phone.send((2..=50).map(|number| location(person, number)).collect()).await);
    eventually("the partitions to be given up", || async { (silent.owned().await == 0.0).then_some(()) }).await;
    assert_eq!(silent.ready().await.0, 503);
    let other = Worker::start(&direct).await;
    other.owns(4).await;
    stored(&database, 50).await;
    // Back by itself, with new connections.
    proxy.thaw();
    silent.owns(2).await;
    eventually("the worker to be ready", || async { (silent.ready().await.0 == 200).then_some(()) }).await;
    // And it ends when it should, silent or not.
    proxy.freeze();
    silent.program.signal(libc::SIGTERM);
    assert!(silent.program.ended().await.success());
}

/// Longer than any test: a broker that takes what it is sent, and answers nothing.
const NEVER: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn while_kafka_is_silent_nothing_flaps_and_afterwards_all_goes_on() {
    let database = Database::new().await;
    let mock = cluster(1);
    let variables = kafka_variables(&database, &mock.bootstrap_servers());
    let workers = [Worker::start(&variables).await, Worker::start(&variables).await];
    for worker in &workers {
        worker.owns(2).await;
        eventually("readiness", || async { (worker.ready().await.0 == 200).then_some(()) }).await;
    }
    let count =
        |message: &str| workers.iter().map(|worker| worker.program.log().matches(message).count()).sum::<usize>();
    let taken = count("partition taken");
    mock.broker_round_trip_time(1, NEVER).unwrap();
    for worker in &workers {
        eventually("word of it", || async { (worker.ready().await.0 == 503).then_some(()) }).await;
        assert_eq!(worker.metric("udaconnect_kafka_up").await, 0.0);
        // Others may still reach Kafka.
        worker.owns(0).await;
    }
    eventually("nobody to own anything", || async {
        (database.number("SELECT count(*) FROM kafka_partition WHERE owner IS NOT NULL").await == 0).then_some(())
    })
    .await;
    // Who gives up last may have taken over from who did first.
    assert!(count("partition taken") <= taken + 2, "nobody takes what nobody can read");
    assert_eq!(count("kafka answers nothing"), 2, "each gives up once");
    mock.broker_round_trip_time(1, Duration::ZERO).unwrap();
    for worker in &workers {
        worker.owns(2).await;
        eventually("readiness", || async { (worker.ready().await.0 == 200).then_some(()) }).await;
        assert_eq!(worker.metric("udaconnect_kafka_up").await, 1.0);
    }
    let key = Some(b"1".to_vec());
    let record = Produced { key, value: Some(point(1, 1).to_string().into_bytes()), content_type: None };
    produce(&mock.bootstrap_servers(), TOPIC, &[record]).await;
    eventually("the record", || async {
        (database.number("SELECT count(*) FROM dead_letter").await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_worker_to_which_kafka_is_silent_leaves_its_partitions_to_others() {
    let database = Database::new().await;
    // Two ways to what is one cluster to both workers.
    let (here, there) = (cluster(1), cluster(1));
    let cut_off = Worker::start(&kafka_variables(&database, &here.bootstrap_servers())).await;
    let other = Worker::start(&kafka_variables(&database, &there.bootstrap_servers())).await;
    cut_off.owns(2).await;
    other.owns(2).await;
    here.broker_round_trip_time(1, NEVER).unwrap();
    other.owns(4).await;
    cut_off.owns(0).await;
    here.broker_round_trip_time(1, Duration::ZERO).unwrap();
    cut_off.owns(2).await;
    other.owns(2).await;
}

#[tokio::test]
async fn a_silent_broker_holds_nobody_up_while_another_one_answers() {
    let database = Database::new().await;
    let mock = cluster(2);
    for partition in 0..PARTITIONS {
        mock.partition_leader(TOPIC, partition, Some(2)).unwrap();
    }
    mock.broker_round_trip_time(1, NEVER).unwrap();
    let server = standalone(&database, &mock, &[]).await;
    ready(&server).await;
    let person = server.person().await;
    assert_eq!(server.post("/api/locations", &point(person, 1)).await.0, 202);
    stored(&database, 1).await;
    // And when it falls silent later, and the other one comes back.
    mock.broker_round_trip_time(1, Duration::ZERO).unwrap();
    for partition in 0..PARTITIONS {
        mock.partition_leader(TOPIC, partition, Some(1)).unwrap();
    }
    mock.broker_round_trip_time(2, NEVER).unwrap();
    eventually("a way round it", || async {
        let answer = server.http.post(server.url("/api/locations")).json(&point(person, 2)).send().await.unwrap();
        (answer.status() == 202).then_some(())
    })
    .await;
    eventually("the location", || async {
        (database.number("SELECT count(*) FROM location").await == 2).then_some(())
    })
    .await;
}
