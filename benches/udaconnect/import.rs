//! Bringing a CSV file in, beside one COPY of the same rows into the same table.

use super::report::{Row, Section, count, median};
use super::seed::{copy_in, copy_out};
use super::setup::{ROUNDS, connect, empty, runtime, standard_event, url};
use anyhow::ensure;
use futures_util::StreamExt;
use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PERSONS: u32 = 2_000;
const ROWS: f64 = 1e6;
const COLUMNS: &str = "person_id, creation_time, cell, accuracy_m, coordinate";
const PERSON: &str = "person (id, first_name, last_name, company_name, external_key)";

pub fn run() -> anyhow::Result<Section> {
    runtime().block_on(async {
        let source = standard_event(PERSONS).await?;
        let (persons, locations) = (tempfile::tempfile()?, tempfile::tempfile()?);
        copy_out(&source, "SELECT id, first_name, last_name, company_name, external_key FROM person", &persons).await?;
        copy_out(&source, &format!("SELECT {COLUMNS} FROM location ORDER BY id LIMIT {ROWS}"), &locations).await?;
        let mut csv = tempfile::Builder::new().suffix(".csv").tempfile()?;
        let mut writer = BufWriter::new(csv.as_file_mut());
        let mut rows = Box::pin(
            connect(&source)
                .await?
                .copy_out(&format!(
                    "COPY (SELECT person_id, ST_Y(coordinate::geometry) AS latitude, ST_X(coordinate::geometry) AS longitude,
                     creation_time, accuracy_m FROM location ORDER BY id LIMIT {ROWS}) TO STDOUT CSV HEADER"
                ))
                .await?,
        );
        while let Some(part) = rows.next().await {
            writer.write_all(&part?)?;
        }
        writer.flush()?;
        drop(writer);

        let (mut ours, mut copy, mut memory) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            empty("bench_copy").await?;
            let client = connect("bench_copy").await?;
            client.batch_execute("SELECT location_make_partition('2026-06-01')").await?;
            copy_in("bench_copy", PERSON, &persons).await?;
            let begin = Instant::now();
            copy_in("bench_copy", &format!("location ({COLUMNS})"), &locations).await?;
            client.batch_execute("VACUUM (ANALYZE) location").await?;
            copy.push(ROWS / begin.elapsed().as_secs_f64());

            empty("bench_import").await?;
            copy_in("bench_import", PERSON, &persons).await?;
            let begin = Instant::now();
            memory.push(import(csv.path(), "bench_import")?);
            ours.push(ROWS / begin.elapsed().as_secs_f64());
            eprintln!(
                "round {round}: COPY {:.0}, import {:.0} rows/s in {:.0} MB",
                copy[round - 1],
                ours[round - 1],
                memory[round - 1]
            );
        }
        for database in ["bench_copy", "bench_import"] {
            connect("postgres").await?.batch_execute(&format!("DROP DATABASE {database} WITH (FORCE)")).await?;
        }
        let (ours, copy, memory) = (median(ours), median(copy), median(memory));
        Ok(Section {
            title: "Bringing in a CSV file",
            about: format!(
                "`import` of a CSV file with {} locations of {PERSONS} persons into an empty database, from start to exit. \
                 Baseline: one `COPY` (binary, over the network) of the same rows, in the same order, into the same partitioned \
                 and indexed table. Both end with `VACUUM (ANALYZE)`.",
                count(ROWS)
            ),
            rows: vec![
                Row {
                    what: "rows/s".to_owned(),
                    figure: count(ours),
                    baseline: count(copy),
                    ratio: format!("{:.2}", ours / copy),
                    target: "≥ 0.5",
                    met: ours >= 0.5 * copy,
                },
                Row {
                    what: "memory of `import` at the most, MB".to_owned(),
                    figure: format!("{memory:.0}"),
                    baseline: String::new(),
                    ratio: String::new(),
                    target: "≤ 64",
                    met: memory <= 64.0,
                },
            ],
        })
    })
}

/// Runs an import to its end and tells how much memory it used at the most, MB.
fn import(file: &std::path::Path, database: &str) -> anyhow::Result<f64> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_udaconnect"))
        .arg("import")
        .arg(file)
        .env("DATABASE_URL", url(database)?)
        .env("DATABASE_STATEMENT_TIMEOUT", "3600")
        .stdout(Stdio::null())
        .spawn()?;
    let mut peak = 0.0_f64;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
        let now = line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0;
        peak = peak.max(now);
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "udaconnect import: {status}");
            return Ok(peak);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
