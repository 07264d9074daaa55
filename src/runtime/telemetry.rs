//! Log lines: to standard error, as text for people or as JSON for machines.

use super::lines::Lines;
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
    // Libraries that log every connection, and as errors what their caller tries again and reports once or what a client sent
    // that is no HTTP. Whoever names them in the filter gets them.
    let quiet = "rskafka=off,actix_server=warn,actix_http=off";
    let filter = EnvFilter::try_new(format!("{quiet},{}", args.log_filter)).map_err(|e| {
        format!("RUST_LOG: {:?} is not a log filter ({e}); write e.g. info or warn,udaconnect=debug", args.log_filter)
    })?;
    let ansi = args.log_format == LogFormat::Text && std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(Lines::new(args.log_format, ansi));
    let lines: BoxedLayer = match args.log_format {
        LogFormat::Text => lines.with_ansi(ansi).with_target(false).with_filter(filter).boxed(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).with_filter(filter).boxed()
        }
    };
    more.push(lines);
    tracing_subscriber::registry().with(more).init();
    std::panic::set_hook(Box::new(panicked));
    Ok(())
}

/// A panic is a log line like any other, whatever its message holds. A backtrace follows where one is asked for.
fn panicked(panic: &std::panic::PanicHookInfo<'_>) {
    let payload = panic.payload();
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    let message = owned.or(payload.downcast_ref::<&str>().copied()).unwrap_or("of unknown kind");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(panic = message, place, "a task panicked");
    let trace = std::backtrace::Backtrace::capture();
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        eprintln!("{trace}");
    }
}
