//! Policies that are part of the gateway, used as users do: by name, on a line of TOML.

mod cors;
mod ip;
mod jwt;
mod security_headers;

use limen_tests::{Gateway, Origin};

use crate::common::{config, route};

/// A gateway with the access log and a route with these policies.
async fn gateway(origin: &Origin, policies: &str) -> Gateway {
    let rest = format!("[log]\naccess = true\n{}", route("/**", policies));
    Gateway::start(config(origin, &rest)).await
}

/// What `limen check` says of these policies, which are not right.
async fn mistake(policies: &str) -> String {
    let origin = Origin::start();
    let checked = Gateway::with(config(&origin, &route("/**", policies))).check().await;
    assert_eq!(checked.status.code(), Some(1), "{}", checked.stdout);
    checked.stderr
}
