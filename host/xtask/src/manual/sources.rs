//! Where the reference takes what it tells: which files and functions belong to which capability.

use std::fs;

use super::rust::{self, Item};
use crate::process::root;

/// What belongs together.
pub(super) struct Capability {
    pub(super) title: &'static str,
    /// In `wit/`.
    pub(super) interfaces: &'static [&'static str],
    /// In `sdk/src/`.
    pub(super) sources: &'static [&'static str],
    /// Functions of `limen::testing` that are there for it.
    pub(super) mock: &'static [&'static str],
}

pub(super) static CAPABILITIES: [Capability; 23] = [
    Capability {
        title: "The plugin itself",
        interfaces: &["plugin"],
        sources: &["error.rs", "flow.rs"],
        mock: &["policy", "describe"],
    },
    Capability {
        title: "Request",
        interfaces: &["request", "request-edit", "request-body", "request-body-edit"],
        sources: &["request.rs", "body.rs"],
        mock: &[],
    },
    Capability {
        title: "Response",
        interfaces: &["response", "response-edit", "response-body", "response-body-edit"],
        sources: &["response.rs"],
        mock: &[],
    },
    Capability { title: "Chunks", interfaces: &["chunks"], sources: &["chunk.rs"], mock: &["chunks"] },
    Capability {
        title: "Trailers",
        interfaces: &["trailers", "trailers-edit"],
        sources: &["trailers.rs"],
        mock: &["trailer"],
    },
    Capability { title: "Attempt", interfaces: &["attempt"], sources: &["attempt.rs"], mock: &[] },
    Capability { title: "Reply", interfaces: &["reply"], sources: &["reply.rs"], mock: &["reply"] },
    Capability {
        title: "Client",
        interfaces: &["client"],
        sources: &["client.rs"],
        mock: &["client_ip", "tls"],
    },
    Capability {
        title: "Client certificate",
        interfaces: &["client-certificate"],
        sources: &["client_certificate.rs"],
        mock: &["client_certificate"],
    },
    Capability { title: "Route", interfaces: &["route"], sources: &["route.rs"], mock: &["route"] },
    Capability { title: "Config", interfaces: &["config"], sources: &["config.rs"], mock: &[] },
    Capability { title: "Bag", interfaces: &["bag"], sources: &["bag.rs"], mock: &["bag", "bag_value"] },
    Capability { title: "Log", interfaces: &["log"], sources: &["log.rs"], mock: &["log", "log_level"] },
    Capability {
        title: "Consumer",
        interfaces: &["consumer", "consumer-edit"],
        sources: &["consumer.rs"],
        mock: &["named", "consumer"],
    },
    Capability {
        title: "Counters",
        interfaces: &["counters"],
        sources: &["counters.rs"],
        mock: &["counter"],
    },
    Capability {
        title: "Cache",
        interfaces: &["cache"],
        sources: &["cache.rs"],
        mock: &["cached", "cache_size"],
    },
    Capability {
        title: "Stores",
        interfaces: &["kv"],
        sources: &["kv.rs"],
        mock: &["store", "no_store", "stored"],
    },
    Capability { title: "Calls", interfaces: &["fetch"], sources: &["fetch.rs"], mock: &["calls"] },
    Capability {
        title: "Secrets",
        interfaces: &["secrets", "secrets-reveal"],
        sources: &["secrets.rs"],
        mock: &["secret", "previous_secret", "revealed_secret"],
    },
    Capability { title: "Tokens", interfaces: &["jwt"], sources: &["jwt.rs"], mock: &["token"] },
    Capability { title: "Crypto", interfaces: &["crypto"], sources: &["crypto.rs"], mock: &[] },
    Capability { title: "Metrics", interfaces: &["metrics"], sources: &["metrics.rs"], mock: &["metric"] },
    Capability {
        title: "Time and chance",
        interfaces: &["timing"],
        sources: &["timing.rs", "clock.rs", "random.rs"],
        mock: &["advance", "upstream_took", "connect_took", "random_seed"],
    },
];

/// The hooks in the order of an exchange: the interface of each, and the method as an author writes it.
pub(super) fn phases() -> Result<Vec<(String, Item)>, String> {
    let policy = read("sdk/src/policy.rs")?;
    let methods = policy.lines().filter_map(|line| line.trim().strip_suffix(" {")?.strip_prefix("fn on_"));
    Ok(methods
        .map(|method| {
            let name = format!("on_{}", method.split('(').next().unwrap_or_default());
            let interface = name.replacen("on_", "hook-", 1).replace('_', "-");
            let signature = PARAMETERS
                .iter()
                .fold(format!("fn on_{method}"), |text, (of, parameter)| text.replace(of, parameter));
            (interface, Item { name, signature, docs: String::new() })
        })
        .collect())
}

/// What the nameless parameters of the trait are called.
const PARAMETERS: [(&str, &str); 9] = [
    ("_: &mut RequestBody", "body: &mut RequestBody"),
    ("_: &mut ResponseBody", "body: &mut ResponseBody"),
    ("_: &mut Request", "request: &mut Request"),
    ("_: &mut Response", "response: &mut Response"),
    ("_: &mut Trailers", "trailers: &mut Trailers"),
    ("_: &Request", "request: &Request"),
    ("_: &Response", "response: &Response"),
    ("_: &Chunk", "chunk: &Chunk"),
    ("_: &Attempt", "attempt: &Attempt"),
];

/// The module that a file of the SDK is; its root, where it has no name there.
pub(super) fn module(file: &str) -> Result<String, String> {
    let name = file.trim_end_matches(".rs");
    let is_public = read("sdk/src/lib.rs")?.contains(&format!("\npub mod {name};"));
    Ok(if is_public { format!("limen::{name}") } else { "limen".to_owned() })
}

/// Each grant as it is written, and the interfaces that need it.
pub(super) fn grants() -> Result<Vec<(String, Vec<String>)>, String> {
    let text = read("host/wasm/src/capability/grants.rs")?;
    let grants = text.split("Grant {").filter_map(|grant| {
        let written = grant.split_once("written: \"")?.1.split_once("\",")?.0.replace("\\\"", "\"");
        let interfaces = grant.split_once("interfaces: &[")?.1.split_once(']')?.0;
        Some((written, interfaces.split('"').skip(1).step_by(2).map(str::to_owned).collect()))
    });
    Ok(grants.collect())
}

/// The ways in which a policy fails, by the names that the log has for them.
pub(super) fn failures() -> Result<Vec<Item>, String> {
    let text = read("host/policy/src/policy.rs")?;
    let mut kinds = rust::variants(&text, "FailureKind");
    for kind in &mut kinds {
        let arm = format!("FailureKind::{} => \"", kind.name);
        let name = text.split_once(&arm).and_then(|(_, rest)| rest.split_once('"'));
        kind.name = name.ok_or_else(|| format!("FailureKind::{} has no name", kind.name))?.0.to_owned();
    }
    Ok(kinds)
}

/// What `limen::testing` offers.
pub(super) fn mock() -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for file in ["mod.rs", "exchange.rs", "message.rs", "outcome.rs", "consumer.rs"] {
        items.extend(rust::read(&format!("testing/{file}"))?.items);
    }
    Ok(items)
}

pub(super) fn read(file: &str) -> Result<String, String> {
    fs::read_to_string(root().join(file)).map_err(|error| format!("could not read {file}: {error}"))
}
