use super::{Database, Program, eventually};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{Compression, UnknownTopicHandling};
use rskafka::record::Record;
use serde_json::Value;
use std::time::Duration;

pub const TOPIC: &str = "udaconnect.locations.v1";

/// What a role needs to reach both.
pub fn kafka_variables(database: &Database, bootstrap: &str) -> Vec<(&'static str, String)> {
    vec![("DATABASE_URL", database.url()), ("KAFKA_BOOTSTRAP", bootstrap.to_owned())]
}

/// A `consume` on a port that the system chose.
pub struct Worker {
    pub program: Program,
    address: String,
}

impl Worker {
    pub async fn start(variables: &[(&'static str, String)]) -> Self {
        let mut all = vec![("LISTEN_ADDR", "127.0.0.1:0")];
        all.extend(variables.iter().map(|(name, value)| (*name, value.as_str())));
        let program = Program::start(&["consume"], &all);
        let address = program.logged("consuming; probes and metrics are here", "address").await;
        Self { program, address }
    }

    /// Where its probes are, as host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(format!("http://{}{path}", self.address)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// What `/readyz` says.
    pub async fn ready(&self) -> (u16, Value) {
        let (status, text) = self.get("/readyz").await;
        (status, serde_json::from_str(&text).unwrap())
    }

    /// The value of a metric, with its labels as they are written; 0 while it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    pub async fn owned(&self) -> f64 {
        self.metric("udaconnect_kafka_partitions_owned").await
    }

    pub async fn owns(&self, partitions: usize) {
        eventually("partitions", || async { (self.owned().await == partitions as f64).then_some(()) }).await;
    }
}

/// A `serve-grpc` on a port that the system chose, and its URL.
pub async fn serve_grpc(variables: &[(&'static str, String)]) -> (Program, String) {
    let mut all = vec![("LISTEN_ADDR", "127.0.0.1:0")];
    all.extend(variables.iter().map(|(name, value)| (*name, value.as_str())));
    let program = Program::start(&["serve-grpc"], &all);
    let url = format!("http://{}", program.logged("serving gRPC", "address").await);
    (program, url)
}

/// A `serve-api` on a port that the system chose, and its URL; ready.
pub async fn serve_api(variables: &[(&'static str, String)]) -> (Program, String) {
    let mut all = vec![("LISTEN_ADDR", "127.0.0.1:0")];
    all.extend(variables.iter().map(|(name, value)| (*name, value.as_str())));
    let program = Program::start(&["serve-api"], &all);
    let url = format!("http://{}", program.logged("serving the API", "address").await);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    eventually("the API to be ready", || async {
        (client.get(format!("{url}/readyz")).send().await.unwrap().status() == 200).then_some(())
    })
    .await;
    (program, url)
}

/// A record as another program writes it.
pub struct Produced {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub content_type: Option<&'static str>,
}

/// Writes records with librdkafka, told to choose partitions as the Java client does; returns each one's place.
pub async fn produce(bootstrap: &str, topic: &str, records: &[Produced]) -> Vec<(i32, i64)> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("partitioner", "murmur2_random")
        .set("queue.buffering.max.ms", "20")
        .create()
        .unwrap();
    let sent: Vec<_> = records
        .iter()
        .map(|record| {
            let mut headers = OwnedHeaders::new();
            if let Some(content_type) = record.content_type {
                headers = headers.insert(Header { key: "content-type", value: Some(content_type) });
            }
            let mut message = FutureRecord::<[u8], [u8]>::to(topic).headers(headers);
            message.key = record.key.as_deref();
            message.payload = record.value.as_deref();
            producer.send_result(message).map_err(|(error, _)| error).expect("room in the queue")
        })
        .collect();
    let mut places = Vec::new();
    for delivery in sent {
        let delivered = tokio::time::timeout(Duration::from_secs(60), delivery).await.expect("a delivery").unwrap();
        let delivery = delivered.map_err(|(error, _)| error).unwrap();
        places.push((delivery.partition, delivery.offset));
    }
    places
}

/// Writes records as one batch in this packing.
pub async fn produce_packed(bootstrap: &str, topic: &str, partition: i32, packing: Compression, records: Vec<Record>) {
    let client = ClientBuilder::new(vec![bootstrap.to_owned()]).build().await.unwrap();
    let client = client.partition_client(topic, partition, UnknownTopicHandling::Retry).await.unwrap();
    client.produce(records, packing).await.unwrap();
}
