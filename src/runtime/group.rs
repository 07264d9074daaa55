//! Jobs that share their way to the database: whatever waits while one group is under way makes up the next.
//!
//! No timer: a lone job goes at once, and under load groups grow by themselves. One trip for many costs the server far less than
//! many trips, so a second one begins beside the first only when it is worth it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// How large groups are, in whatever [`Job::weight`] counts.
#[derive(Clone, Copy, Debug)]
pub struct GroupSize {
    /// A group that has so much takes no more.
    pub most: usize,
    /// So much must wait for a further group to begin beside those under way.
    pub worthwhile: usize,
}

/// What can be done in groups.
pub trait Job {
    /// How much of a group it makes up.
    fn weight(&self) -> usize;
}

/// Where jobs are handed in. Cheap to clone; when the last clone is dropped, takers end after what waits.
pub struct JobSender<J>(Arc<Entrance<J>>);

struct Entrance<J>(Arc<Shared<J>>);

/// Where jobs are taken from, by as many tasks as there may be groups under way at once.
pub struct Jobs<J>(Arc<Shared<J>>);

/// A group that is under way until this is dropped.
pub struct UnderWay<J>(Arc<Shared<J>>);

struct Shared<J> {
    size: GroupSize,
    state: Mutex<State<J>>,
    /// Wakes one taker, when there is something to take: waking for every job would cost more than the rest.
    ready: Notify,
}

struct State<J> {
    waiting: VecDeque<J>,
    weight: usize,
    under_way: usize,
    closed: bool,
}

/// A queue without bounds: who fills it must bound it.
pub fn jobs<J: Job>(size: GroupSize) -> (JobSender<J>, Jobs<J>) {
    let state = State { waiting: VecDeque::new(), weight: 0, under_way: 0, closed: false };
    let shared = Arc::new(Shared { size, state: Mutex::new(state), ready: Notify::new() });
    (JobSender(Arc::new(Entrance(shared.clone()))), Jobs(shared))
}

impl<J> Shared<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn may_begin(&self, state: &State<J>) -> bool {
        !state.waiting.is_empty()
            && (state.under_way == 0 || state.weight >= self.size.worthwhile.min(self.size.most) || state.closed)
    }
}

impl<J: Job> JobSender<J> {
    /// Hands a job in.
    pub fn send(&self, job: J) {
        let shared = &self.0.0;
        let mut state = shared.lock();
        let before = shared.may_begin(&state);
        state.weight += job.weight();
        state.waiting.push_back(job);
        if !before && shared.may_begin(&state) {
            drop(state);
            shared.ready.notify_one();
        }
    }
}

impl<J> Clone for JobSender<J> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<J> Drop for Entrance<J> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.ready.notify_one();
    }
}

impl<J> Clone for Jobs<J> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<J: Job> Jobs<J> {
    /// The next group; `None` when nobody can hand in any more and nothing waits.
    pub async fn next(&self) -> Option<(Vec<J>, UnderWay<J>)> {
        loop {
            if let Some(done) = self.try_next() {
                return done;
            }
            self.0.ready.notified().await;
        }
    }

    /// The inner `None` is the end.
    #[allow(clippy::option_option)]
    fn try_next(&self) -> Option<Option<(Vec<J>, UnderWay<J>)>> {
        let shared = &self.0;
        let mut state = shared.lock();
        if !shared.may_begin(&state) {
            let ended = state.closed && state.waiting.is_empty();
            if ended {
                // The other takers, one after the other.
                shared.ready.notify_one();
            }
            return ended.then_some(None);
        }
        let (mut group, mut weight) = (Vec::new(), 0);
        while weight < shared.size.most
            && let Some(job) = state.waiting.pop_front()
        {
            weight += job.weight();
            group.push(job);
        }
        state.weight -= weight;
        state.under_way += 1;
        if shared.may_begin(&state) {
            shared.ready.notify_one();
        }
        drop(state);
        Some(Some((group, UnderWay(self.0.clone()))))
    }

    /// All that waits.
    pub fn take_waiting(&self) -> Vec<J> {
        let mut state = self.0.lock();
        state.weight = 0;
        state.waiting.drain(..).collect()
    }
}

impl<J> Drop for UnderWay<J> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.under_way -= 1;
        if self.0.may_begin(&state) {
            drop(state);
            self.0.ready.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Job for u32 {
        fn weight(&self) -> usize {
            1
        }
    }

    const SIZE: GroupSize = GroupSize { most: 4, worthwhile: 3 };

    /// What can be taken at once.
    fn taken(jobs: &Jobs<u32>) -> Option<(Vec<u32>, UnderWay<u32>)> {
        jobs.try_next().flatten()
    }

    #[test]
    fn a_lone_job_goes_at_once_and_what_comes_meanwhile_goes_together() {
        let (send, jobs) = jobs(SIZE);
        assert!(taken(&jobs).is_none());
        send.send(1);
        let (group, first) = taken(&jobs).unwrap();
        assert_eq!(group, [1]);
        // Too few for a trip of their own.
        send.send(2);
        send.send(3);
        assert!(taken(&jobs).is_none());
        drop(first);
        let (group, _second) = taken(&jobs).unwrap();
        assert_eq!(group, [2, 3]);
    }

    #[tokio::test]
    async fn many_go_beside_others_and_no_more_than_may() {
        let (send, jobs) = jobs(SIZE);
        send.send(0);
        let _first = jobs.next().await.unwrap();
        (1..=5).for_each(|job| send.send(job));
        let (group, _second) = jobs.next().await.unwrap();
        assert_eq!(group, [1, 2, 3, 4]);
        // Nobody will add to the last one.
        drop(send);
        let (group, _third) = jobs.next().await.unwrap();
        assert_eq!(group, [5]);
        assert!(jobs.next().await.is_none());
        assert!(jobs.next().await.is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_job_is_taken_once_by_somebody() {
        let (send, jobs) = jobs(SIZE);
        let mut takers = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let jobs = jobs.clone();
            takers.spawn(async move {
                let mut mine = Vec::new();
                while let Some((group, _under_way)) = jobs.next().await {
                    mine.extend(group);
                    tokio::task::yield_now().await;
                }
                mine
            });
        }
        let senders: Vec<_> = (0..10)
            .map(|n| {
                let send = send.clone();
                tokio::spawn(async move {
                    for job in 0..1_000 {
                        send.send(n * 1_000 + job);
                        if job % 7 == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        drop(send);
        for sender in senders {
            sender.await.unwrap();
        }
        let mut all: Vec<u32> = takers.join_all().await.concat();
        all.sort_unstable();
        assert_eq!(all, (0..10_000).collect::<Vec<_>>());
    }
}
