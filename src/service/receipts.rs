//! The use case "what became of a queued location".

use super::AtEvent;
use super::record::Receipt;
use crate::domain::Result;

pub use crate::store::Fate;

impl AtEvent {
    /// The fate of the location, as far as it is known; `None` when this process has no queue, or the topic no such partition.
    pub async fn fate(&self, receipt: Receipt) -> Result<Option<Fate>> {
        let Some((topic, partitions)) = self.sink().queue() else { return Ok(None) };
        // The number of partitions is not known before Kafka was reached; then the database alone decides.
        if partitions > 0 && receipt.partition() >= partitions {
            return Ok(None);
        }
        self.whole_store().fate(topic, receipt.partition(), receipt.offset()).await.map(Some)
    }
}
