//! No role needs more than 128 MB, whatever is asked or sent. Each attack is a test of its own.
//!
//! What counts is the peak of the resident memory, which Linux keeps. A second limit, which the system enforces, is there so that
//! a machine survives a role that breaks the first: the program then ends, and the test says so.

mod connections;
mod files;
mod packed;
mod queries;
mod queues;
mod requests;

use crate::support::{Database, Program, command};
use std::process::Stdio;
use udaconnect::geo::{Coordinate, cell_of};

const MIB: u64 = 1024 * 1024;
/// What a role may need at the most.
const MOST: u64 = 128 * MIB;
/// What the system gives a role that breaks the limit, before it ends it.
const ENFORCED: u64 = 1024 * MIB;

/// Has the system enforce the second limit from now on.
fn enforce(pid: u32) {
    let limit = libc::rlimit { rlim_cur: ENFORCED, rlim_max: ENFORCED };
    // Safe: the process is ours, and the limit is read only.
    let done = unsafe { libc::prlimit(pid as i32, libc::RLIMIT_DATA, &limit, std::ptr::null_mut()) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// The most that was resident since the start, and how much of what is resident now is the program's file, in bytes.
fn resident(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let bytes = |name: &str| {
        let text = status.lines().find_map(|line| line.strip_prefix(name))?;
        text.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Some((bytes("VmHWM:")?, bytes("RssFile:")?))
}

/// Fails when the program has ended, or has needed more than it may.
fn within_the_limit(what: &str, program: &Program) {
    let resident = program.process().and_then(resident);
    let Some((peak, file)) = resident else { panic!("{what}: the program has ended\n{}", last_lines(&program.log())) };
    judge(what, peak, file);
}

/// Pages of the program's own file are no memory that it asked for: the system takes them away when it needs room.
fn judge(what: &str, peak: u64, file: u64) {
    let own = peak.saturating_sub(file);
    eprintln!("{what}: {} MiB, and {} MiB of the program's file", own / MIB, file / MIB);
    assert!(own <= MOST, "{what}: {} MiB were needed", own / MIB);
}

fn last_lines(log: &str) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&log.as_bytes()[log.len().saturating_sub(4_000)..])
}

/// Runs the program to its end within the limit; its exit status.
async fn run_within_the_limit(what: &str, arguments: &[&str], database: &Database) -> Option<i32> {
    let mut child = command(arguments)
        .env("DATABASE_URL", database.url())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id().unwrap();
    enforce(pid);
    let mut stderr = child.stderr.take().unwrap();
    let said = tokio::spawn(async move {
        let mut text = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stderr, &mut text).await;
        String::from_utf8_lossy(&text).into_owned()
    });
    // Asked again and again, since nothing is left to ask when it has ended.
    let mut most = (0, 0);
    let mut look = tokio::time::interval(std::time::Duration::from_millis(5));
    let ended = tokio::time::timeout(crate::support::DEADLINE, async {
        loop {
            tokio::select! {
                status = child.wait() => break status.unwrap(),
                _ = look.tick() => if let Some(now) = resident(pid) { most = now },
            }
        }
    })
    .await;
    let status = ended.unwrap_or_else(|_| panic!("{what}: the program does not end"));
    let said = said.await.unwrap();
    assert!(status.code().is_some(), "{what}: ended with {status}\n{}", last_lines(&said));
    judge(what, most.0, most.1);
    eprintln!("{what}: exit status {:?}; {}", status.code(), last_lines(&said).lines().last().unwrap_or_default());
    status.code()
}

/// Stores so many locations of a person as fast as the database can: in rows of 100 m, `step` metres apart, a second each.
async fn store(database: &Database, person: i64, count: u32, step_m: f64) {
    let client = database.client().await;
    let per_row = 1_000;
    for first in (0..count).step_by(50_000) {
        let numbers = first..(first + 50_000).min(count);
        let (mut latitudes, mut longitudes, mut cells, mut seconds) = (vec![], vec![], vec![], vec![]);
        for number in numbers {
            let latitude = 35.0 + f64::from(number / per_row) * step_m / 111_000.0;
            let longitude = -106.5 + f64::from(number % per_row) * step_m / 91_000.0;
            cells.push(cell_of(Coordinate::new(latitude, longitude).unwrap()).get());
            latitudes.push(latitude);
            longitudes.push(longitude);
            seconds.push(f64::from(number));
        }
        client
            .execute(
                "INSERT INTO location (person_id, coordinate, cell, creation_time, accuracy_m)
                 SELECT $1, ST_SetSRID(ST_MakePoint(longitude, latitude), 4326)::geography, cell,
                        timestamptz '2026-06-02 00:00Z' + second * interval '1 second', 5
                 FROM unnest($2::float8[], $3::float8[], $4::bigint[], $5::float8[]) AS t (latitude, longitude, cell, second)",
                &[&person, &latitudes, &longitudes, &cells, &seconds],
            )
            .await
            .unwrap();
    }
    client.batch_execute("ANALYZE location").await.unwrap();
}

async fn people(database: &Database, count: u32) {
    let sql = format!(
        "INSERT INTO person (first_name, last_name, company_name) SELECT 'a', 'b', 'c' FROM generate_series(1, {count})"
    );
    database.client().await.batch_execute(&sql).await.unwrap();
}
