//! Log lines: to standard error, as text for people or as JSON for machines.

use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

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

/// What else takes the spans.
pub type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging, and hands spans to `more` as well. The error is a sentence that names the filter.
pub fn init(args: &LogArgs, mut more: Vec<BoxedLayer>) -> Result<(), String> {
    // Libraries that log every connection, and as errors what their caller tries again and reports once. Whoever names them
    // in the filter gets them.
    let filter = EnvFilter::try_new(format!("rskafka=off,actix_server=warn,{}", args.log_filter)).map_err(|e| {
        format!("RUST_LOG: {:?} is not a log filter ({e}); write e.g. info or warn,udaconnect=debug", args.log_filter)
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: BoxedLayer = match args.log_format {
        LogFormat::Text => {
            lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).with_filter(filter).boxed()
        }
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).with_filter(filter).boxed()
        }
    };
    more.push(lines);
    tracing_subscriber::registry().with(more).init();
    Ok(())
}
