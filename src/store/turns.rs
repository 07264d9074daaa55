//! Searches take turns: as many as there are processors are worked on at once, the others wait in line.
//!
//! A search keeps a processor busy here and one at the database. All at once would end no sooner on average, and the unlucky ones
//! much later. What takes long must not hold up what does not: after [`TURN`] the next one begins beside it.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How long a search may keep others waiting.
const TURN: Duration = Duration::from_millis(250);

/// Who may begin. Cheap to clone.
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

/// A turn; over when it is dropped, if not before.
pub(super) struct Turn(#[allow(dead_code)] oneshot::Sender<()>);

impl Turns {
    /// `at_once` of them; 0 is one for each processor, and two at least.
    pub(super) fn new(at_once: usize) -> Self {
        let at_once = match at_once {
            0 => std::thread::available_parallelism().map_or(2, usize::from).max(2),
            n => n,
        };
        Self(Arc::new(Semaphore::new(at_once)))
    }

    /// Waits in line.
    pub(super) async fn take(&self) -> Turn {
        let permit = self.0.clone().acquire_owned().await;
        let (turn, over) = oneshot::channel();
        tokio::spawn(hold(permit.ok(), over));
        Turn(turn)
    }
}

async fn hold(permit: Option<OwnedSemaphorePermit>, over: oneshot::Receiver<()>) {
    // Either end is the end of the turn.
    let _ = tokio::time::timeout(TURN, over).await;
    drop(permit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_next_one_begins_when_one_has_ended_or_takes_long() {
        let turns = Turns::new(1);
        let begin = tokio::time::Instant::now();
        let first = turns.take().await;
        drop(first);
        let _second = turns.take().await;
        assert!(begin.elapsed() < TURN);
        // The second one is still at it.
        let _third = turns.take().await;
        assert!(begin.elapsed() >= TURN);
    }
}
