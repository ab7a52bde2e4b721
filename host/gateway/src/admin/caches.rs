//! `/caches`: what is kept of upstreams' answers, and how it is forgotten.

use http::StatusCode;
use limen_policy::native::{CacheReading, Purge};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::snapshot::Snapshot;

/// What is to be forgotten: exactly one of all these, of one cache or of all.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asked {
    cache: Option<String>,
    url: Option<String>,
    prefix: Option<String>,
    tag: Option<String>,
    all: Option<bool>,
}

pub fn show(snapshot: &Snapshot) -> Value {
    let caches = snapshot.caches();
    caches.iter().map(|(name, shelf)| cache(name, shelf.read())).collect()
}

fn cache(name: &str, reading: CacheReading) -> Value {
    let CacheReading {
        hits,
        misses,
        stale,
        validated,
        passed,
        collapsed,
        stored,
        evicted,
        from_disk,
        skipped,
        disk_bytes,
        disk_size,
        disk_is_open,
        damaged,
        urls,
        bytes,
        size,
    } = reading;
    json!({
        "name": name,
        "urls": urls,
        "bytes": bytes,
        "size": size,
        "hits": hits,
        "misses": misses,
        "stale": stale,
        "validated": validated,
        "passed": passed,
        "collapsed": collapsed,
        "stored": stored,
        "evicted": evicted,
        "from_disk": from_disk,
        "disk": (disk_size > 0).then(|| json!({
            "bytes": disk_bytes,
            "size": disk_size,
            "open": disk_is_open,
            "skipped": skipped,
            "damaged": damaged,
        })),
    })
}

/// Forgets it, at once and for all workers. Answers what whoever asked is told, and the audit log.
pub fn purge(snapshot: &Snapshot, asked: Asked) -> Result<(Value, Value), (StatusCode, &'static str)> {
    let Asked { cache, url, prefix, tag, all } = asked;
    let wanted = [
        url.map(Purge::Url),
        prefix.map(Purge::Prefix),
        tag.map(Purge::Tag),
        all.filter(|all| *all).map(|_| Purge::All),
    ];
    let mut wanted = wanted.into_iter().flatten();
    let (Some(purge), None) = (wanted.next(), wanted.next()) else {
        return Err((StatusCode::BAD_REQUEST, "say one of `url`, `prefix`, `tag` and `all=true`"));
    };
    let caches = snapshot.caches();
    let named: Vec<_> =
        caches.iter().filter(|(name, _)| cache.as_ref().is_none_or(|it| it == name)).collect();
    if named.is_empty() {
        return Err((StatusCode::NOT_FOUND, "there is no such cache: GET /caches tells which there are"));
    }
    let purged: Vec<_> = named.iter().map(|(name, shelf)| (name, shelf.purge(&purge))).collect();
    tracing::info!(?purge, cache, "purged");
    let count = purged.iter().map(|(_, count)| count).sum::<usize>();
    let (what, of) = match &purge {
        Purge::Url(url) => ("url", json!(url)),
        Purge::Prefix(prefix) => ("prefix", json!(prefix)),
        Purge::Tag(tag) => ("tag", json!(tag)),
        Purge::All => ("all", json!(true)),
    };
    let names: Vec<_> = purged.iter().map(|(name, _)| name).collect();
    let details = json!({ what: of, "caches": names, "purged": count });
    let told = json!({
        "purged": count,
        "caches": purged.iter().map(|(name, count)| json!({ "name": name, "purged": count })).collect::<Value>(),
    });
    Ok((told, details))
}
