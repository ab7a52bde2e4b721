//! What was measured, for people and for machines.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use limen_wasm::{Manifest, Reset};
use serde_json::{Map, Value, json};

use super::crossed::Crossed;
use super::crowd::Crowd;
use super::load::Load;
use super::numbers::Numbers;
use super::rounds::{Hook, Rounds};

/// All figures of a component.
pub struct Measured {
    pub component: PathBuf,
    pub manifest: Manifest,
    /// The file and the name of the case.
    pub case: (PathBuf, String),
    pub load: Load,
    pub crossed: Crossed,
    pub rounds: Rounds,
    pub warnings: Vec<Warning>,
}

/// What may be wrong with the figures.
#[derive(Clone, Copy, Debug)]
pub enum Warning {
    SlowGateway,
    SlowPolicy,
    /// It took so many times as long as the work was.
    Busy(f64),
    Spread,
    OtherStatus {
        usual: StatusCode,
        status: StatusCode,
        count: usize,
    },
    /// In fresh and in reused isolates.
    Failures([u64; 2]),
}

impl Measured {
    /// For machines.
    pub fn json(&self) -> Value {
        let Measured { component, manifest, case, load, crossed, rounds, warnings } = self;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let hooks = rounds.hooks.iter().map(|Hook { name, per_request, took: [fresh, reused] }| {
            let (fresh, reused) = (fresh.json(), reused.json());
            let hook =
                json!({ "perRequest": per_request, "freshNanoseconds": fresh, "reusedNanoseconds": reused });
            ((*name).to_owned(), hook)
        });
        let hooks = Value::Object(hooks.collect::<Map<_, _>>());
        let [fresh, reused] = rounds.adds.map(|adds| adds.json());
        let Crowd { visitors, without, adds, requests } = &rounds.crowd;
        let [crowd_fresh, crowd_reused] = adds.map(|adds| adds.json());
        json!({
            "component": component,
            "name": manifest.name,
            "version": manifest.version,
            "sha256": manifest.sha256,
            "case": { "file": case.0, "name": case.1, "status": rounds.status.as_u16() },
            "requests": rounds.requests,
            "load": {
                "compileMicroseconds": micros(load.compile),
                "configureMicroseconds": micros(rounds.configure),
                "componentBytes": manifest.size,
                "codeBytes": load.code,
            },
            "request": {
                "withoutMicroseconds": rounds.without.json(),
                "freshAddsMicroseconds": fresh,
                "reusedAddsMicroseconds": reused,
            },
            "underLoad": {
                "requestsAtATime": visitors,
                "requests": requests,
                "withoutMicroseconds": without.json(),
                "freshAddsMicroseconds": crowd_fresh,
                "reusedAddsMicroseconds": crowd_reused,
            },
            "hooks": hooks,
            "isolate": {
                "memoryBytes": rounds.memory,
                "rewound": matches!(rounds.reset, Some(Reset::Rewound)),
                "noImage": rounds.no_image,
            },
            "hostCalls": rounds.host_calls,
            "bytesCrossed": { "toPolicy": crossed.to_policy, "fromPolicy": crossed.from_policy },
            "clockByCpu": rounds.busy(),
            "warnings": warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

/// For people.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured { component, manifest, case, load, crossed, rounds, warnings } = self;
        writeln!(f, "{} {}  {}", manifest.name, manifest.version, component.display())?;
        let (file, name) = case;
        writeln!(
            f,
            "measured with the request of \"{name}\" in {}, answered {}",
            file.display(),
            rounds.status
        )?;
        for warning in warnings {
            writeln!(f, "warning: {warning}")?;
        }
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let kib = |bytes: usize| bytes as f64 / 1024.0;
        writeln!(f, "\nload (computing time of all cores, once)")?;
        writeln!(
            f,
            "  compile         {:>9.1} ms   {:.0} KiB of component, {:.0} KiB of code",
            millis(load.compile),
            kib(manifest.size),
            kib(load.code)
        )?;
        writeln!(f, "  configure       {:>9.1} ms", millis(rounds.configure))?;

        writeln!(
            f,
            "\na request through the gateway, client and upstream included (computing time, median and middle half)"
        )?;
        writeln!(f, "one after the other, as in a gateway with little to do:")?;
        ways(f, &rounds.without, &rounds.adds)?;
        let Crowd { visitors, without, adds, .. } = &rounds.crowd;
        writeln!(f, "{visitors} at a time, as in a gateway under load:")?;
        ways(f, without, adds)?;

        writeln!(f, "\nits hooks, a call (on the clock; the first one gets the isolate)")?;
        writeln!(f, "  {:<17} {:>9}  {:<26}  reused, ns", "", "a request", "fresh, ns")?;
        for Hook { name, per_request, took } in &rounds.hooks {
            let [fresh, reused] = took
                .each_ref()
                .map(|Numbers { median, low, high, .. }| format!("{median:.0} ({low:.0} - {high:.0})"));
            writeln!(f, "  {name:<17} {per_request:>9.1}  {fresh:<26}  {reused}")?;
        }

        writeln!(f, "\nisolate")?;
        writeln!(f, "  memory          {:>9.0} KiB at most", rounds.memory as f64 / 1024.0)?;
        writeln!(f, "  host calls      {:>9.1} a request", rounds.host_calls)?;
        let Crossed { to_policy, from_policy } = crossed;
        writeln!(f, "  bytes crossed   {to_policy:>9.1} to the policy a request, {from_policy:.1} from it")?;
        match &rounds.reset {
            Some(Reset::MadeAnew { because }) => writeln!(f, "  fresh           made anew: {because}")?,
            _ => writeln!(f, "  fresh           the one before is rewound")?,
        }
        if let Some(because) = &rounds.no_image {
            writeln!(f, "  configure       runs in each new isolate: {because}")?;
        }
        write!(
            f,
            "\n{} and {} requests each way, in rounds that take turns",
            rounds.requests, rounds.crowd.requests
        )
    }
}

fn ways(f: &mut fmt::Formatter<'_>, without: &Numbers, [fresh, reused]: &[Numbers; 2]) -> fmt::Result {
    micros(f, "without it", &format!("{:.1}", without.median), without)?;
    micros(f, "fresh isolate", &format!("{:+.1}", fresh.median), fresh)?;
    micros(f, "reused isolate", &format!("{:+.1}", reused.median), reused)
}

fn micros(f: &mut fmt::Formatter<'_>, what: &str, median: &str, numbers: &Numbers) -> fmt::Result {
    writeln!(f, "  {what:<15} {median:>9} us  ({:.1} - {:.1})", numbers.low, numbers.high)
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::SlowGateway => write!(f, "this `limen` was built without optimisation"),
            Warning::SlowPolicy => {
                write!(f, "the component has debugging information: was it built with `--release`?")
            }
            Warning::Busy(times) => {
                write!(f, "the machine is busy: it took {times:.1} times as long as the work was")
            }
            Warning::Spread => write!(f, "the figures are far apart: measure again, with more --rounds"),
            Warning::OtherStatus { usual, status, count } => {
                write!(f, "{count} requests were not answered {usual}, but {status} for instance")
            }
            Warning::Failures([0, reused]) => {
                write!(f, "the policy failed {reused} times, in reused isolates only: what does it remember?")
            }
            Warning::Failures([fresh, reused]) => {
                write!(f, "the policy failed {fresh} times in fresh isolates, {reused} times in reused ones")
            }
        }
    }
}
