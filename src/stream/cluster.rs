use super::security::Security;
use super::{KafkaArgs, unavailable};
use crate::domain::{Error, Result};
use rskafka::BackoffConfig;
use rskafka::client::error::{Error as Kafka, ProtocolError};
use rskafka::client::partition::{PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a question to the cluster may take; rskafka itself would wait for ever on a broker that has gone silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a broker may send us at once. More than one fetch asks for, since a batch is sent whole.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// The brokers and the topic, through a client that is made anew when it stops working.
pub struct Cluster {
    args: KafkaArgs,
    bootstrap: Vec<String>,
    security: Security,
    client: Mutex<Option<Arc<Client>>>,
}

impl Cluster {
    /// Connects to nothing yet. [`Error::Invalid`] when no brokers are given, or when a file of certificates or a password that
    /// is named cannot be read.
    pub fn new(args: &KafkaArgs) -> Result<Self> {
        let bootstrap =
            args.kafka_bootstrap.as_ref().ok_or_else(|| Error::invalid("KAFKA_BOOTSTRAP", "must be given"))?.brokers();
        Ok(Self { args: args.clone(), bootstrap, security: args.security.read()?, client: Mutex::default() })
    }

    pub fn topic(&self) -> &str {
        &self.args.kafka_topic
    }

    /// How many partitions the topic has; creates it when it is absent and that is allowed.
    pub async fn partitions(&self) -> Result<i32> {
        self.attempt(async |client| {
            if let Some(partitions) = self.find(client).await? {
                return Ok(partitions);
            }
            if !self.args.kafka_create_topic {
                return Err(unavailable(format!(
                    "topic {} does not exist and is not to be created; create it or give --kafka-create-topic true",
                    self.topic()
                )));
            }
            let controller = client.controller_client().map_err(unavailable)?;
            let created = controller
                .create_topic(self.topic(), self.args.kafka_partitions, self.args.kafka_replication, 5_000)
                .await;
            match created {
                Ok(()) => tracing::info!(
                    topic = self.topic(),
                    partitions = self.args.kafka_partitions,
                    replication = self.args.kafka_replication,
                    "topic created"
                ),
                // Somebody else was faster.
                Err(Kafka::ServerError { protocol_error: ProtocolError::TopicAlreadyExists, .. }) => {}
                Err(error) => return Err(unavailable(format!("topic {} cannot be created: {error}", self.topic()))),
            }
            self.find(client).await?.ok_or_else(|| unavailable("the new topic is not known to all brokers yet"))
        })
        .await
    }

    async fn find(&self, client: &Client) -> Result<Option<i32>> {
        let topics = client.list_topics().await.map_err(unavailable)?;
        let topic = topics.into_iter().find(|topic| topic.name == self.topic());
        Ok(topic.map(|topic| topic.partitions.len() as i32).filter(|partitions| *partitions > 0))
    }

    /// A connection to the partition's leader, wherever it moves.
    pub(super) async fn partition(&self, partition: i32) -> Result<PartitionClient> {
        self.attempt(async |client| {
            client
                .partition_client(self.topic(), partition, UnknownTopicHandling::Error)
                .await
                .map_err(|error| unavailable(format!("partition {partition}: {error}")))
        })
        .await
    }

    /// Runs a question; whatever fails, the next one begins at the bootstrap brokers: the cluster that rskafka remembers may
    /// be gone as a whole, and it never looks back.
    async fn attempt<T>(&self, question: impl AsyncFnOnce(&Client) -> Result<T>) -> Result<T> {
        let mut used = None;
        let answer = within(PATIENCE, async {
            let client = self.client().await?;
            used = Some(client.clone());
            question(&client).await
        })
        .await;
        if answer.is_err() {
            let mut current = self.client.lock().await;
            if let (Some(now), Some(then)) = (&*current, &used)
                && Arc::ptr_eq(now, then)
            {
                *current = None;
            }
        }
        answer
    }

    /// Makes the next question begin at the bootstrap brokers, as one that has failed does; for whoever has given one up.
    pub(super) async fn forget(&self) {
        // Whoever has the lock is making a new client.
        if let Ok(mut current) = self.client.try_lock() {
            *current = None;
        }
    }

    async fn client(&self) -> Result<Arc<Client>> {
        let mut current = self.client.lock().await;
        if let Some(client) = &*current {
            return Ok(client.clone());
        }
        let client = self
            .security
            .apply(ClientBuilder::new(self.bootstrap.clone()))
            .client_id("udaconnect")
            .max_message_size(MAX_MESSAGE)
            .backoff_config(BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_millis(500),
                base: 2.0,
                deadline: Some(Duration::from_secs(1)),
            })
            .build()
            .await
            .map_err(unavailable)?;
        Ok(current.insert(Arc::new(client)).clone())
    }
}

/// The future's result, or `Unavailable` when it takes longer.
pub(super) async fn within<T>(patience: Duration, future: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(patience, future).await {
        Ok(result) => result,
        Err(_) => Err(unavailable(format!("no answer within {patience:?}"))),
    }
}
