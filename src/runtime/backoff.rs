//! How long to wait before the next attempt.

use std::time::Duration;

/// How long to wait before trying again: twice as long after each failure, up to a bound.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// Begins anew, after something has worked.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// Whether nothing has failed since the last success.
    pub fn is_fresh(&self) -> bool {
        self.next == self.first
    }

    /// Waits, for a random time from half to all of the present pause, so that processes that failed together do not retry together.
    pub async fn wait(&mut self) {
        let chance = f64::from(std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8) as u32)
            / f64::from(u32::MAX);
        let wait = self.next.mul_f64(0.5 + 0.5 * chance);
        self.next = (self.next * 2).min(self.most);
        tokio::time::sleep(wait).await;
    }
}
