//! The command line: one file per subcommand.

mod check;
mod explain;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A programmable API gateway: your policies, in sandboxed WebAssembly, on every request.
#[derive(Parser)]
#[command(name = "limen", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Explain(explain::Explain),
}

pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(run) => run.main(),
        Command::Check(check) => check.main(),
        Command::Explain(explain) => explain.main(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
