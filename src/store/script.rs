//! A migration's file, statement by statement.
//!
//! A file is one transaction, unless a line of it is [`NO_TRANSACTION`]: then each statement is one by itself, which
//! `CREATE INDEX CONCURRENTLY` needs. Such a file may be run again from its beginning and then changes nothing. Lines that begin
//! with `--!` say how a file or the statement after them is meant.

/// Each statement is a transaction of its own.
const NO_TRANSACTION: &str = "--! no transaction";
/// What follows is a query; its rows are statements, to be run one by one.
const EACH_ROW: &str = "--! each row is a statement";

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Script<'a> {
    pub(super) one_transaction: bool,
    pub(super) steps: Vec<Step<'a>>,
}

/// One statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Run(&'a str),
    /// Its rows are statements.
    RunEachRow(&'a str),
}

impl<'a> Script<'a> {
    pub(super) fn read(file: &'a str) -> Self {
        let steps = statements(file)
            .map(|statement| match statement.lines().any(|line| line.trim() == EACH_ROW) {
                true => Step::RunEachRow(statement),
                false => Step::Run(statement),
            })
            .collect();
        Self { one_transaction: !file.lines().any(|line| line.trim() == NO_TRANSACTION), steps }
    }
}

/// The statements of a file, each with the comments before it; what holds nothing but comments is none.
fn statements(file: &str) -> impl Iterator<Item = &str> {
    let mut rest = file;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (statement, after, empty) = first(rest);
            rest = after;
            if !empty {
                return Some(statement.trim());
            }
        }
        None
    })
}

/// The first statement, what follows its semicolon, and whether there is nothing in it.
fn first(text: &str) -> (&str, &str, bool) {
    let bytes = text.as_bytes();
    let (mut at, mut empty) = (0, true);
    while at < bytes.len() {
        let here = &text[at..];
        let skipped = match bytes[at] {
            b';' => return (&text[..at], &text[at + 1..], empty),
            b'-' if here.starts_with("--") => length(here, "\n"),
            b'/' if here.starts_with("/*") => length(here, "*/"),
            b'\'' => quoted(here, '\'', ends_in_escape(&text[..at])),
            b'"' => quoted(here, '"', false),
            b'$' => dollar_quoted(here, &text[..at]),
            _ => here.chars().next().map_or(1, char::len_utf8),
        };
        let comment = here.starts_with("--") || here.starts_with("/*");
        empty &= comment || bytes[at].is_ascii_whitespace();
        at += skipped;
    }
    (text, "", empty)
}

/// How long a piece is that ends with `end`.
fn length(text: &str, end: &str) -> usize {
    text[1..].find(end).map_or(text.len(), |found| 1 + found + end.len())
}

/// Whether what comes after this is a string in which backslashes escape: `E'…'`.
fn ends_in_escape(before: &str) -> bool {
    let mut chars = before.chars().rev();
    chars.next().is_some_and(|c| c.eq_ignore_ascii_case(&'e'))
        && !chars.next().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote {
            // Two of them are one inside.
            match chars.peek() {
                Some((_, next)) if *next == quote => _ = chars.next(),
                _ => return at + quote.len_utf8(),
            }
        }
    }
    text.len()
}

/// `$tag$ … $tag$`; a dollar that begins none (`$1`, or one in a name) is one character.
fn dollar_quoted(text: &str, before: &str) -> usize {
    let in_a_name = before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
    let Some(end) = text[1..].find('$').filter(|_| !in_a_name) else { return 1 };
    let tag = &text[..end + 2];
    let name = &tag[1..tag.len() - 1];
    let valid =
        name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if !valid {
        return 1;
    }
    text[tag.len()..].find(tag).map_or(text.len(), |found| tag.len() + found + tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_semicolon_ends_a_statement_unless_it_is_inside_something() {
        let file = "-- one; comment\nSELECT ';', E'\\';', \"a;b\", $$ ; $$, $x$ $$ ; $x$, $1 /* ; */ ;\n\n;-- nothing;\n\
                    SELECT 'it''s;' ; CREATE FUNCTION f() AS $do$ BEGIN; END; $do$";
        let found: Vec<&str> = statements(file).collect();
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(found[0].starts_with("-- one; comment\nSELECT") && found[0].ends_with("/* ; */"), "{found:#?}");
        assert_eq!(found[1], "-- nothing;\nSELECT 'it''s;'");
        assert!(found[2].starts_with("CREATE") && found[2].ends_with("$do$"));
        assert_eq!(statements("-- nothing; at all").count(), 0);
    }

    #[test]
    fn lines_say_how_a_file_is_meant() {
        assert!(Script::read("SELECT 1;").one_transaction);
        let script = Script::read("--! no transaction\nSELECT 1;\n--! each row is a statement\nSELECT 'SELECT 2';");
        assert!(!script.one_transaction);
        assert!(matches!(script.steps[..], [Step::Run(_), Step::RunEachRow(_)]));
    }
}
