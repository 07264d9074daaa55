//! The command line: one subcommand a role, each with arguments of its own.

use crate::runtime::{Incomplete, memory, settings, shutdown, telemetry};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::process::ExitCode;

/// UdaConnect tells conference attendees whom they met, where, when and for how long.
///
/// Every option can also be given by the environment variable named beside it.
#[derive(Debug, Parser)]
#[command(name = "udaconnect", version, max_term_width = 120, arg_required_else_help = true, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    role: Role,
    #[command(flatten)]
    log: telemetry::LogArgs,
    #[command(flatten)]
    end: shutdown::ShutdownArgs,
    #[cfg(feature = "otlp")]
    #[command(flatten)]
    trace: crate::runtime::trace::TraceArgs,
    /// Check the command line and the environment, print what the role would run with, and exit; needs no server
    #[arg(long, global = true)]
    check_config: bool,
    #[arg(skip)]
    matches: ArgMatches,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // there is one of it, once
enum Role {
    #[cfg(feature = "api")]
    ServeApi(crate::api::ServeApiArgs),
    #[cfg(feature = "api")]
    Openapi(crate::api::OpenApiArgs),
    #[cfg(feature = "grpc")]
    ServeGrpc(crate::grpc::ServeGrpcArgs),
    #[cfg(feature = "consume")]
    Consume(crate::consumer::ConsumerArgs),
    #[cfg(feature = "app")]
    ServeApp(crate::app::ServeAppArgs),
    #[cfg(feature = "standalone")]
    Standalone(crate::standalone::StandaloneArgs),
    #[cfg(feature = "migrate")]
    Migrate(crate::tools::migrate::MigrateArgs),
    #[cfg(feature = "maintain")]
    Maintain(crate::tools::maintain::MaintainArgs),
    #[cfg(feature = "event")]
    Event(crate::tools::event::EventArgs),
    #[cfg(feature = "seed")]
    Seed(crate::tools::seed::SeedArgs),
    #[cfg(feature = "simulate")]
    Simulate(crate::tools::simulate::SimulateArgs),
    #[cfg(feature = "import")]
    Import(crate::tools::import::ImportArgs),
    #[cfg(feature = "export")]
    Export(crate::tools::export::ExportArgs),
    #[cfg(feature = "dead-letters")]
    DeadLetters(crate::tools::dead_letters::DeadLettersArgs),
    #[cfg(feature = "healthcheck")]
    Healthcheck(crate::tools::healthcheck::HealthcheckArgs),
}

impl Cli {
    /// What the process was started with; ends it when that is wrong, with status 2, or when only help was asked for.
    pub fn read() -> Self {
        let matches = Self::command().get_matches();
        #[allow(unused_mut, unused_variables)] // in a build without roles
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        cli.matches = matches;
        cli
    }

    /// Runs the role. Status 0: done, or drained after a signal; 1: it failed, and standard error says why and what to do;
    /// 3: part of the work could not be done ([`Incomplete`]).
    pub fn run(self) -> ExitCode {
        memory::give_back();
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        };
        let traces = {
            let _within = runtime.enter();
            self.telemetry()
        };
        let traces = match traces {
            Ok(traces) => traces,
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(2);
            }
        };
        if self.check_config {
            return self.check();
        }
        let ended = runtime.block_on(self.role.run(&self.end));
        // While there is still a runtime to send what is left.
        drop(traces);
        // Whatever still runs on a blocking thread must not hold the process.
        runtime.shutdown_background();
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                if error.is::<Incomplete>() { ExitCode::from(3) } else { ExitCode::FAILURE }
            }
        }
    }

    /// Starts log lines and, where asked for, traces; these end with the value that is returned.
    fn telemetry(&self) -> Result<Option<Box<dyn std::any::Any>>, String> {
        #[cfg(feature = "otlp")]
        {
            let role = self.matches.subcommand_name().unwrap_or_default();
            let (layers, traces) = crate::runtime::trace::layer(&self.trace, role)?.unzip();
            telemetry::init(&self.log, layers.into_iter().collect())?;
            Ok(traces.map(|traces| Box::new(traces) as _))
        }
        #[cfg(not(feature = "otlp"))]
        {
            telemetry::init(&self.log, Vec::new())?;
            Ok(None)
        }
    }

    fn check(&self) -> ExitCode {
        let mut command = Self::command();
        command.build();
        let Some((name, matches)) = self.matches.subcommand() else { unreachable!("there is no run without a role") };
        let role = command.find_subcommand(name).expect("what was matched exists");
        if let Err(error) = check_servers(matches) {
            eprintln!("error: {error:#}");
            return ExitCode::from(2);
        }
        print!("{}", settings::list(role, matches));
        ExitCode::SUCCESS
    }
}

/// Whether what leads to other servers can be used, as far as that shows without asking them.
#[allow(unused_variables)] // in a build without roles
fn check_servers(matches: &ArgMatches) -> anyhow::Result<()> {
    #[cfg(feature = "store")]
    if matches.ids().any(|id| id == "database_url") {
        crate::store::DatabaseArgs::from_arg_matches(matches)?.check()?;
    }
    #[cfg(feature = "stream")]
    if matches.ids().any(|id| id == "kafka_bootstrap") {
        crate::stream::KafkaArgs::from_arg_matches(matches)?.check()?;
    }
    Ok(())
}

impl Role {
    async fn run(self, end: &shutdown::ShutdownArgs) -> anyhow::Result<()> {
        #[allow(unused_variables)] // in a build without roles
        let shutdown = shutdown::on_signal(end)?;
        match self {
            #[cfg(feature = "api")]
            Self::ServeApi(args) => crate::api::run(args, shutdown).await,
            #[cfg(feature = "api")]
            Self::Openapi(args) => crate::api::print_openapi(args),
            #[cfg(feature = "grpc")]
            Self::ServeGrpc(args) => crate::grpc::run(args, shutdown).await,
            #[cfg(feature = "consume")]
            Self::Consume(args) => crate::consumer::run(args, shutdown).await,
            #[cfg(feature = "app")]
            Self::ServeApp(args) => crate::app::run(args, shutdown).await,
            #[cfg(feature = "standalone")]
            Self::Standalone(args) => crate::standalone::run(args, shutdown).await,
            #[cfg(feature = "migrate")]
            Self::Migrate(args) => until(shutdown, crate::tools::migrate::run(args)).await,
            #[cfg(feature = "maintain")]
            Self::Maintain(args) => until(shutdown, crate::tools::maintain::run(args)).await,
            #[cfg(feature = "event")]
            Self::Event(args) => until(shutdown, crate::tools::event::run(args)).await,
            #[cfg(feature = "seed")]
            Self::Seed(args) => until(shutdown, crate::tools::seed::run(args)).await,
            #[cfg(feature = "simulate")]
            Self::Simulate(args) => until(shutdown, crate::tools::simulate::run(args)).await,
            #[cfg(feature = "import")]
            Self::Import(args) => until(shutdown, crate::tools::import::run(args)).await,
            #[cfg(feature = "export")]
            Self::Export(args) => until(shutdown, crate::tools::export::run(args)).await,
            #[cfg(feature = "dead-letters")]
            Self::DeadLetters(args) => until(shutdown, crate::tools::dead_letters::run(args)).await,
            #[cfg(feature = "healthcheck")]
            Self::Healthcheck(args) => until(shutdown, crate::tools::healthcheck::run(args)).await,
        }
    }
}

/// Runs a task that has nothing to drain: a signal ends it between two steps.
#[allow(dead_code)] // not every build has such a role
async fn until(
    shutdown: shutdown::CancellationToken,
    task: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    tokio::select! {
        done = task => done,
        () = shutdown.cancelled() => anyhow::bail!("stopped by a signal; what was done is kept, run it again to go on"),
    }
}
