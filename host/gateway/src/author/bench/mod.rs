//! `limen policy bench`: what a policy costs, measured on the request of a case.
//!
//! ```text
//! load     compiling and configuring, once each
//! crossed  how much is copied between the policy and the gateway
//! rounds   requests through the gateway without the policy, with fresh and with reused isolates, in turn
//! crowd    the same with many requests under way at the same time
//! timer    stands around the policy in rounds of their own, and times each of its hooks
//! numbers  medians and how far they spread
//! report   what people and machines read
//! ```

mod crossed;
mod crowd;
mod load;
mod numbers;
mod report;
mod rounds;
mod timer;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use limen_config::suite::Played;

use super::cases::{self, Here};
use super::stage::{Lines, Stage};
use crate::StartError;
use crate::screen::Line;
pub use report::Measured;
use report::Warning;

/// What to measure.
pub struct Bench {
    /// A component, or the folder of a policy, which is built.
    pub policy: PathBuf,
    /// A file of cases; those of the policy's folder otherwise.
    pub cases: Option<PathBuf>,
    /// The first case whose name contains this; the first that asks for something otherwise.
    pub name: Option<String>,
    /// How many rounds count.
    pub rounds: usize,
}

/// Measures it.
pub fn bench(bench: &Bench) -> Result<Measured, StartError> {
    let here = find(bench)?;
    // Failures and log lines are the business of tests.
    let lines = Lines::keep();
    let load = load::measure(&here.component)?;
    let stage = Stage::new(&here.component)?;
    let suites = cases::load(&here, &stage)?;
    let all = suites.iter().flat_map(|suite| &suite.cases);
    let asks = |played: &&Played| {
        let named = bench.name.as_ref().is_none_or(|name| played.case.name.contains(name.as_str()));
        let first = played.case.steps.first();
        named && played.case.refused.is_none() && first.is_some_and(|step| !step.tick)
    };
    let Some(played) = all.clone().find(asks) else {
        let what = "no case to measure: none of that name begins with a request";
        return Err(StartError::Machine(what.to_owned()));
    };
    let crossed = crossed::count(&here.component, played)?;
    let line = RefCell::new(Line::stderr());
    let told = |text: &str| {
        let mut line = line.borrow_mut();
        if line.is_terminal {
            line.say(text);
        }
    };
    let rounds = rounds::measure(&stage, played, bench.rounds, &lines, &told)?;
    drop(line);
    let warnings = warnings(&here.component, &rounds);
    let case = (played.case.place.file.to_path_buf(), played.case.name.clone());
    Ok(Measured {
        component: here.component,
        manifest: stage.manifest,
        case,
        load,
        crossed,
        rounds,
        warnings,
    })
}

fn find(bench: &Bench) -> Result<Here, StartError> {
    super::must_be_there(&bench.policy)?;
    let is_folder = bench.policy.is_dir();
    let component = (!is_folder).then_some(bench.policy.as_path());
    match (&bench.cases, component) {
        (Some(cases), Some(component)) => Here::find(std::slice::from_ref(cases), Some(component)),
        (Some(cases), None) => {
            let component = super::build(&bench.policy)?;
            Here::find(std::slice::from_ref(cases), Some(&component))
        }
        // Cargo puts what it builds below the folder of the policy.
        (None, Some(component)) => Here::find(&[cases::policy_of(component)], Some(component)),
        (None, None) => Here::find(std::slice::from_ref(&bench.policy), None),
    }
}

/// What may be wrong with the figures.
fn warnings(component: &Path, rounds: &rounds::Rounds) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if cfg!(debug_assertions) || env!("LIMEN_OPT_LEVEL") == "0" {
        warnings.push(Warning::SlowGateway);
    }
    let bytes = std::fs::read(component).unwrap_or_default();
    if memchr::memmem::find(&bytes, b".debug_info").is_some() {
        warnings.push(Warning::SlowPolicy);
    }
    if rounds.busy() > 1.1 {
        warnings.push(Warning::Busy(rounds.busy()));
    }
    if rounds.adds.iter().chain(&rounds.crowd.adds).any(|adds| adds.is_spread()) {
        warnings.push(Warning::Spread);
    }
    if let Some((status, count)) = rounds.other_status {
        warnings.push(Warning::OtherStatus { usual: rounds.status, status, count });
    }
    if rounds.failures != [0, 0] {
        warnings.push(Warning::Failures(rounds.failures));
    }
    warnings
}
