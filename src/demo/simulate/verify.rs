//! Whether what was acknowledged is stored, by asking the API.

use super::walk::Measured;
use crate::domain::PersonId;
use crate::formats::{self, Item, Options, PersonBy};
use anyhow::{Context, ensure};
use futures_util::{StreamExt, stream};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// What one person's phone was told is safe.
pub struct Told {
    pub person_id: i64,
    pub acknowledged: Vec<Measured>,
}

/// Persons asked about at once.
const AT_ONCE: usize = 8;
const AGAIN: Duration = Duration::from_millis(500);

/// Asks until everything is stored or the time is up; returns what is missing then, with the person's id. Through Kafka
/// locations are acknowledged before they are stored.
pub async fn missing(api: &str, told: Vec<Told>, patience: Duration) -> anyhow::Result<Vec<(i64, Measured)>> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
    let begin = Instant::now();
    let mut left: Vec<Told> = told.into_iter().filter(|told| !told.acknowledged.is_empty()).collect();
    loop {
        let client = &client;
        let asked: Vec<anyhow::Result<Told>> = stream::iter(left)
            .map(|told| async move { still_missing(client, api, told).await })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        left = asked.into_iter().collect::<anyhow::Result<_>>()?;
        left.retain(|told| !told.acknowledged.is_empty());
        if left.is_empty() || begin.elapsed() >= patience {
            let missing = left.into_iter().flat_map(|told| {
                let id = told.person_id;
                told.acknowledged.into_iter().map(move |measured| (id, measured))
            });
            return Ok(missing.collect());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn still_missing(client: &reqwest::Client, api: &str, mut told: Told) -> anyhow::Result<Told> {
    let times = || told.acknowledged.iter().map(|measured| measured.time);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(told) };
    let text = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let url = format!(
        "{api}/api/persons/{}/locations?start_date={}&end_date={}",
        told.person_id,
        text(first),
        text(last + chrono::TimeDelta::microseconds(1))
    );
    let response =
        client.get(&url).header("accept", "text/csv").send().await.with_context(|| format!("{url} cannot be asked"))?;
    let status = response.status();
    let body = response.bytes().await.with_context(|| format!("the answer of {url} was broken off"))?;
    ensure!(status.is_success(), "{url} answers {status}: {}", String::from_utf8_lossy(&body));
    let mut stored = HashSet::new();
    let options = Options { person_by: Some(PersonBy::Id), format: Some(formats::Format::Csv), ..Options::default() };
    let me = formats::Who::Id(PersonId::new(told.person_id, "id").map_err(crate::domain::Error::from)?);
    formats::read(body.as_ref(), &options, &mut |item| {
        if let Item::Fix(fix) = item
            && fix.who == me
        {
            stored.insert((fix.time, fix.coordinate.bits()));
        }
        ControlFlow::Continue(())
    })
    .map_err(|broken| anyhow::anyhow!("{url}: {broken}"))?;
    told.acknowledged.retain(|measured| {
        // −0 is stored as 0; nobody is there in the hall.
        !stored.contains(&(measured.time, (measured.latitude.to_bits(), measured.longitude.to_bits())))
    });
    Ok(told)
}
