//! What became of a location that was queued.

use super::AtEvent;
use super::record::Receipt;
use crate::domain::Result;

pub use crate::store::Fate;

impl AtEvent {
    /// What became of the location, as far as is known; `None` where there is no such receipt.
    pub async fn fate(&self, receipt: Receipt) -> Result<Option<Fate>> {
        let Some((topic, partitions)) = self.sink().queue() else { return Ok(None) };
        // Before Kafka was ever reached the number is not known; then the database alone tells.
        if partitions > 0 && receipt.partition() >= partitions {
            return Ok(None);
        }
        self.whole_store().fate(topic, receipt.partition(), receipt.offset()).await.map(Some)
    }
}
