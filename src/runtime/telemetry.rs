//! Log lines: to standard error, as text for people or as JSON for machines.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// How this process logs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// What log lines look like
    #[arg(long, env, value_enum, default_value_t = LogFormat::Text, global = true)]
    log_format: LogFormat,
    /// What is logged, e.g. debug or warn,udaconnect=debug
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info", global = true)]
    log_filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Starts logging. The error is a sentence that names the filter.
pub fn init(args: &LogArgs) -> Result<(), String> {
    // Libraries that log every connection, and as errors what their caller tries again and reports once. Whoever names them
    // in the filter gets them.
    let filter = EnvFilter::try_new(format!("rskafka=off,actix_server=warn,{}", args.log_filter)).map_err(|e| {
        format!("RUST_LOG: {:?} is not a log filter ({e}); write e.g. info or warn,udaconnect=debug", args.log_filter)
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).init(),
    }
    Ok(())
}
