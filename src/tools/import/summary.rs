//! The summary that an import prints.

use crate::codec::files::{Bad, Skip};
use chrono::{DateTime, SecondsFormat, Utc};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How many bad records are shown; of the others only the count is.
const SHOWN: usize = 10;

/// Where the locations went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    #[default]
    Store,
    Kafka,
    /// It was a dry run.
    Nowhere,
}

#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub files: usize,
    /// Records of all kinds.
    pub read: u64,
    pub stored: u64,
    pub duplicates: u64,
    pub persons_created: u64,
    skipped: BTreeMap<Skip, u64>,
    refused: BTreeMap<&'static str, u64>,
    first_refused: Vec<String>,
    /// Files that could not be read to their end, and why.
    broken: Vec<String>,
    broken_count: u64,
    /// Persons who were deleted while their locations were brought in.
    pub vanished: usize,
    /// Files of directories that were not looked into.
    pub left_out: Vec<String>,
    /// The earliest and the latest time of what was read.
    pub times: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Whether it was left at the first thing that is bad.
    pub stopped: bool,
    pub way: Way,
    pub time: Duration,
}

impl Summary {
    /// Notes when somebody was somewhere.
    pub fn at(&mut self, time: DateTime<Utc>) {
        let (first, last) = self.times.unwrap_or((time, time));
        self.times = Some((first.min(time), last.max(time)));
    }

    pub fn skip(&mut self, why: Skip) {
        *self.skipped.entry(why).or_default() += 1;
    }

    pub fn refuse(&mut self, file: &str, line: u64, bad: &Bad) {
        *self.refused.entry(bad.field).or_default() += 1;
        if self.first_refused.len() < SHOWN {
            self.first_refused.push(format!("{file}:{line}: {bad}"));
        }
    }

    pub fn broken(&mut self, file: &str, what: impl fmt::Display) {
        self.broken_count += 1;
        if self.broken.len() < SHOWN {
            self.broken.push(format!("{file}: {what}"));
        }
    }

    /// Whether anything of the input was not taken that should have been.
    pub fn incomplete(&self) -> bool {
        !self.refused.is_empty() || self.broken_count > 0 || self.vanished > 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs_f64();
        let files = if self.files == 1 { "1 file".to_owned() } else { format!("{} files", self.files) };
        let rate = self.read as f64 / seconds.max(1e-3);
        let skipped: u64 = self.skipped.values().sum();
        let refused: u64 = self.refused.values().sum();
        write!(f, "{} records in {files}: ", self.read)?;
        match self.way {
            Way::Store => write!(f, "{} locations stored, {} were there already", self.stored, self.duplicates)?,
            Way::Kafka => write!(f, "{} locations are safe in Kafka and will be stored", self.stored)?,
            Way::Nowhere => write!(f, "{} locations would be stored", self.stored)?,
        }
        write!(f, ", {skipped} skipped, {refused} refused; {seconds:.1} s, {rate:.0} a second")?;
        if let Some((first, last)) = self.times {
            let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
            write!(f, "\nfrom {} to {}", text(first), text(last))?;
        }
        if !self.left_out.is_empty() {
            let shown: Vec<&str> = self.left_out.iter().take(SHOWN).map(String::as_str).collect();
            let more = self.left_out.len() - shown.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            write!(
                f,
                "\nleft out, since their names say nothing of locations: {}{more}; name them to read them",
                shown.join(", ")
            )?;
        }
        if self.persons_created > 0 {
            let verb = if self.way == Way::Nowhere { "would be created" } else { "created" };
            write!(f, "\npersons {verb}: {}", self.persons_created)?;
        }
        if skipped > 0 {
            let parts: Vec<String> = self.skipped.iter().map(|(why, count)| format!("{count} {why}")).collect();
            write!(f, "\nskipped: {}", parts.join(", "))?;
        }
        if refused > 0 {
            let parts: Vec<String> = self.refused.iter().map(|(field, count)| format!("{count} by {field}")).collect();
            write!(f, "\nrefused: {}", parts.join(", "))?;
            for line in &self.first_refused {
                write!(f, "\n  {line}")?;
            }
            if refused > self.first_refused.len() as u64 {
                write!(f, "\n  and {} more", refused - self.first_refused.len() as u64)?;
            }
        }
        if self.broken_count > 0 {
            write!(f, "\nnot read to the end: {}", self.broken_count)?;
            for line in &self.broken {
                write!(f, "\n  {line}")?;
            }
        }
        if self.vanished > 0 {
            write!(f, "\npersons deleted meanwhile: {}", self.vanished)?;
        }
        Ok(())
    }
}
