//! `/upstreams`: endpoints and how they are, and what protects them.

use serde_json::{Value, json};

use crate::upstream::status::Status;
use crate::upstream::{Condition, Shared};

pub fn show(upstream: &Shared) -> Value {
    let (counted, standing) = upstream.resilience();
    let endpoints = upstream.status();
    json!({
        "name": upstream.terms.name,
        "healthy": upstream.healthy(),
        "endpoints": endpoints.iter().map(endpoint).collect::<Value>(),
        "resolutions": upstream.resolutions(),
        "failed_resolutions": upstream.failed_resolutions(),
        "breaker": standing.breaker.map(|phase| format!("{phase:?}").to_lowercase()),
        "breaker_openings": standing.openings,
        "in_flight": standing.in_flight,
        "waiting": standing.waiting,
        "retries": counted.retries,
        "retries_refused": counted.retries_refused,
        "hedges": counted.hedges,
        "hedges_won": counted.hedges_won,
        "timeouts": counted.timeouts,
        "queued": counted.queued,
        "overloaded": counted.overloaded,
        "turned_away": counted.turned_away,
        "fallbacks": counted.fallbacks,
    })
}

fn endpoint(status: &Status) -> Value {
    let Status { endpoint, condition, weight, priority, is_used } = status;
    let (condition, because) = match condition {
        Condition::Healthy => ("healthy", None),
        Condition::Unchecked => ("unchecked", None),
        Condition::Unhealthy(why) => ("unhealthy", Some(why.clone())),
        Condition::Ejected(left) => ("ejected", Some(format!("for another {left:.1?}"))),
    };
    json!({
        "address": endpoint.address.to_string(),
        "condition": condition,
        "because": because,
        "used": is_used,
        "weight": weight,
        "priority": priority,
        "in_flight": endpoint.in_flight(),
        "ejections": endpoint.ejections(),
        "checks_passed": endpoint.checks_passed(),
        "checks_failed": endpoint.checks_failed(),
        "last_check": endpoint.last_check().map(|check| check.err().unwrap_or_else(|| "passed".to_owned())),
    })
}
