//! The role that asks another process whether it is ready; for images without a shell.

use crate::runtime::ports;
use anyhow::{Context, bail};
use std::time::Duration;

/// Ask a running role whether it is ready; the exit status is the answer
#[derive(Clone, Debug, clap::Args)]
pub struct HealthcheckArgs {
    /// Where the role listens; 0.0.0.0 is asked at 127.0.0.1; a host alone stands for all roles that listen there
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:30001")]
    listen_addr: String,
    /// What to ask for
    #[arg(long, env = "HEALTHCHECK_PATH", value_name = "PATH", default_value = "/readyz")]
    path: String,
    /// How long to wait for the answer
    #[arg(long, env = "HEALTHCHECK_TIMEOUT", value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
}

pub async fn run(args: HealthcheckArgs) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(args.timeout)).no_proxy().build()?;
    let address = match args.listen_addr.as_str() {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "[::]" => "[::1]".to_owned(),
        other => other.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:"),
    };
    if address.contains(':') && !address.ends_with(']') {
        return ask(&client, &format!("http://{address}{}", args.path)).await;
    }
    let mut asked = 0;
    for port in ports::ALL {
        let place = format!("{address}:{port}");
        let connecting = tokio::net::TcpStream::connect(&place);
        if matches!(tokio::time::timeout(Duration::from_secs(args.timeout), connecting).await, Ok(Ok(_))) {
            ask(&client, &format!("http://{place}{}", args.path)).await?;
            asked += 1;
        }
    }
    if asked == 0 {
        bail!("nothing listens on {address} at any of the ports {:?}", ports::ALL);
    }
    Ok(())
}

async fn ask(client: &reqwest::Client, url: &str) -> anyhow::Result<()> {
    let response = client.get(url).send().await.with_context(|| format!("no answer from {url}"))?;
    let status = response.status();
    if !status.is_success() {
        let body = response.text().await.unwrap_or_default();
        bail!("{url} answers {status}: {}", body.chars().take(500).collect::<String>());
    }
    Ok(())
}
