//! How locations get from a request to where they are safe: checked, then to Kafka or straight to the store.
//!
//! Whatever brings locations makes [`LocationDraft`](crate::domain::LocationDraft)s and hands them to the [`Intake`] of its
//! request, which answers for each with an [`Outcome`].

mod batch;
mod intake;
mod outcome;
mod receipt;
mod sink;
mod writer;

pub use batch::Batch;
pub use intake::{Intake, Kept, Taken};
pub use outcome::{Outcome, Outcomes, Refusal};
pub use receipt::Receipt;
pub use sink::{Drain, IngestArgs};
pub use writer::{BatchWriter, MAX_REQUEST, WriterArgs, Writers};

pub(super) use sink::Sink;
