use std::process::ExitCode;

fn main() -> ExitCode {
    udaconnect::cli::Cli::read().run()
}
