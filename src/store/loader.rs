//! Lookups by id that share their way to the database, as DataLoader (<https://github.com/graphql/dataloader>) does it, without its
//! cache: every answer is younger than the call that asked for it.

use super::connect::checkout;
use super::connection::Connection;
use crate::domain::{Error, EventId, Result};
use crate::runtime::{GroupSize, Job, JobSender, Jobs, jobs};
use diesel_async::pooled_connection::deadpool::Pool;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::sync::oneshot;

/// Queries under way at once, for each kind of thing.
const AT_ONCE: usize = 2;
const SIZE: GroupSize = GroupSize { most: 1_000, worthwhile: 100 };

/// What can be loaded by id.
pub(super) trait Load: Clone + Send + Sized + 'static {
    fn id(&self) -> i64;

    /// Those of the ids that exist in the event, in any order.
    fn load(connection: &mut Connection, event: EventId, ids: &[i64])
    -> impl Future<Output = Result<Vec<Self>>> + Send;
}

/// Looks things of one kind up. Cheap to clone.
#[derive(Clone)]
pub(super) struct Loader<T>(JobSender<Lookup<T>>);

struct Lookup<T> {
    event: EventId,
    id: i64,
    answer: oneshot::Sender<Result<Option<T>>>,
}

impl<T> Job for Lookup<T> {
    fn weight(&self) -> usize {
        1
    }
}

impl<T: Load> Loader<T> {
    /// Starts in the current runtime; ends when every clone is dropped.
    pub(super) fn start(pool: &Pool<Connection>, wait: Duration) -> Self {
        // Bounded by how many callers there are: each waits for its answer.
        let (queue, lookups) = jobs(SIZE);
        for _ in 0..AT_ONCE {
            tokio::spawn(answer_all(pool.clone(), wait, lookups.clone()));
        }
        Self(queue)
    }

    /// The thing of the event with this id, if there is one.
    pub(super) async fn get(&self, event: EventId, id: i64) -> Result<Option<T>> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Lookup { event, id, answer });
        answered.await.map_err(|_| Error::Internal("the loader has ended".to_owned()))?
    }
}

async fn answer_all<T: Load>(pool: Pool<Connection>, wait: Duration, lookups: Jobs<Lookup<T>>) {
    while let Some((mut group, _under_way)) = lookups.next().await {
        let found = load(&pool, wait, &group).await;
        if found.is_err() {
            // Those that came meanwhile would wait as long for the same answer.
            group.extend(lookups.take_waiting());
        }
        for Lookup { event, id, answer } in group {
            // Whoever asked may have gone.
            let _ = answer.send(match &found {
                Ok(found) => Ok(found.get(&(event, id)).cloned()),
                Err(error) => Err(error.clone()),
            });
        }
    }
}

/// One statement for each event, of which there mostly is one.
async fn load<T: Load>(
    pool: &Pool<Connection>,
    wait: Duration,
    lookups: &[Lookup<T>],
) -> Result<HashMap<(EventId, i64), T>> {
    let mut by_event: BTreeMap<EventId, Vec<i64>> = BTreeMap::new();
    for lookup in lookups {
        by_event.entry(lookup.event).or_default().push(lookup.id);
    }
    let mut connection = checkout(pool, wait).await?;
    let mut all = HashMap::with_capacity(lookups.len());
    for (event, mut ids) in by_event {
        ids.sort_unstable();
        ids.dedup();
        let found = T::load(&mut connection, event, &ids).await?;
        all.extend(found.into_iter().map(|thing| ((event, thing.id()), thing)));
    }
    Ok(all)
}
