//! A cache of events, so that no request asks the database for its own.

use crate::domain::{Event, EventId, Slug};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How old a cached event may be before it is read again.
pub(super) const FRESH: Duration = Duration::from_secs(1);
/// How old it may be before whoever wants it waits.
pub(super) const OLDEST: Duration = Duration::from_secs(4);

/// How an event is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Slug(Slug),
    Id(EventId),
}

/// Events that were asked for lately, so that no request costs another round trip.
#[derive(Default)]
pub(super) struct EventCache {
    events: Mutex<HashMap<Key, Known>>,
    /// When an event was last forgotten: an answer to what was asked before may be about one that is gone.
    forgotten: Mutex<Option<Instant>>,
    /// The database could not be asked when that was last tried: then nobody waits for what is known.
    away: AtomicBool,
}

struct Known {
    event: Arc<Event>,
    /// When the database was asked for it.
    since: Instant,
    /// When somebody last went to ask for it again.
    asked: Instant,
}

impl EventCache {
    /// More are not kept; they are a few hundred bytes each.
    const MOST: usize = 2_000;

    pub(super) fn get(&self, key: &Key) -> Option<(Arc<Event>, Duration)> {
        self.lock().get(key).map(|known| (known.event.clone(), known.since.elapsed()))
    }

    /// Whether the caller is to read the event again, because nobody else is doing so.
    pub(super) fn renew(&self, key: &Key) -> bool {
        let mut events = self.lock();
        let Some(known) = events.get_mut(key) else { return false };
        let mine = known.asked.elapsed() > FRESH;
        if mine {
            known.asked = Instant::now();
        }
        mine
    }

    /// Takes an event as the database had it when it was asked, `since` then. An answer that is older than what is known is left.
    pub(super) fn put(&self, event: &Arc<Event>, since: Instant) {
        let mut events = self.lock();
        if self.forgotten().is_some_and(|forgotten| since < forgotten) {
            return;
        }
        if events.len() >= Self::MOST {
            events.clear();
        }
        for key in [Key::Slug(event.slug.clone()), Key::Id(event.id)] {
            if events.get(&key).is_none_or(|known| known.since <= since) {
                events.insert(key, Known { event: event.clone(), since, asked: since });
            }
        }
    }

    pub(super) fn forget(&self, key: &Key) {
        let mut events = self.lock();
        *self.forgotten() = Some(Instant::now());
        if let Some(known) = events.remove(key) {
            events.remove(&Key::Slug(known.event.slug.clone()));
            events.remove(&Key::Id(known.event.id));
        }
    }

    /// Whether the database was away when an event was last read.
    pub(super) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Notes whether the database could be asked.
    pub(super) fn note(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    fn forgotten(&self) -> MutexGuard<'_, Option<Instant>> {
        self.forgotten.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Known>> {
        self.events.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
