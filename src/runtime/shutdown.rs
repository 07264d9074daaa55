//! The end of the process, asked for by SIGINT or SIGTERM.

use tokio::signal::unix::{SignalKind, signal};
pub use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGINT or SIGTERM: time to drain. A second signal ends the process at once, with
/// the status a shell gives to a program killed by it.
///
/// Must be called in a tokio runtime, and early: a signal that comes before kills the process.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        loop {
            let (name, status) = tokio::select! {
                _ = interrupt.recv() => ("SIGINT", 130),
                _ = terminate.recv() => ("SIGTERM", 143),
            };
            if asked.is_cancelled() {
                tracing::warn!(signal = name, "second signal, ending at once");
                std::process::exit(status);
            }
            tracing::info!(signal = name, "draining; a second signal ends at once");
            asked.cancel();
        }
    });
    Ok(token)
}
