//! Roles that do one thing and end: events, files in and out, the demo, the schema, upkeep, dead letters, the image's probe.

#[cfg(feature = "dead-letters")]
pub mod dead_letters;
#[cfg(any(feature = "seed", feature = "simulate"))]
pub mod demo_event;
#[cfg(feature = "event")]
pub mod event;
#[cfg(feature = "export")]
pub mod export;
#[cfg(feature = "healthcheck")]
pub mod healthcheck;
#[cfg(feature = "import")]
pub mod import;
#[cfg(feature = "maintain")]
pub mod maintain;
#[cfg(feature = "migrate")]
pub mod migrate;
#[cfg(any(
    feature = "dead-letters",
    feature = "event",
    feature = "export",
    feature = "import",
    feature = "maintain",
    feature = "migrate",
    feature = "seed",
    feature = "simulate"
))]
mod output;
#[cfg(feature = "seed")]
pub mod seed;
#[cfg(feature = "simulate")]
pub mod simulate;
#[cfg(any(feature = "import", feature = "export", feature = "seed"))]
mod which;
