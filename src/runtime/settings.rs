//! The settings of a role and where each came from, for an operator who wants to know before it runs.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use std::fmt::Write as _;

/// The settings of a role, one a line: its variable, the value as given, and `environment`, `command line` or `default`.
/// Secrets are not shown. What has neither a value nor a default is left out.
pub fn list(role: &Command, matches: &ArgMatches) -> String {
    let mut lines: Vec<_> = role.get_arguments().filter_map(|argument| line(argument, matches)).collect();
    lines.sort();
    lines.into_iter().fold(format!("# udaconnect {}\n", role.get_name()), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}

fn line(argument: &Arg, matches: &ArgMatches) -> Option<String> {
    let id = argument.get_id().as_str();
    let variable = argument.get_env()?.to_string_lossy();
    let source = match matches.value_source(id)? {
        ValueSource::EnvVariable => "environment",
        ValueSource::CommandLine => "command line",
        _ => "default",
    };
    let values: Vec<_> = matches.get_raw(id)?.map(|value| value.to_string_lossy()).collect();
    let value = if argument.is_hide_env_values_set() { "(not shown)".to_owned() } else { values.join(",") };
    Some(format!("{variable}={value} # {source}"))
}
