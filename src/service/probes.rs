//! What a serving role answers to probes: what it depends on, and its gauges.

use super::Service;
use crate::domain::Result;
use crate::runtime::probes::Probes;
use tokio_util::sync::CancellationToken;

impl Service {
    /// Probes that ask for everything that the use cases need. `draining` is cancelled when the role is about to end.
    ///
    /// Locations are taken in while one of Kafka and the database is away, where there are both: then Kafka decides whether the role
    /// is ready. Searches go to the primary while the replica is away, which never decides.
    pub fn probes(&self, draining: CancellationToken) -> Probes {
        let measured = self.clone();
        let mut probes = Probes::new(draining).gauges(move || measured.measure());
        let service = self.clone();
        let postgres = move || {
            let service = service.clone();
            async move { shown(service.database_ready().await) }
        };
        if self.has_queue() {
            let service = self.clone();
            probes = probes
                .dependency("kafka", move || std::future::ready(shown(service.queue_ready())))
                .optional_dependency("postgres", postgres);
        } else {
            probes = probes.dependency("postgres", postgres);
        }
        if self.has_replica() {
            let service = self.clone();
            probes = probes.optional_dependency("replica", move || {
                let service = service.clone();
                async move { shown(service.replica_ready().await) }
            });
        }
        probes
    }
}

/// As probes show it.
fn shown(ready: Result<()>) -> std::result::Result<(), String> {
    ready.map_err(|error| error.to_string())
}
