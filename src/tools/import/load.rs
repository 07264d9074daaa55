//! Files → locations → store: one thread reads, a few transactions are under way.

use super::files::Input;
use super::persons::{PersonMatch, Persons};
use super::summary::{Summary, Way};
use super::zip;
use crate::codec::files::{self, Bad, FileFix, Item, Options};
use crate::domain::{Event, LocationInput, NewLocation, Result};
use crate::service::AtEvent;
use crate::service::bulk::{self, BATCH};
use crate::service::clock::Clock;
use crate::store::Stored;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use std::io::Read;
use std::ops::ControlFlow::{self, Break, Continue};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// From so many new rows on the planner should know of them at once.
const MANY: u64 = 100_000;

/// How files are read and what is done about bad ones.
pub struct Rules {
    pub options: Options,
    pub stop_at_bad: bool,
    pub clock: Clock,
    /// Whose dates the times must keep to.
    pub event: Arc<Event>,
}

/// Where locations go.
#[derive(Clone)]
pub enum Target {
    /// To an event, which is this way.
    Event(AtEvent, Way),
    /// Nowhere: a dry run.
    Nowhere,
}

impl Target {
    /// Returns when they are safe.
    async fn take(&self, batch: Vec<NewLocation>) -> Result<Stored> {
        match self {
            Self::Event(at, _) => at.load(batch).await,
            Self::Nowhere => Ok(Stored { stored: batch.len(), ..Stored::default() }),
        }
    }
}

/// Brings all files in. An error is one of the store; what is wrong with files is in the summary.
pub async fn run(target: Target, files: Vec<Input>, persons: Persons, rules: Rules) -> anyhow::Result<Summary> {
    let begin = Instant::now();
    let bar = bar(&files);
    let (queue, workers) = bulk::workers({
        let target = target.clone();
        move |batch| {
            let target = target.clone();
            async move { target.take(batch).await }
        }
    });
    let handle = Handle::current();
    let mut reader =
        Reader { rules, persons, queue, handle, bar: bar.clone(), summary: Summary::default(), fixes: Vec::new() };
    let reading = tokio::task::spawn_blocking(move || {
        let read = reader.all(&files);
        (read, reader.summary, reader.persons)
    });
    let stored = workers.finish().await;
    let (read, mut summary, persons) = reading.await?;
    bar.finish_and_clear();
    let stored = stored?;
    read?;
    summary.stored = stored.stored as u64;
    summary.duplicates = stored.duplicates as u64;
    summary.vanished = stored.unknown.len();
    summary.persons_created = persons.created;
    summary.way = match target {
        Target::Event(_, way) => way,
        Target::Nowhere => Way::Nowhere,
    };
    if let Target::Event(at, Way::Store) = target
        && summary.stored >= MANY
    {
        at.vacuum().await?;
    }
    summary.time = begin.elapsed();
    Ok(summary)
}

/// The thread that reads.
struct Reader {
    rules: Rules,
    persons: Persons,
    queue: mpsc::Sender<Vec<NewLocation>>,
    handle: Handle,
    bar: ProgressBar,
    summary: Summary,
    /// Read and not yet sent, all of one file.
    fixes: Vec<FileFix>,
}

impl Reader {
    /// An error is one of the store.
    fn all(&mut self, files: &[Input]) -> Result<()> {
        for file in files {
            self.summary.files += 1;
            self.one(file)?;
            if self.summary.stopped || self.queue.is_closed() {
                break;
            }
        }
        Ok(())
    }

    fn one(&mut self, file: &Input) -> Result<()> {
        let name = file.name();
        let options = Options { otherwise: file.who(), ..self.rules.options.clone() };
        if let Some(path) = file.path().filter(|path| zip::is_archive(path)) {
            return self.archive(path, &options);
        }
        let bar = self.bar.clone();
        self.input(&name, file.open(), bar, &options)
    }

    /// Every file of an archive that may hold locations.
    fn archive(&mut self, path: &Path, options: &Options) -> Result<()> {
        let name = path.display().to_string();
        let mut archive = match zip::Archive::open(path) {
            Ok(archive) => archive,
            Err(message) => {
                self.summary.broken(&name, message);
                self.summary.stopped |= self.rules.stop_at_bad;
                return Ok(());
            }
        };
        for at in archive.meant() {
            let (inner, input) = archive.file(at);
            self.input(&format!("{name}/{inner}"), input, ProgressBar::hidden(), options)?;
            if self.summary.stopped || self.queue.is_closed() {
                break;
            }
        }
        self.bar.inc(path.metadata().map_or(0, |metadata| metadata.len()));
        self.summary.left_out.extend(archive.left_out().map(|inner| format!("{name}/{inner}")));
        Ok(())
    }

    fn input(
        &mut self,
        name: &str,
        opened: std::io::Result<Box<dyn Read + '_>>,
        bar: ProgressBar,
        options: &Options,
    ) -> Result<()> {
        let opened = opened.and_then(|input| files::unpack(Counted { input, bar }));
        let input = match opened {
            Ok((_, input)) => input,
            Err(error) => {
                self.summary.broken(name, error);
                self.summary.stopped |= self.rules.stop_at_bad;
                return Ok(());
            }
        };
        let mut failed = Ok(());
        let read = files::read(input, options, &mut |item| self.take(name, item, &mut failed));
        failed?;
        if let Err(broken) = read {
            self.summary.broken(name, broken);
            self.summary.stopped |= self.rules.stop_at_bad;
        }
        self.send(name).map(|_| ())
    }

    fn take(&mut self, file: &str, item: Item, failed: &mut Result<()>) -> ControlFlow<()> {
        self.summary.read += 1;
        match item {
            Item::Fix(fix) => {
                self.fixes.push(fix);
                if self.fixes.len() < BATCH {
                    return Continue(());
                }
                self.send(file).unwrap_or_else(|error| {
                    *failed = Err(error);
                    Break(())
                })
            }
            Item::Skipped { why, .. } => {
                self.summary.skip(why);
                Continue(())
            }
            Item::Bad { line, bad } => self.refuse(file, line, &bad),
        }
    }

    fn refuse(&mut self, file: &str, line: u64, bad: &Bad) -> ControlFlow<()> {
        self.summary.refuse(file, line, bad);
        self.summary.stopped |= self.rules.stop_at_bad;
        if self.rules.stop_at_bad { Break(()) } else { Continue(()) }
    }

    /// Checks what was read against what only the store and the clock know, and hands it to the writers.
    fn send(&mut self, file: &str) -> Result<ControlFlow<()>> {
        let fixes = std::mem::take(&mut self.fixes);
        self.handle.block_on(self.persons.find(fixes.iter().map(|fix| &fix.who)))?;
        let mut batch = Vec::with_capacity(fixes.len());
        let mut flow = Continue(());
        for fix in fixes {
            let line = fix.line;
            match self.check(fix) {
                Ok(location) => {
                    self.summary.at(location.creation_time());
                    batch.push(location);
                }
                Err(bad) => {
                    flow = self.refuse(file, line, &bad);
                    if flow == Break(()) {
                        break;
                    }
                }
            }
        }
        let elapsed = self.bar.elapsed().as_secs_f64();
        let rate = self.summary.read as f64 / elapsed.max(1e-3);
        self.bar.set_message(format!(
            "{} records, {} a second",
            HumanCount(self.summary.read),
            HumanCount(rate as u64)
        ));
        if !batch.is_empty() && self.queue.blocking_send(batch).is_err() {
            flow = Break(());
        }
        Ok(flow)
    }

    fn check(&self, fix: FileFix) -> Result<NewLocation, Bad> {
        let person_id = match self.persons.get(&fix.who) {
            PersonMatch::Person(id) => id.get(),
            // Of a dry run, whose locations go nowhere.
            PersonMatch::New => 1,
            PersonMatch::Nobody(message) => return Err(Bad::new("person", message.clone())),
        };
        let input = LocationInput {
            person_id,
            latitude: fix.coordinate.latitude(),
            longitude: fix.coordinate.longitude(),
            creation_time: Some(fix.time),
            accuracy_m: fix.accuracy_m,
        };
        self.rules.clock.check_at(&self.rules.event, input).map_err(|errors| {
            let messages: Vec<String> = errors.into_iter().map(|error| error.message).collect();
            Bad::new("time", messages.join("; "))
        })
    }
}

/// Shows how much of the files is read, as they are stored.
fn bar(files: &[Input]) -> ProgressBar {
    let total = files.iter().map(|file| file.bytes).sum::<Option<u64>>();
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{bar:30} {bytes} of {total_bytes}, {eta} left; {msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} in {elapsed}; {msg}"),
    };
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_style(ProgressStyle::with_template(template).expect("the template is valid"))
}

/// An input whose bytes the bar counts.
struct Counted<'a> {
    input: Box<dyn Read + 'a>,
    bar: ProgressBar,
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let length = self.input.read(out)?;
        self.bar.inc(length as u64);
        Ok(length)
    }
}
