//! `/status`: all that matters at a glance.

use limen_config::LeftOut;
use serde_json::{Value, json};

use super::{Admin, answer, plugins, reload, upstreams};
use crate::edition::Edition;
use crate::snapshot::Snapshot;

/// While the gateway starts there is little to show.
pub fn show(admin: &Admin) -> Value {
    let (status, stage) = admin.stage();
    let edition = admin.edition();
    let snapshot = edition.as_ref().map(|edition| &*edition.snapshot);
    let reloads = &admin.reloads;
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "process": std::process::id(),
        "stage": stage,
        "ready": status.is_success(),
        "uptime_seconds": admin.started.elapsed().as_secs(),
        "file": edition.as_ref().map(|edition| edition.config.file.display().to_string()),
        // 1 is what it was started with.
        "generation": reloads.applied() + 1,
        "reloads": {
            "applied": reloads.applied(),
            "refused": reloads.refused(),
            "last": reloads.last().map(|last| reload::outcome(&last)),
        },
        "routes": snapshot.map_or(0, |snapshot| snapshot.routes.len()),
        "listeners": edition.as_ref().map(listeners).unwrap_or_default(),
        "upstreams": snapshot.map(upstreams).unwrap_or_default(),
        "plugins": snapshot.map(plugins).unwrap_or_default(),
        "left_out": snapshot.map(left_out).unwrap_or_default(),
        "at": answer::moment(std::time::SystemTime::now()),
    })
}

fn listeners(edition: &Edition) -> Value {
    let all = edition.snapshot.listeners.iter().enumerate().map(|(number, listener)| {
        let terms = &listener.terms;
        // None once the gateway drains.
        let address = edition.sockets.get(number).map(|sockets| sockets.address.to_string());
        json!({
            "name": &*terms.name,
            "address": address,
            "tls": terms.tls.is_some(),
            "open_connections": terms.shared.counters.open(),
            "connections": terms.shared.counters.accepted(),
        })
    });
    all.collect()
}

pub fn upstreams(snapshot: &Snapshot) -> Value {
    snapshot.upstreams.iter().map(|upstream| upstreams::show(upstream)).collect()
}

pub fn plugins(snapshot: &Snapshot) -> Value {
    snapshot.plugins.iter().map(|(name, plugin)| plugins::show(name, plugin)).collect()
}

/// What is of no use in the folder of plugins.
fn left_out(snapshot: &Snapshot) -> Value {
    let show = |it: &LeftOut| json!({ "file": it.file.display().to_string(), "because": it.because });
    snapshot.left_out.iter().map(show).collect()
}
