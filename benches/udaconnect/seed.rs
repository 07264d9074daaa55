//! Loading the standard event, beside one COPY of the same rows into the same table.

use super::report::{Row, Section, count, median};
use super::setup::{ROUNDS, connect, empty, runtime, standard_event, udaconnect};
use futures_util::{SinkExt, StreamExt};
use std::io::{Read, Write};
use std::time::Instant;

const PERSONS: u32 = 2_000;
pub const COLUMNS: &str = "person_id, creation_time, cell, accuracy_m, coordinate";

pub fn run() -> anyhow::Result<Section> {
    runtime().block_on(async {
        let source = standard_event(PERSONS).await?;
        let rows = f64::from(PERSONS) * 3.0 * 540.0;
        let (persons, locations) = (tempfile::tempfile()?, tempfile::tempfile()?);
        copy_out(&source, "SELECT id, first_name, last_name, company_name, external_key FROM person", &persons).await?;
        copy_out(&source, &format!("SELECT {COLUMNS} FROM location ORDER BY id"), &locations).await?;
        let (mut ours, mut copy) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            empty("bench_copy").await?;
            let client = connect("bench_copy").await?;
            client.batch_execute("SELECT location_make_partition('2026-06-01')").await?;
            copy_in("bench_copy", "person (id, first_name, last_name, company_name, external_key)", &persons).await?;
            let begin = Instant::now();
            copy_in("bench_copy", &format!("location ({COLUMNS})"), &locations).await?;
            client.batch_execute("VACUUM (ANALYZE) location").await?;
            copy.push(rows / begin.elapsed().as_secs_f64());

            empty("bench_seed").await?;
            let begin = Instant::now();
            udaconnect(&["seed", "--persons", &PERSONS.to_string(), "--days", "3"], "bench_seed")?;
            ours.push(rows / begin.elapsed().as_secs_f64());
            eprintln!("round {round}: COPY {:.0}, seed {:.0} rows/s", copy[round - 1], ours[round - 1]);
        }
        for database in ["bench_copy", "bench_seed"] {
            connect("postgres").await?.batch_execute(&format!("DROP DATABASE {database} WITH (FORCE)")).await?;
        }
        let (ours, copy) = (median(ours), median(copy));
        Ok(Section {
            title: "Loading the standard event",
            about: format!(
                "`seed --persons {PERSONS} --days 3` makes and stores {} locations in an empty database. Baseline: one \
                 `COPY` (binary, over the network) of the same rows, in the same order, into the same partitioned and indexed \
                 table. Both end with `VACUUM (ANALYZE)`.",
                count(rows)
            ),
            rows: vec![Row {
                what: "rows/s".to_owned(),
                figure: count(ours),
                baseline: count(copy),
                ratio: format!("{:.2}", ours / copy),
                target: "≥ 0.5",
                met: ours >= 0.5 * copy,
            }],
        })
    })
}

pub async fn copy_out(database: &str, query: &str, mut file: &std::fs::File) -> anyhow::Result<()> {
    let client = connect(database).await?;
    let mut rows = Box::pin(client.copy_out(&format!("COPY ({query}) TO STDOUT BINARY")).await?);
    let mut writer = std::io::BufWriter::new(&mut file);
    while let Some(part) = rows.next().await {
        writer.write_all(&part?)?;
    }
    Ok(writer.flush()?)
}

pub async fn copy_in(database: &str, table: &str, file: &std::fs::File) -> anyhow::Result<()> {
    use std::io::{Seek, SeekFrom};
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    let client = connect(database).await?;
    let mut sink = Box::pin(client.copy_in::<_, bytes::Bytes>(&format!("COPY {table} FROM STDIN BINARY")).await?);
    loop {
        let mut part = vec![0; 256 << 10];
        let length = file.read(&mut part)?;
        if length == 0 {
            break;
        }
        part.truncate(length);
        sink.feed(part.into()).await?;
    }
    sink.as_mut().finish().await?;
    Ok(())
}
