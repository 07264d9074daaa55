//! The end of the process, asked for by SIGINT or SIGTERM.

use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
pub use tokio_util::sync::CancellationToken;

/// How this process ends.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "End")]
pub struct ShutdownArgs {
    /// How long to go on serving after SIGTERM, while load balancers and clients turn to others; it is not ready then
    #[arg(long, env, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=600), global = true)]
    shutdown_pause: u64,
}

static PAUSE: OnceLock<Duration> = OnceLock::new();

/// Waits until the process is to end and the pause after that is over: time to take no more.
///
/// Whoever closes its listener and its idle connections at once makes requests fail that are just being sent.
pub async fn after_pause(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(PAUSE.get().copied().unwrap_or_default()).await;
}

/// Signals within this time of the first one are one and the same wish: `timeout` and terminals send theirs to a whole group of
/// processes, of which a parent may pass it on.
const SAME: Duration = Duration::from_secs(1);

/// A token that is cancelled by the first SIGINT or SIGTERM: time to drain. A second signal, a second or more later, ends the
/// process at once, with the status a shell gives to a program killed by it.
///
/// Must be called in a tokio runtime, and early: a signal that comes before kills the process.
pub fn on_signal(args: &ShutdownArgs) -> std::io::Result<CancellationToken> {
    PAUSE.get_or_init(|| Duration::from_secs(args.shutdown_pause));
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        let mut first = None;
        loop {
            let (name, status) = tokio::select! {
                _ = interrupt.recv() => ("SIGINT", 130),
                _ = terminate.recv() => ("SIGTERM", 143),
            };
            if first.get_or_insert_with(Instant::now).elapsed() < SAME {
                if !asked.is_cancelled() {
                    tracing::info!(signal = name, "draining; a second signal ends at once");
                    asked.cancel();
                }
            } else {
                tracing::warn!(signal = name, "second signal, ending at once");
                std::process::exit(status);
            }
        }
    });
    Ok(token)
}
