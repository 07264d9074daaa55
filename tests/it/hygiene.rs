//! What keeps tests from failing on a busy machine: nobody sleeps in order to wait, and no port is fixed.

use std::path::{Path, PathBuf};

/// Source files of all tests.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open = vec![root.join("tests"), root.join("web/e2e"), root.join("web/src")];
    let mut files = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_test = !path.starts_with(root.join("web/src")) || name.contains(".test.");
            match path.extension().and_then(|ending| ending.to_str()) {
                _ if path.is_dir() => open.push(path),
                Some("rs" | "py" | "ts" | "tsx") if is_test && name != "hygiene.rs" => files.push(path),
                _ => {}
            }
        }
    }
    assert!(files.len() > 40, "{files:?}");
    files
}

/// The lines that break a rule, with their places.
fn lines(breaks: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        let broken = text.lines().enumerate().filter(|(_, line)| breaks(line));
        found.extend(broken.map(|(number, line)| format!("{}:{}: {}", file.display(), number + 1, line.trim())));
    }
    found
}

/// Whoever waits asks again and again until a deadline. A pause between two questions ends with the comment "polls", and one
/// whose length is what is tested with "lasts".
#[test]
fn nobody_sleeps_in_order_to_wait() {
    let sleeps = ["sleep(", "waitForTimeout("];
    let found = lines(|line| {
        sleeps.iter().any(|sleep| line.contains(sleep)) && ![" polls", " lasts"].iter().any(|why| line.ends_with(why))
    });
    assert!(found.is_empty(), "a pause that is none of a question asked again:\n{}", found.join("\n"));
}

/// Port 1 is where nobody listens; the last three are read in settings, and nobody listens there or connects.
#[test]
fn no_port_is_fixed() {
    let fixed = |line: &str| {
        ["127.0.0.1:", "localhost:"].iter().any(|host| {
            line.match_indices(host).any(|(at, _)| {
                let port: String = line[at + host.len()..].chars().take_while(char::is_ascii_digit).collect();
                !["", "0", "1", "30000", "30001", "9093"].contains(&port.as_str())
            })
        })
    };
    assert!(fixed("connect to 127.0.0.1:5432") && !fixed("127.0.0.1:0 and localhost:{port}"));
    let found = lines(fixed);
    assert!(found.is_empty(), "a port that another program may have:\n{}", found.join("\n"));
}

/// The time that something took says how busy the machine was.
#[test]
fn no_duration_is_asserted() {
    let found = lines(|line| {
        line.contains("assert")
            && line.contains("elapsed()")
            && !["DEADLINE", "PATIENCE"].iter().any(|limit| line.contains(limit))
    });
    assert!(found.is_empty(), "a duration is asserted:\n{}", found.join("\n"));
}
