//! What came of the cases, for people and for machines.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use limen_wasm::Manifest;
use serde_json::{Value, json};
use similar::TextDiff;

use super::judge::Miss;

/// More lines of the log than this hide what they are there to explain.
const LOG: usize = 8;

/// All cases that were played.
pub struct Tested {
    pub component: PathBuf,
    pub manifest: Manifest,
    pub judged: Vec<Judged>,
    /// By the filter.
    pub left_out: usize,
    pub took: Duration,
}

pub struct Judged {
    pub file: PathBuf,
    pub line: u32,
    pub name: String,
    pub took: Duration,
    pub verdict: Verdict,
}

pub enum Verdict {
    Passed,
    Failed {
        misses: Vec<Miss>,
        /// What was logged in that step.
        log: Vec<String>,
    },
}

impl Tested {
    /// Whether all of them passed, and there were any.
    pub fn is_good(&self) -> bool {
        self.failed() == 0 && !self.judged.is_empty()
    }

    fn failed(&self) -> usize {
        self.judged.iter().filter(|judged| matches!(judged.verdict, Verdict::Failed { .. })).count()
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let cases: Vec<_> = self.judged.iter().map(Judged::json).collect();
        json!({
            "component": self.component,
            "name": self.manifest.name,
            "version": self.manifest.version,
            "sha256": self.manifest.sha256,
            "passed": self.judged.len() - self.failed(),
            "failed": self.failed(),
            "leftOut": self.left_out,
            "seconds": self.took.as_secs_f64(),
            "cases": cases,
        })
    }
}

impl Judged {
    fn json(&self) -> Value {
        let (misses, log) = match &self.verdict {
            Verdict::Passed => (Vec::new(), &[][..]),
            Verdict::Failed { misses, log } => (misses.iter().map(Miss::json).collect(), &log[..]),
        };
        json!({
            "file": self.file,
            "line": self.line,
            "name": self.name,
            "passed": matches!(self.verdict, Verdict::Passed),
            "seconds": self.took.as_secs_f64(),
            "misses": misses,
            "log": log,
        })
    }
}

impl Miss {
    fn json(&self) -> Value {
        let Miss { place, expected, found, time } = self;
        json!({
            "file": *place.file,
            "line": place.line,
            "column": place.column,
            "key": place.key,
            "expected": expected,
            "found": found,
            "time": time.map(|(time, _)| time),
        })
    }
}

/// For people.
impl fmt::Display for Tested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Manifest { name, version, .. } = &self.manifest;
        writeln!(f, "{name} {version}  {}", self.component.display())?;
        let mut file = None;
        for judged in &self.judged {
            if file != Some(&judged.file) {
                writeln!(f, "\n{}", judged.file.display())?;
                file = Some(&judged.file);
            }
            write!(f, "{judged}")?;
        }
        let (all, failed) = (self.judged.len(), self.failed());
        write!(f, "\n{}: {} passed, {failed} failed", crate::count(all, "case"), all - failed)?;
        if self.left_out > 0 {
            write!(f, ", {} left out", self.left_out)?;
        }
        write!(f, " ({:.1} s)", self.took.as_secs_f64())
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict::Failed { misses, log } = &self.verdict else {
            return writeln!(f, "  ok      {} ({:.0} ms)", self.name, self.took.as_secs_f64() * 1e3);
        };
        writeln!(f, "  FAILED  {}", self.name)?;
        for miss in misses {
            write!(f, "{miss}")?;
        }
        if !log.is_empty() {
            writeln!(f, "          the log")?;
            for line in log.iter().take(LOG) {
                writeln!(f, "            {line}")?;
            }
            if let Some(more @ 1..) = log.len().checked_sub(LOG) {
                writeln!(f, "            ... and {more} more lines (--json has them)")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Miss { place, expected, found, time } = self;
        write!(f, "          {place}: {}", place.key)?;
        match time {
            Some((time, times)) => writeln!(f, " (time {time} of {times})")?,
            None => writeln!(f)?,
        }
        if expected.lines().count() > 1 {
            let diff = TextDiff::from_lines(expected.as_str(), found.as_str());
            writeln!(f, "            - expected, + found")?;
            let hunks = diff.unified_diff().context_radius(2).missing_newline_hint(false).to_string();
            for line in hunks.lines().filter(|line| !line.starts_with("@@")) {
                writeln!(f, "            {line}")?;
            }
            return Ok(());
        }
        writeln!(f, "            expected  {expected}")?;
        let mut heading = "found";
        for line in found.lines() {
            writeln!(f, "            {heading:<8}  {line}")?;
            heading = "";
        }
        Ok(())
    }
}
