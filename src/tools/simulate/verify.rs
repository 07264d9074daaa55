//! Checks by the API that what was acknowledged is stored as it was sent.

use super::walk::Measured;
use crate::codec::files::{self, FileFix, Item, Options, PersonBy, Who};
use crate::domain::PersonId;
use anyhow::{Context, ensure};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// What was acknowledged to one person's phone.
pub struct Told {
    pub person_id: i64,
    pub acknowledged: Vec<Measured>,
}

/// An acknowledged location that is not stored as it was sent.
#[derive(Debug, PartialEq)]
pub struct Fault {
    person_id: i64,
    sent: Measured,
    /// What is stored of the person at that time.
    stored: Vec<Measured>,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "person {}'s {} is ", self.person_id, self.sent)?;
        match self.stored.as_slice() {
            [] => write!(out, "missing"),
            stored => {
                write!(out, "stored as ")?;
                let (first, more) = stored.split_first().expect("not empty");
                write!(out, "{first}")?;
                more.iter().try_for_each(|other| write!(out, " and {other}"))
            }
        }
    }
}

/// Persons asked about at once.
const AT_ONCE: usize = 8;
const AGAIN: Duration = Duration::from_millis(500);

/// Asks until everything is stored or the time is up; returns what is wrong then. Through Kafka locations are acknowledged before
/// they are stored, so something that is missing is waited for.
pub async fn faults(below: &str, told: Vec<Told>, patience: Duration) -> anyhow::Result<Vec<Fault>> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
    let begin = Instant::now();
    let mut open: Vec<Told> = told.into_iter().filter(|told| !told.acknowledged.is_empty()).collect();
    let mut faults = Vec::new();
    loop {
        let client = &client;
        let mut asked = stream::iter(open)
            .map(|told| async move {
                let stored = stored(client, below, &told).await?;
                anyhow::Ok((compare(&told, &stored), told))
            })
            .buffer_unordered(AT_ONCE);
        let (mut waiting, mut unfinished) = (Vec::new(), Vec::new());
        while let Some(answer) = asked.next().await {
            let (wrong, told) = answer?;
            if wrong.iter().any(|fault| fault.stored.is_empty()) {
                unfinished.extend(wrong);
                waiting.push(told);
            } else {
                faults.extend(wrong);
            }
        }
        drop(asked);
        if waiting.is_empty() || begin.elapsed() >= patience {
            faults.extend(unfinished);
            return Ok(faults);
        }
        open = waiting;
        tokio::time::sleep(AGAIN).await;
    }
}

/// What is stored of a person between the first and the last acknowledged location. Fails for what is not theirs.
async fn stored(client: &reqwest::Client, below: &str, told: &Told) -> anyhow::Result<Vec<Measured>> {
    let times = || told.acknowledged.iter().map(|measured| measured.time);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(Vec::new()) };
    let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let url = format!(
        "{below}/persons/{}/locations?start_date={}&end_date={}",
        told.person_id,
        text(first),
        text(last + TimeDelta::microseconds(1))
    );
    let response =
        client.get(&url).header("accept", "text/csv").send().await.with_context(|| format!("{url} cannot be asked"))?;
    let status = response.status();
    let body = response.bytes().await.with_context(|| format!("the answer of {url} was broken off"))?;
    ensure!(status.is_success(), "{url} answers {status}: {}", String::from_utf8_lossy(&body));
    let options = Options { person_by: Some(PersonBy::Id), format: Some(files::Format::Csv), ..Options::default() };
    let me = Who::Id(PersonId::new(told.person_id, "id").map_err(crate::domain::Error::from)?);
    let mut stored = Vec::new();
    let mut other = None;
    files::read(body.as_ref(), &options, &mut |item| {
        match item {
            Item::Fix(fix) if fix.who == me => stored.push(measured(&fix)),
            item => {
                other.get_or_insert(format!("{item:?}"));
            }
        }
        ControlFlow::Continue(())
    })
    .map_err(|broken| anyhow::anyhow!("{url}: {broken}"))?;
    if let Some(other) = other {
        anyhow::bail!("{url} answers what is no location of this person: {other}");
    }
    Ok(stored)
}

fn measured(fix: &FileFix) -> Measured {
    let (latitude, longitude) = (fix.coordinate.latitude(), fix.coordinate.longitude());
    Measured { time: fix.time, latitude, longitude, accuracy_m: fix.accuracy_m }
}

/// Every acknowledged location has to be there once, with every field as it was sent. At its time there is nothing else, since a
/// phone measures once at a time; what is stored at other times was sent and not acknowledged, or by an earlier simulation.
fn compare(told: &Told, stored: &[Measured]) -> Vec<Fault> {
    let mut by_time: HashMap<DateTime<Utc>, Vec<Measured>> = HashMap::new();
    for measured in stored {
        by_time.entry(measured.time).or_default().push(*measured);
    }
    let wrong = told.acknowledged.iter().filter_map(|sent| {
        let stored = by_time.get(&sent.time).map_or(&[][..], Vec::as_slice);
        (stored != [*sent]).then(|| Fault { person_id: told.person_id, sent: *sent, stored: stored.to_vec() })
    });
    wrong.collect()
}

#[cfg(test)]
mod tests {
    use super::super::walk::measure;
    use super::*;

    fn told() -> Told {
        let begin = DateTime::from_timestamp(1_780_401_600, 0).unwrap();
        let acknowledged = (0..20).map(|second| measure(3, begin + TimeDelta::seconds(second))).collect();
        Told { person_id: 7, acknowledged }
    }

    #[test]
    fn whatever_was_changed_is_noticed() {
        let told = told();
        assert_eq!(compare(&told, &told.acknowledged), []);
        let mut reversed = told.acknowledged.clone();
        reversed.reverse();
        assert_eq!(compare(&told, &reversed), [], "the order is nobody's business");
        let tamper = |change: &dyn Fn(&mut Vec<Measured>)| {
            let mut stored = told.acknowledged.clone();
            change(&mut stored);
            compare(&told, &stored)
        };
        let one = |change: fn(&mut Measured)| tamper(&|stored| change(&mut stored[5]));
        let changed = [
            one(|at| (at.latitude, at.longitude) = (at.longitude, at.latitude)),
            one(|at| at.latitude = at.latitude.next_up()),
            one(|at| at.longitude = at.longitude.next_down()),
            one(|at| at.accuracy_m = at.accuracy_m.map(|metres| metres + 0.1)),
            one(|at| at.accuracy_m = None),
            one(|at| at.time += TimeDelta::microseconds(1)),
            tamper(&|stored| {
                stored.remove(5);
            }),
            tamper(&|stored| stored.push(stored[5])),
            tamper(&|stored| stored.push(Measured { accuracy_m: Some(99.0), ..stored[5] })),
        ];
        for (number, faults) in changed.iter().enumerate() {
            assert_eq!(faults.len(), 1, "{number}: {faults:?}");
            assert_eq!(faults[0].sent, told.acknowledged[5], "{number}");
        }
        let exchanged = tamper(&|stored| {
            let other = stored[6].accuracy_m;
            stored[6].accuracy_m = stored[5].accuracy_m;
            stored[5].accuracy_m = other;
        });
        assert_eq!(exchanged.len(), 2, "{exchanged:?}");
    }

    #[test]
    fn a_fault_says_what_was_sent_and_what_is_stored() {
        let sent = told().acknowledged[0];
        let missing = Fault { person_id: 7, sent, stored: Vec::new() };
        assert_eq!(missing.to_string(), format!("person 7's {sent} is missing"));
        let other = Measured { accuracy_m: None, ..sent };
        let twice = Fault { person_id: 7, sent, stored: vec![sent, other] };
        assert_eq!(twice.to_string(), format!("person 7's {sent} is stored as {sent} and {other}"));
    }
}
