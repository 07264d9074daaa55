//! The role that lets a crowd of phones walk about in the hall of the demo event.

mod phone;
mod stats;
mod verify;
mod walk;

use super::output;
use crate::codec::proto::person_service_client::PersonServiceClient;
use crate::codec::proto::{CreatePersonRequest, ListPersonsRequest};
use crate::domain::{Slug, parse_duration};
use anyhow::{Context, bail};
use chrono::{TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use stats::Stats;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

/// Let phones walk about and send where they are, over gRPC streams
///
/// They do what phones do: their positions jitter, they are offline now and then and send late what they measured meanwhile,
/// they send some of it twice, and after a broken stream everything that was not acknowledged. Persons of the company
/// "Simulated" are used again, and created as far as they are missing. Exit status 0: everything was acknowledged (and, with
/// --verify, is stored); 1: it was not.
#[derive(Clone, Debug, clap::Args)]
pub struct SimulateArgs {
    /// How many phones
    #[arg(long, env = "SIMULATE_PERSONS", value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    persons: u32,
    /// For how long, e.g. 60s, 5m or PT5M
    #[arg(long, env = "SIMULATE_DURATION", value_name = "TIME", default_value = "60s", value_parser = duration)]
    duration: Duration,
    /// How often a phone measures, in its own time
    #[arg(long, env = "SIMULATE_INTERVAL", value_name = "TIME", default_value = "5s", value_parser = duration)]
    interval: Duration,
    /// How fast the phones' time goes by; it ends now, so that it begins the earlier the faster it goes
    #[arg(long, env = "SIMULATE_SPEED", value_name = "FACTOR", default_value_t = 1.0, value_parser = speed, conflicts_with = "rate")]
    speed: f64,
    /// Locations a second of all phones together; sets the speed
    #[arg(long, env = "SIMULATE_RATE", value_name = "N", value_parser = speed)]
    rate: Option<f64>,
    /// How much of the time a phone is offline, per cent
    #[arg(long, env = "SIMULATE_OFFLINE", value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=90))]
    offline: u8,
    /// How many locations are sent twice, per cent
    #[arg(long, env = "SIMULATE_RESENDS", value_name = "PERCENT", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=100))]
    resends: u8,
    /// When phones measure, are offline and send twice; another one by default, which is printed
    #[arg(long, env = "SIMULATE_SEED", value_name = "N")]
    seed: Option<u64>,
    /// At the end ask the API for every location that was acknowledged, and compare every field
    #[arg(long, env = "SIMULATE_VERIFY")]
    verify: bool,
    /// How long acknowledgements, and with --verify the stored locations, are waited for at the end
    #[arg(long, env = "SIMULATE_PATIENCE", value_name = "TIME", default_value = "60s", value_parser = duration)]
    patience: Duration,
    /// The event in which they walk, by its slug; the server's default one when absent
    #[arg(long, env = "DEFAULT_EVENT", value_name = "EVENT")]
    event: Option<Slug>,
    /// Where the gRPC API is
    #[arg(long, env = "SIMULATE_GRPC_URL", value_name = "URL", default_value = "http://127.0.0.1:30002")]
    grpc_url: String,
    /// Where the REST API is, for --verify
    #[arg(long, env = "SIMULATE_API_URL", value_name = "URL", default_value = "http://127.0.0.1:30001")]
    api_url: String,
}

/// `60s`, `5m`, `2h`, plain seconds or ISO 8601; more than nothing.
fn duration(text: &str) -> Result<Duration, String> {
    let factor = [('s', 1), ('m', 60), ('h', 3_600)].into_iter().find(|(unit, _)| text.ends_with(*unit));
    let parsed = match factor {
        Some((unit, factor)) => parse_duration(text.trim_end_matches(unit)).map(|time| time * factor),
        None => parse_duration(text),
    };
    let time = parsed.ok().and_then(|time| time.to_std().ok()).filter(|time| !time.is_zero());
    time.ok_or_else(|| format!("must be a time such as 60s, 5m, 2h or PT5M; got {text:?}"))
}

fn speed(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && (0.001..=1e9).contains(number));
    number.ok_or_else(|| format!("must be a number from 0.001 to 1000000000; got {text:?}"))
}

/// Streams on one connection.
const STREAMS: u32 = 100;
/// Connections at the most.
const CONNECTIONS: u32 = 64;

pub async fn run(args: SimulateArgs) -> anyhow::Result<()> {
    let endpoint = Endpoint::from_shared(args.grpc_url.clone())
        .with_context(|| format!("--grpc-url: must be a URL such as http://127.0.0.1:30002; got {:?}", args.grpc_url))?
        .connect_timeout(Duration::from_secs(5));
    let channel = endpoint
        .connect()
        .await
        .with_context(|| format!("no gRPC server at {}; start one, or say where it is by --grpc-url", args.grpc_url))?;
    let seed = args.seed.unwrap_or_else(|| Utc::now().timestamp_micros() as u64);
    output::line(format_args!("--seed {seed}"))?;
    let event = Named::new(args.event.as_ref());
    let ids = persons(channel, args.persons, &event).await?;
    let channels: Vec<Channel> =
        (0..args.persons.div_ceil(STREAMS).min(CONNECTIONS)).map(|_| endpoint.connect_lazy()).collect();

    let interval = TimeDelta::from_std(args.interval)?;
    let speed = match args.rate {
        Some(rate) => rate * args.interval.as_secs_f64() / f64::from(args.persons),
        None => args.speed,
    };
    let length = TimeDelta::try_milliseconds((args.duration.as_secs_f64() * speed * 1e3) as i64);
    // In real time phones tell of now; faster, their time ends at now.
    let back =
        if speed > 1.0 { length.context("--duration and --speed are too much together")? } else { TimeDelta::zero() };
    let clock = crate::domain::to_micros(Utc::now()).checked_sub_signed(back).context("--speed is too much")?;
    let plan = Arc::new(phone::Plan {
        begin: Instant::now(),
        seed,
        clock,
        speed,
        interval,
        duration: args.duration,
        offline: f64::from(args.offline) / 100.0,
        resends: f64::from(args.resends) / 100.0,
        patience: args.patience,
        event,
    });
    let stats = Arc::new(Stats::new());
    let mut phones = JoinSet::new();
    for (number, id) in (0..).zip(ids) {
        let (plan, stats) = (plan.clone(), stats.clone());
        let channel = channels[number as usize % channels.len()].clone();
        phones.spawn(async move {
            let acknowledged = phone::live(number, id, channel, &plan, &stats).await;
            verify::Told { person_id: id, acknowledged }
        });
    }
    let told = watch(phones, &plan, &stats).await?;

    output::line(format_args!("{}", stats.line(plan.begin.elapsed().as_secs_f64())))?;
    let (refused, broken) = (stats.refused.load(Relaxed), stats.broken.load(Relaxed));
    if broken > 0 {
        output::line(format_args!("streams broke {broken} times and were opened again"))?;
    }
    let first_error = stats.first_error().unwrap_or_default();
    if stats.acknowledged.load(Relaxed) == 0 {
        bail!("nothing was acknowledged; {first_error}");
    }
    if args.verify {
        let api = args.api_url.trim_end_matches('/');
        let below =
            args.event.as_ref().map_or_else(|| format!("{api}/api"), |event| format!("{api}/api/events/{event}"));
        let faults = verify::faults(&below, told, args.patience).await?;
        if let Some(first) = faults.first() {
            bail!("{} acknowledged locations are not stored as they were sent; the first: {first}", faults.len());
        }
        output::line(format_args!("every acknowledged location is stored"))?;
    }
    let left = stats.left.load(Relaxed);
    if left > 0 {
        bail!("{left} locations were not acknowledged within {:?} after the end; {first_error}", args.patience);
    }
    if refused > 0 {
        bail!("{refused} locations were refused; {first_error}");
    }
    Ok(())
}

/// Shows how it goes until all phones are done.
async fn watch(
    mut phones: JoinSet<verify::Told>,
    plan: &phone::Plan,
    stats: &Stats,
) -> anyhow::Result<Vec<verify::Told>> {
    let bar = ProgressBar::new(plan.duration.as_secs().max(1));
    bar.set_style(ProgressStyle::with_template("{bar:20} {pos} of {len} s: {msg}").expect("the template is valid"));
    let mut told = Vec::new();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            done = phones.join_next() => match done {
                Some(done) => told.push(done?),
                None => break,
            },
            _ = second.tick() => {
                let elapsed = plan.begin.elapsed();
                bar.set_position(elapsed.min(plan.duration).as_secs());
                bar.set_message(stats.line(elapsed.as_secs_f64()));
            }
        }
    }
    bar.finish_and_clear();
    Ok(told)
}

/// The ids of so many simulated persons, those who are there first.
/// Tells the server which event is meant.
#[derive(Clone, Debug)]
struct Named(Option<MetadataValue<Ascii>>);

impl Named {
    fn new(event: Option<&Slug>) -> Self {
        Self(event.and_then(|slug| slug.as_str().parse().ok()))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Self(Some(event)) = self {
            request.metadata_mut().insert("udaconnect-event", event.clone());
        }
        request
    }
}

async fn persons(channel: Channel, wanted: u32, event: &Named) -> anyhow::Result<Vec<i64>> {
    let client = PersonServiceClient::new(channel);
    let mut ids = Vec::new();
    let mut token = String::new();
    while ids.len() < wanted as usize {
        let request = ListPersonsRequest { query: walk::COMPANY.to_owned(), page_size: 1_000, page_token: token };
        let page = client
            .clone()
            .list_persons(event.request(request))
            .await
            .context("the persons cannot be listed")?
            .into_inner();
        ids.extend(
            page.persons.into_iter().filter(|person| person.company_name == walk::COMPANY).map(|person| person.id),
        );
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    ids.truncate(wanted as usize);
    let first_missing = ids.len() as u32;
    let created: Vec<i64> = stream::iter(first_missing..wanted)
        .map(|number| {
            let mut client = client.clone();
            async move {
                let (first_name, last_name) = walk::names(number);
                let request = CreatePersonRequest { first_name, last_name, company_name: walk::COMPANY.to_owned() };
                let person = client
                    .create_person(event.request(request))
                    .await
                    .context("a person cannot be created")?
                    .into_inner()
                    .person;
                anyhow::Ok(person.context("the server created a person and does not say which")?.id)
            }
        })
        .buffered(16)
        .try_collect()
        .await?;
    ids.extend(created);
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [("60s", 60), ("5m", 300), ("2h", 7_200), ("90", 90), ("PT5M", 300)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("0.5s"), Ok(Duration::from_millis(500)));
        for text in ["", "0", "s", "-5s", "5 parsecs", "5ss s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
