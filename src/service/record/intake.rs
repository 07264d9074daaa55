//! The one way in for locations, whether they go to Kafka or straight to the store.

use super::batch::Batch;
use super::outcome::{Outcome, Outcomes, Refusal, Refused};
use super::sink::Pending;
use super::{MAX_REQUEST, Receipt};
use crate::codec::Origin;
use crate::domain::{Error, Location, LocationDraft, NewLocation, Result};
use crate::runtime::{request, trace};
use crate::service::AtEvent;
use crate::store::Stored;
use metrics::counter;

/// Takes in the locations of one request.
pub struct Intake {
    at: AtEvent,
    origin: Origin,
}

/// One location as it is stored or queued, to be shown to its sender.
#[derive(Clone, Debug)]
pub enum Kept {
    /// As it is stored.
    Stored(Location),
    Queued(Receipt),
}

/// A batch whose valid locations were taken and are on their way.
#[must_use = "only its outcomes tell whether the locations are safe"]
pub struct Taken {
    pending: Pending,
    refused: Refused,
}

impl AtEvent {
    /// The way in for locations of the request that this task works for.
    pub fn intake(&self) -> Intake {
        let origin = Origin { request_id: request::id(), trace_parent: trace::parent().map(Into::into) };
        Intake { at: self.clone(), origin }
    }

    /// Stores the locations of a load, or queues them where there is Kafka (then all count as stored). Returns their number and not
    /// their ids, once they are safe; waits while there are no permits.
    pub async fn load(&self, batch: Vec<NewLocation>) -> Result<Stored> {
        if !self.sink().is_queue() {
            return self.store()?.record_bulk(&batch).await;
        }
        let count = batch.len();
        let origin = Origin::default();
        let mut waiting = Vec::new();
        for part in batch.chunks(MAX_REQUEST as usize) {
            waiting.push(self.sink().send(self.event(), &origin, part.to_vec()).await?);
        }
        for pending in waiting {
            pending.settled().await?;
        }
        Ok(Stored { stored: count, ..Stored::default() })
    }

    /// Vacuums and analyses the database after a large load.
    pub async fn vacuum(&self) -> Result<()> {
        self.whole_store().vacuum().await
    }
}

impl Intake {
    /// An empty batch.
    pub fn batch(&self) -> Batch {
        Batch::new(self.at.clone())
    }

    /// Checks a location, takes it, and waits until it is safe; errors are as of [`Intake::record`].
    pub async fn record_one(&self, draft: impl Into<LocationDraft>) -> Result<Outcome> {
        match self.at.check(draft) {
            Ok(location) => self.record_valid(location).await,
            Err(errors) => {
                count_invalid(1);
                Ok(Outcome::Refused(Refusal::Fields(errors)))
            }
        }
    }

    /// The same, and returns the location. A duplicate is returned as it was stored the first time, perhaps with another accuracy.
    pub async fn record_and_show(&self, draft: LocationDraft) -> Result<Result<Kept, Refusal>> {
        let new = match self.at.check(draft) {
            Ok(new) => new,
            Err(errors) => {
                count_invalid(1);
                return Ok(Err(Refusal::Fields(errors)));
            }
        };
        let location = match self.record_valid(new.clone()).await? {
            Outcome::Stored { id } => stored(id, new),
            Outcome::Duplicate { id } => match self.at.location(id).await {
                // Deleted just now: after this request, as it were.
                Err(Error::NotFound { .. }) => stored(id, new),
                found => found?,
            },
            Outcome::Queued { receipt } => return Ok(Ok(Kept::Queued(receipt))),
            Outcome::Refused(refusal) => return Ok(Err(refusal)),
        };
        Ok(Ok(Kept::Stored(location)))
    }

    async fn record_valid(&self, location: NewLocation) -> Result<Outcome> {
        let settled = self.at.sink().record(self.at.event(), &self.origin, vec![location]).await?;
        let outcome = Outcomes::new(settled, Refused::new()).next();
        outcome.ok_or_else(|| Error::Internal("no outcome for a location".to_owned()))
    }

    /// Takes all valid locations of the batch and waits until they are safe; [`Error::Overloaded`] when there are not
    /// enough permits, and then none is taken. After any other error they may be stored all the same; sending them again is safe.
    pub async fn record(&self, batch: Batch) -> Result<Outcomes> {
        let Batch { valid, refused, .. } = batch;
        count_invalid(refused.len());
        Ok(Outcomes::new(self.at.sink().record(self.at.event(), &self.origin, valid).await?, refused))
    }

    /// Takes all valid locations of the batch as soon as there are permits for them; a stream that waits here reads no more from its
    /// phone. With Kafka, fails after the delivery time-out; some may have been taken then.
    pub async fn take(&self, batch: Batch) -> Result<Taken> {
        let Batch { valid, refused, .. } = batch;
        count_invalid(refused.len());
        Ok(Taken { pending: self.at.sink().send(self.at.event(), &self.origin, valid).await?, refused })
    }
}

impl Taken {
    /// Waits until all are safe or refused.
    pub async fn outcomes(self) -> Result<Outcomes> {
        Ok(Outcomes::new(self.pending.settled().await?, self.refused))
    }
}

fn count_invalid(count: usize) {
    if count > 0 {
        counter!("udaconnect_ingest_refused_total", "reason" => "invalid").increment(count as u64);
    }
}

fn stored(id: i64, new: NewLocation) -> Location {
    Location {
        id,
        person_id: new.person_id(),
        coordinate: new.coordinate(),
        creation_time: new.creation_time(),
        accuracy_m: new.accuracy_m(),
    }
}
