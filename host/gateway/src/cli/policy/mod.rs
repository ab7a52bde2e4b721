//! `limen policy`: for those who write policies.

mod build;
mod check;
mod inspect;
mod new;

use clap::Subcommand;
use limen_gateway::StartError;

/// Begin, build, look into and try policies of your own
#[derive(Subcommand)]
pub enum Policy {
    New(new::New),
    Build(build::Build),
    Inspect(inspect::Inspect),
    Check(check::Check),
}

impl Policy {
    pub fn main(self) -> Result<(), StartError> {
        match self {
            Policy::New(new) => new.main(),
            Policy::Build(build) => build.main(),
            Policy::Inspect(inspect) => inspect.main(),
            Policy::Check(check) => check.main(),
        }
    }
}
