use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    udaconnect::cli::Cli::parse().run()
}
