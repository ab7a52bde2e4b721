//! `limen policy test`: plays the cases of a policy against its component, and says what came of it.
//!
//! ```text
//! here      which files, and which component
//! author::stage   a gateway in this process, for each case anew
//! judge     what was expected and what came
//! report    what people and machines read
//! ```

mod here;
mod judge;
mod matching;
mod report;

use std::path::PathBuf;
use std::time::Instant;

use limen_config::Errors;
use limen_config::suite::{Played, Suite, UnderTest};
use limen_policy::{FailureKind, Phase};

use super::stage::{Lines, OUTCOMES, Stage};
use crate::StartError;
pub use here::{Here, policy_of};
use judge::Miss;
pub use report::Tested;
use report::{Judged, Verdict};

/// Which cases of which component.
pub struct Tests {
    /// Files of cases, or folders of policies.
    pub paths: Vec<PathBuf>,
    /// In place of the one that the folder builds.
    pub component: Option<PathBuf>,
    /// Only those whose names contain this.
    pub filter: Option<String>,
}

/// Plays them. Cases that fail are no error.
pub fn test(tests: &Tests) -> Result<Tested, StartError> {
    let here = Here::find(&tests.paths, tests.component.as_deref())?;
    let lines = Lines::keep();
    let stage = Stage::new(&here.component)?;
    let suites = load(&here, &stage)?;
    let began = Instant::now();
    let mut judged = Vec::new();
    let mut left_out = 0;
    for suite in &suites {
        for played in &suite.cases {
            if tests.filter.as_ref().is_some_and(|filter| !played.case.name.contains(filter.as_str())) {
                left_out += 1;
                continue;
            }
            let began = Instant::now();
            lines.take();
            let (misses, log) = play(&stage, played, &lines)?;
            let verdict = if misses.is_empty() { Verdict::Passed } else { Verdict::Failed { misses, log } };
            judged.push(Judged {
                file: suite.file.clone(),
                line: played.case.place.line,
                name: played.case.name.clone(),
                took: began.elapsed(),
                verdict,
            });
        }
    }
    Ok(Tested {
        component: here.component,
        manifest: stage.manifest,
        judged,
        left_out,
        took: began.elapsed(),
    })
}

/// All cases of all files, or all mistakes in them.
pub(super) fn load(here: &Here, stage: &Stage) -> Result<Vec<Suite>, StartError> {
    let phases: Vec<_> = Phase::ALL.iter().map(|phase| phase.name()).collect();
    let failures: Vec<_> = FailureKind::ALL.iter().map(|kind| kind.name()).collect();
    let name = match stage.manifest.name.as_str() {
        "" => "policy",
        name => name,
    };
    let component = std::path::absolute(&here.component).unwrap_or_else(|_| here.component.clone());
    let under_test =
        UnderTest { name, component: &component, phases: &phases, outcomes: OUTCOMES, failures: &failures };
    let (mut suites, mut errors) = (Vec::new(), Errors::default());
    for file in &here.files {
        match Suite::load(file, &under_test) {
            Ok(suite) => suites.push(suite),
            Err(wrong) => errors.extend(wrong),
        }
    }
    if errors.is_empty() { Ok(suites) } else { Err(StartError::Config(errors)) }
}

/// One case: what was missed in the first step that missed something, and what the log said then.
fn play(stage: &Stage, played: &Played, lines: &Lines) -> Result<(Vec<Miss>, Vec<String>), StartError> {
    let case = &played.case;
    let scene = match (stage.set(played), &case.refused) {
        (Ok(scene), None) => scene,
        (Ok(_), Some(refused)) => return Ok((vec![Miss::not_refused(refused)], lines.take())),
        (Err(errors), Some(refused)) => return Ok((judge::refusal(refused, &errors), lines.take())),
        (Err(errors), None) => return Ok((vec![Miss::refused(&case.place, &errors)], lines.take())),
    };
    scene.play(async |playing| {
        playing.fill(case).await;
        for step in &case.steps {
            for time in 1..=step.repeat {
                lines.take();
                let outcome = playing.step(step).await;
                let log = lines.take();
                let mut misses = judge::step(step, &outcome, &log);
                if !misses.is_empty() {
                    if step.repeat > 1 {
                        misses.iter_mut().for_each(|miss| miss.time = Some((time, step.repeat)));
                    }
                    return (misses, log);
                }
            }
        }
        (Vec::new(), Vec::new())
    })
}
