//! Whether the use cases can do their work, and the gauges that show it.

use super::Service;
use crate::domain::Result;

impl Service {
    /// Whether locations are queued in Kafka and stored later.
    pub fn has_queue(&self) -> bool {
        self.sink().is_queue()
    }

    /// Whether the database can be used. `Error::Invalid` is for the operator to mend; `Error::Unavailable` may pass.
    pub async fn database_ready(&self) -> Result<()> {
        self.store().ready().await
    }

    /// Whether there is a replica of the database for searches.
    pub fn has_replica(&self) -> bool {
        self.store().has_replica()
    }

    /// Whether searches go to the replica; the error says why they go to the primary.
    pub async fn replica_ready(&self) -> Result<()> {
        self.store().replica_ready().await
    }

    /// Whether Kafka accepts what is sent; always ready where there is no Kafka.
    pub fn queue_ready(&self) -> Result<()> {
        self.sink().check()
    }

    /// Writes the gauges that `/metrics` shows.
    pub fn measure(&self) {
        self.store().measure();
        self.sink().measure();
    }
}
