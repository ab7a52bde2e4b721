//! `limen policy`: for those who write policies.

mod bench;
mod build;
mod check;
mod inspect;
mod new;
mod pack;
mod test;

use std::process::ExitCode;

use clap::Subcommand;
use limen_gateway::StartError;

/// Begin, build, test, measure, look into and try policies of your own
#[derive(Subcommand)]
pub enum Policy {
    New(new::New),
    Build(build::Build),
    Test(test::Test),
    Bench(bench::Bench),
    Inspect(inspect::Inspect),
    Check(check::Check),
    Pack(pack::Pack),
}

impl Policy {
    pub fn main(self) -> Result<ExitCode, StartError> {
        let done = match self {
            Policy::New(new) => new.main(),
            Policy::Build(build) => return build.main(),
            Policy::Test(test) => return test.main(),
            Policy::Bench(bench) => bench.main(),
            Policy::Inspect(inspect) => return inspect.main(),
            Policy::Check(check) => return check.main(),
            Policy::Pack(pack) => return pack.main(),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}
