//! The command line: one file per subcommand.

mod cache;
mod check;
mod explain;
mod key;
#[cfg(feature = "openapi")]
mod openapi;
mod policy;
mod quota;
mod reload;
mod run;
mod status;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};
use limen_gateway::StartError;
use limen_gateway::remote::Report;
use limen_policy::native;
use serde_json::Value;

/// A programmable API gateway: your policies, in sandboxed WebAssembly, on every request.
#[derive(Parser)]
#[command(name = "limen", version = VERSION.as_str(), max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Says also what a small build is without.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let without: Vec<_> = native::left_out().collect();
    let version = env!("CARGO_PKG_VERSION");
    if without.is_empty() { version.to_owned() } else { format!("{version}, without {}", without.join(", ")) }
});

#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Explain(explain::Explain),
    Status(status::Status),
    Reload(reload::Reload),
    #[command(subcommand)]
    Cache(cache::Cache),
    #[command(subcommand)]
    Key(key::Key),
    #[command(subcommand)]
    Quota(quota::Quota),
    #[command(subcommand)]
    Policy(policy::Policy),
    #[cfg(feature = "openapi")]
    #[command(subcommand, name = "openapi")]
    OpenApi(openapi::OpenApi),
}

pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(run) => run.main().map(|()| ExitCode::SUCCESS),
        Command::Check(check) => check.main(),
        Command::Explain(explain) => explain.main().map(|()| ExitCode::SUCCESS),
        Command::Status(status) => status.main(),
        Command::Reload(reload) => reload.main(),
        Command::Cache(cache) => cache.main(),
        Command::Key(key) => key.main(),
        Command::Quota(quota) => quota.main(),
        Command::Policy(policy) => policy.main(),
        #[cfg(feature = "openapi")]
        Command::OpenApi(openapi) => openapi.main().map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "{error}");
        ExitCode::FAILURE
    })
}

/// Prints what a running gateway says.
fn tell(report: Report) -> ExitCode {
    say(&report.text);
    if let Some(aside) = &report.aside {
        let _ = writeln!(std::io::stderr(), "{aside}");
    }
    if report.is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints what came of a command: for machines a mistake is an answer like any other, and goes where that goes.
fn show<T: Display>(
    done: Result<T, StartError>,
    is_for_machines: bool,
    json: impl FnOnce(&T) -> Value,
) -> Result<ExitCode, StartError> {
    match done {
        Ok(done) if is_for_machines => say(&format!("{:#}", json(&done))),
        Ok(done) => say(done.to_string().trim_end()),
        Err(error) if is_for_machines => {
            say(&format!("{:#}", error.json()));
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error),
    }
    Ok(ExitCode::SUCCESS)
}

/// A line for whoever reads our output, if somebody does: `limen explain ... | head -1` is no mistake.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
