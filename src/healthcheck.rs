//! The role that asks another process whether it is ready; for images without a shell.

use anyhow::{Context, bail};
use std::time::Duration;

/// Ask a running role whether it is ready; the exit status is the answer
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where the role listens; 0.0.0.0 is asked at 127.0.0.1
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:30001")]
    listen_addr: String,
    /// What to ask for
    #[arg(long, env = "HEALTHCHECK_PATH", value_name = "PATH", default_value = "/readyz")]
    path: String,
    /// How long to wait for the answer
    #[arg(long, env = "HEALTHCHECK_TIMEOUT", value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let address = args.listen_addr.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    let url = format!("http://{address}{}", args.path);
    let client = reqwest::Client::builder().timeout(Duration::from_secs(args.timeout)).no_proxy().build()?;
    let response = client.get(&url).send().await.with_context(|| format!("no answer from {url}"))?;
    let status = response.status();
    if !status.is_success() {
        let body = response.text().await.unwrap_or_default();
        bail!("{url} answers {status}: {}", body.chars().take(500).collect::<String>());
    }
    Ok(())
}
