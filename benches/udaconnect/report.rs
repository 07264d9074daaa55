//! The tables of docs/benchmarks.md.

use std::process::Command;

/// One part's table.
pub struct Section {
    pub title: &'static str,
    /// What was measured and how, a paragraph.
    pub about: String,
    pub rows: Vec<Row>,
}

/// A figure, its baseline, and what their ratio (or the figure) should be.
pub struct Row {
    pub what: String,
    pub figure: String,
    pub baseline: String,
    pub ratio: String,
    pub target: &'static str,
    pub met: bool,
}

impl Section {
    pub fn text(&self, name: &str) -> String {
        let mut text = format!(
            "## {}\n\n{}\n\nMeasured by `scripts/bench.sh {name}` on {}.\n\n| what | here | baseline | ratio | target | |\n|---|---|---|---|---|---|\n",
            self.title,
            self.about,
            machine(),
        );
        for row in &self.rows {
            let met = if row.met { "met" } else { "**not met**" };
            text += &format!(
                "| {} | {} | {} | {} | {} | {met} |\n",
                row.what, row.figure, row.baseline, row.ratio, row.target
            );
        }
        text
    }
}

/// Puts a part's table in the place of its last one.
pub fn write(name: &str, section: &Section) -> anyhow::Result<()> {
    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks.md");
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->\n"));
    let old = std::fs::read_to_string(PATH).unwrap_or_else(|_| {
        "# Benchmarks\n\nEvery figure is a median of at least 5, beside a baseline of the same run on the same data: machines are shared and\nnoisy, ratios are what counts. `make bench` writes the tables.\n".to_owned()
    });
    let new = format!("{begin}{}{end}", section.text(name));
    let text = match old.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1))) {
        Some((before, after)) => format!("{before}{new}{after}"),
        None => format!("{old}\n{new}"),
    };
    std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs"))?;
    Ok(std::fs::write(PATH, text)?)
}

/// Processors, memory, system and commit.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let of = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let memory = of("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1_048_576;
    let commit = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default();
    let date = chrono::Utc::now().format("%Y-%m-%d");
    format!("{date}, {cores} processors ({}), {memory} GB, commit {commit}", of("/proc/cpuinfo", "model name"))
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// With separators: 12,345.
pub fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
