//! Which room of src/ may use which, and what its types are called: imports point one way, so that a rule has one place where it
//! must hold, and a name means one thing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The rooms that serve or do something for somebody: they never use each other.
const ROLES: &[&str] = &["api", "grpc", "app", "consumer", "tools"];

/// What each room may use, besides itself.
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    let below = ["runtime", "geo", "domain", "meeting", "codec"];
    let with = |more: &[&'static str]| -> Vec<&'static str> { below.iter().chain(more).copied().collect() };
    let all = with(&["store", "stream", "service"]);
    let above: Vec<&str> = all.iter().chain(ROLES).copied().collect();
    BTreeMap::from([
        ("runtime", vec![]),
        ("geo", vec!["runtime"]),
        ("domain", vec!["runtime", "geo"]),
        ("meeting", vec!["runtime", "geo", "domain"]),
        ("codec", vec!["runtime", "geo", "domain", "meeting"]),
        ("store", with(&[])),
        ("stream", with(&[])),
        ("service", with(&["store", "stream"])),
        // What protocols see is what a use case shows them.
        ("api", with(&["service"])),
        ("grpc", with(&["service"])),
        ("app", with(&["service"])),
        ("consumer", all.clone()),
        ("tools", all),
        ("standalone", above.clone()),
        ("cli", above.into_iter().chain(["standalone"]).collect()),
        ("main", vec!["cli"]),
        ("lib", vec![]),
    ])
}

#[test]
fn imports_point_one_way() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let room = room(&path);
        let may = allowed.get(room.as_str()).unwrap_or_else(|| panic!("src/{} is in no room", path.display()));
        for (line, used) in uses(&text) {
            if used != room && !may.contains(&used.as_str()) {
                wrong.push(format!("src/{}:{line} uses {used}; {room} may use {}", path.display(), may.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that point the wrong way:\n{}", wrong.join("\n"));
}

#[test]
fn features_are_decided_at_the_doors() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let door = matches!(path.file_name().and_then(|name| name.to_str()), Some("lib.rs" | "cli.rs" | "mod.rs"));
        for (number, line) in text.lines().enumerate() {
            if !door && line.contains("cfg(") && line.contains("feature =") {
                wrong.push(format!("src/{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    let rule = "#[cfg(feature)] stands in lib.rs, cli.rs and at the head of a mod.rs";
    assert!(wrong.is_empty(), "{rule}:\n{}", wrong.join("\n"));
}

/// A name that leaves its room belongs to one type of the program, and one that leaves its file to one type of the room.
#[test]
fn a_name_belongs_to_one_type() {
    let shared = shared_names(&sources());
    assert!(shared.is_empty(), "two public types of one name; let each say what it is:\n{}", shared.join("\n"));
}

#[test]
fn a_shared_name_is_seen() {
    let file = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
    let files = [
        file("api/json.rs", "pub struct Event {\n//! pub struct Prose;\n    pub(super) struct Line;\nstruct Own;\n"),
        file("api/lines.rs", "pub(super) enum Line {\n"),
        file("domain/event.rs", "pub struct Event<'a>(&'a str);\npub struct EventId(i32);\nstruct Own;\n"),
        file("grpc/lines.rs", "pub(super) type Line = u8;\npub struct Prose;\n"),
    ];
    let expected = ["Event: src/api/json.rs:1, src/domain/event.rs:1", "Line: src/api/json.rs:3, src/api/lines.rs:1"];
    assert_eq!(shared_names(&files), expected);
}

#[test]
fn a_wrong_import_is_seen() {
    let text = "//! crate::store in prose\nuse crate::domain::Error;\nuse crate::{geo, store::Store};\n    crate::stream::go();\n";
    let found: Vec<_> = uses(text).into_iter().map(|(line, room)| format!("{line} {room}")).collect();
    assert_eq!(found, ["2 domain", "3 geo", "3 store", "4 stream"]);
}

/// The first part of a path below src/, without its ending.
fn room(path: &Path) -> String {
    let first = path.iter().next().and_then(|part| part.to_str()).unwrap_or_default();
    first.trim_end_matches(".rs").to_owned()
}

/// Every room that a text names by `crate::`, with the line; comments do not count.
fn uses(text: &str) -> Vec<(usize, String)> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                // One level is enough: rustfmt puts what is longer on lines that begin with a room's name, which none does here.
                Some(list) => found.extend(list.split(',').map(|item| (number + 1, word(item.trim())))),
                None => found.push((number + 1, word(rest))),
            }
        }
    }
    found.retain(|(_, room)| !room.is_empty());
    found
}

/// The names that several types have where they can be taken for each other, each with its files and lines.
fn shared_names(files: &[(PathBuf, String)]) -> Vec<String> {
    // None for what is seen everywhere, else the room that sees it.
    let mut types: BTreeMap<(String, Option<String>), Vec<String>> = BTreeMap::new();
    for (path, text) in files {
        for (number, line) in text.lines().enumerate() {
            let Some((everywhere, name)) = public_type(line) else { continue };
            let seen_by = if everywhere { None } else { Some(room(path)) };
            let place = format!("src/{}:{}", path.display(), number + 1);
            types.entry((name, seen_by)).or_default().push(place);
        }
    }
    let several = types.into_iter().filter(|(_, places)| places.len() > 1);
    several.map(|((name, _), places)| format!("{name}: {}", places.join(", "))).collect()
}

/// The name of the public type that a line defines, and whether other rooms may see it.
fn public_type(line: &str) -> Option<(bool, String)> {
    let after = line.trim_start().strip_prefix("pub")?;
    let (everywhere, rest) = match after.strip_prefix('(') {
        Some(limited) => (limited.starts_with("crate)"), limited.split_once(')')?.1),
        None => (true, after),
    };
    let mut words = rest.split_whitespace();
    let kind = words.find(|word| !["unsafe", "auto"].contains(word))?;
    let name = ["struct", "enum", "union", "trait", "type"].contains(&kind).then(|| words.next()).flatten()?;
    Some((everywhere, name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()))
}

/// Every source file with its path below src/.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut directories = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    files.sort();
    assert!(files.len() > 50, "src/ was not found");
    files
}
