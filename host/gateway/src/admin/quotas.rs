//! `/quotas`: what is used of them, and that a key begins anew.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use limen_policy::QuotaUsage;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::moment;
use crate::snapshot::Snapshot;

/// Keys of one quota that are told; the rest can be asked for.
const MOST: usize = 1_000;

/// Which one, and whose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    quota: Option<String>,
    key: Option<String>,
}

/// Nothing of it is used any more. Answers whose it was, and how much of it.
pub async fn reset(snapshot: &Snapshot, asked: Asked) -> Result<Value, (StatusCode, &'static str)> {
    let Asked { quota: Some(name), key: Some(key) } = asked else {
        return Err((StatusCode::BAD_REQUEST, "expected ?quota= and ?key="));
    };
    let mut quotas = snapshot.routes.iter().flat_map(|route| route.pipeline.quotas());
    let Some(quota) = quotas.find(|quota| quota.name() == name) else {
        return Err((StatusCode::NOT_FOUND, "there is no such quota: GET /quotas tells which there are"));
    };
    match quota.reset(&key).await {
        Some(used) => Ok(json!({ "quota": name, "key": key, "used": used })),
        None => Err((StatusCode::SERVICE_UNAVAILABLE, "the store that it is counted in does not answer")),
    }
}

/// What is used; `null` of a key that is counted in a store which does not answer.
pub async fn show(snapshot: &Snapshot, asked: &Asked) -> Value {
    let quotas = snapshot.routes.iter().flat_map(|route| route.pipeline.quotas());
    // One that is attached to several routes is one.
    let quotas: BTreeMap<&str, &dyn QuotaUsage> = quotas.map(|quota| (quota.name(), quota)).collect();
    let mut shown = Vec::new();
    for (name, quota) in quotas {
        if asked.quota.as_deref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let used: Value = match &asked.key {
            Some(key) => json!({ key: quota.used_by(key).await }),
            None => quota.used(MOST).iter().map(|(key, used)| (key.to_string(), json!(used))).collect(),
        };
        let at = |second| moment(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
        let (from, to) = quota.window();
        shown.push(json!({ "name": name, "from": at(from), "to": at(to), "used": used }));
    }
    Value::Array(shown)
}
