//! `make bench`: every figure beside its baseline, in the same run on the same data. Writes docs/benchmarks.md.
//!
//! `scripts/bench.sh PART…` runs some parts only. The data stay between runs.

mod connections;
mod import;
mod kafka;
mod load;
mod report;
mod rest;
mod seed;
mod setup;

/// A part's name and what runs it.
type Part = (&'static str, fn() -> anyhow::Result<report::Section>);

const PARTS: &[Part] = &[
    ("seed", seed::run),
    ("import", import::run),
    ("rest", rest::run),
    ("connections", connections::run),
    ("kafka", kafka::run),
];

fn main() -> anyhow::Result<()> {
    // cargo passes --bench; the rest are names of parts.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for name in &wanted {
        anyhow::ensure!(
            PARTS.iter().any(|(part, _)| part == name),
            "there is no part {name}; there are {}",
            PARTS.iter().map(|(part, _)| *part).collect::<Vec<_>>().join(", ")
        );
    }
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            eprintln!("── {name}");
            let section = run()?;
            println!("{}", section.text(name));
            report::write(name, &section)?;
        }
    }
    Ok(())
}
