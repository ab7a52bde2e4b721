//! `/plugins`: which version of each is in force, how it stands, and what it has used.

use limen_policy::FailureKind;
use limen_wasm::{Account, Reset, Totals};
use serde_json::{Map, Value, json};

use crate::snapshot::LivePlugin;

pub fn show(name: &str, plugin: &LivePlugin) -> Value {
    let standing = plugin.keeper.as_ref().map(|keeper| keeper.standing()).unwrap_or_default();
    let (fresh, because) = match &plugin.reset {
        None => (None, None),
        Some(Reset::Rewound) => (Some("rewound"), None),
        Some(Reset::MadeAnew { because }) => (Some("made anew"), Some(because)),
    };
    let (routes, ticks): (Vec<_>, Vec<_>) =
        plugin.accounts.iter().partition(|account| account.route().is_some());
    json!({
        "name": name,
        "version": plugin.version.id(),
        "component": plugin.component.to_string(),
        "image": plugin.no_image.is_none(),
        "no_image_because": plugin.no_image,
        "fresh_isolates": fresh,
        "made_anew_because": because,
        "isolates_in_use": standing.in_use,
        "held_back_workers": standing.held_back,
        "log_lines_dropped": standing.log_dropped,
        "routes": routes.iter().map(|account| used(account)).collect::<Value>(),
        "ticks": ticks.first().map(|account| used(account)),
    })
}

/// What it has used on one route, or in its ticks.
fn used(account: &Account) -> Value {
    let Totals { calls, cpu, isolates_made, memory_peak, host_calls, failures } = account.totals();
    let failures = FailureKind::ALL.iter().zip(failures).filter(|(_, count)| *count > 0);
    let failures: Map<_, _> = failures.map(|(kind, count)| (kind.name().to_owned(), count.into())).collect();
    json!({
        "route": account.route(),
        "calls": calls,
        "cpu_us": cpu.as_micros() as u64,
        "isolates_made": isolates_made,
        "memory_peak": memory_peak,
        "host_calls": host_calls,
        "failures": failures,
    })
}
