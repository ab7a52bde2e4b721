//! `cache`: answers again with what the upstream has answered before, as far as that may be used again
//! (a shared cache, RFC 9111).
//!
//! ```toml
//! policies = [{ use = "cache", with = { size = "512MiB", query = { ignore = ["utm_*"] } } }]
//! ```
//!
//! Upstreams say what may be kept and for how long: by `Cache-Control`, `Expires`, `Vary`, `ETag` and
//! `Last-Modified`, and to this cache alone by `CDN-Cache-Control` (RFC 9213) or `Surrogate-Control`,
//! which clients don't see. What says nothing of it is fresh for
//! a tenth of the time since it was last changed, a day at most, and without that date it is not kept, but to be
//! validated each time where it has an `ETag`; `ttl` says otherwise. Neither is assumed where the request has cookies. What is stale is validated with the upstream;
//! while one request asks, others for the same wait and share the answer. Answers from the cache have an `Age`, all
//! say in `Cache-Status` (RFC 9211) what became of them. Conditions and single ranges of clients are answered from
//! whole responses, `HEAD` from those to `GET`; of what is not kept they go to the upstream as they are, and what comes
//! of them is not kept either.
//!
//! Only `GET` without a body is kept, and never, unless `store` says so: what is `private`, answers to requests with
//! `Authorization` or a consumer (unless they say `public`, `s-maxage` or `must-revalidate`, RFC 9111, section 3.5),
//! and what sets cookies. Requests with other methods that change something make the cache forget their URL.
//!
//! A response is found by its URL (scheme, host, path and query, as policies before this one have left them), its route
//! and `Vary`. An upstream that answers by any other header has to say so in `Vary`, or the header has to be in
//! `key`: else one client's answer is another's. Policies before the cache see every request, those behind it only
//! what goes to the upstream; who checks or counts clients stands before it.
//!
//! With `disk` there is a second tier, for more than memory holds and over restarts. A thread writes to it, and what would
//! make it fall behind is not written; a file that is damaged or cut off is as good as none, and goes. Of
//! several gateways each needs a folder of its own; one that takes over waits until it gets that of the one before.
//! What was kept under another `key`, `query`, `store`, `ttl`, `stale_while_revalidate` or `stale_if_error` is not found
//! any more, and goes when there is no room for it, or when it is purged. What is purged is gone from the disk as well
//! when the answer to that is there; what requests made it forget goes a moment later, and comes back if the process is
//! killed before that.
//!
//! A body that is too long for memory goes to the disk alone, while it goes to its client, and is answered from there as a
//! stream: memory has a few pieces of it and its head. Its client never waits for the disk: if that is slower than the
//! body comes, it is not kept. Neither is a body of which less than 1 MiB comes in 30 seconds, nor one whose client goes
//! when more than 4 MiB of it are left. Nobody waits for such a body: whoever asks for the same before it is there is
//! sent to the upstream, and of these answers one is written at a time, and 64 of all. Each 64 KiB have a checksum: where they turn out to
//! be damaged the answer breaks off, so that its client sees that it is not whole, and the response goes. One that goes
//! while it is answered with is sent to its end. What a 304 says of such a response is in memory alone, and asked
//! again after a restart.
//!
//! `limen cache purge` forgets responses by URL, by the beginning of URLs, or by the tags that a response has in
//! `Cache-Tag` or `Surrogate-Key`, which clients don't see.

// A request: `ask` decides what becomes of it, with `key` and `vary` (what tells responses apart), `directives` and
// `conditional` (what is asked for), `flight` (who asks for others as well) and `answer` with `range` (what it gets).
// A response: `fetched` decides, with `storing` (may it be kept, and for how long); `fill` collects it, `entry` is what is
// kept, `store` where, `epoch` whether it was invalidated meanwhile.
// The second tier: `disk` is its door, `writer` its thread, with `waiting` and `first`; `frozen` and `thawing` are the way there
// and back; `large` is what is too long for memory, `pause` when the disk is let alone. `shelf` and `counts`: for operators.
mod answer;
mod ask;
mod conditional;
mod counts;
mod directives;
mod disk;
mod entry;
mod epoch;
mod fetched;
mod fill;
mod first;
mod flight;
mod frozen;
mod head;
mod key;
mod large;
mod pause;
mod range;
mod shelf;
mod store;
mod storing;
mod thawing;
mod vary;
mod waiting;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderName;
use limen_store::private_folder;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use self::ask::Role;
use self::disk::Disk;
use self::key::{Keys, Part, Query};
use self::shelf::Stored;
use self::storing::Terms;
use super::settings::{SettingsError, Size, Span, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Phase, Phases, Policy, Seat};

pub use counts::Reading;
pub use shelf::{Purge, Shelf};

/// What is for this cache alone, and goes no further (Edge Architecture, section 2); the tags as well.
const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");
const SMALLEST_DISK: u64 = 1 << 20;
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// `cache`: how much, what, and for how long.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `size`: what it may take of memory, for heads and bodies; as much again for bodies that are on
    /// their way into it. When it is full, what is asked for seldom goes.
    /// Default `"64MiB"`.
    #[serde(default = "size")]
    size: Size,
    /// `disk`: what is kept in memory is kept on the disk as well, where there is more room, and after a restart it is
    /// there: `{ folder = "cache", size = "10GiB" }`. Default: nothing is.
    #[serde(default)]
    disk: Option<DiskSettings>,
    /// `max_object`: bodies longer than this are not kept in memory: on the disk, if there is one, or not at all.
    /// Default `"4MiB"`.
    #[serde(default = "max_object")]
    max_object: Size,
    /// `max_variants`: the most different responses of one URL, by `Vary`, `key` and route. Default 32.
    #[serde(default = "max_variants")]
    max_variants: usize,
    /// `ttl`: how long a response is fresh that says nothing of it. Default: as above.
    #[serde(default)]
    ttl: Option<Span>,
    /// `stale_while_revalidate`: how long a stale response is used while a newer one is asked for beside, where it
    /// does not say itself (RFC 5861). Default: not at all.
    #[serde(default)]
    stale_while_revalidate: Option<Span>,
    /// `stale_if_error`: how long it is used when the upstream does not answer, or with 500, 502, 503 or 504, where it does
    /// not say itself. Default: not at all.
    #[serde(default)]
    stale_if_error: Option<Span>,
    /// `store`: what is kept as well: `"authorized"`, answers to requests with `Authorization` or a consumer: only where
    /// they are the same for all, or `key` tells them apart; `"private"`; and `"cookies"`, what has `Set-Cookie`, which
    /// all get then. Default: none of these.
    #[serde(default)]
    store: Vec<Also>,
    /// `key`: what tells answers apart beside `Vary`: `"consumer"`, `{ header = "x-tenant" }`, `{ cookie = "lang" }`,
    /// `{ expression = "claims.tenant" }` (CEL, as in `authorize`). A request for which an expression can't be computed
    /// goes past the cache: it gets no answer from it, and its own is not kept. Default: nothing.
    #[serde(default)]
    key: Vec<Part>,
    /// `query`: which query parameters count: `{ ignore = ["utm_*"] }` or `{ only = ["id", "page"] }`, and `sort = true`
    /// if their order does not. Default: all of it.
    #[serde(default)]
    query: Query,
    /// `obey_clients`: whether what clients say in `Cache-Control` counts; a client can get past the cache then.
    /// Default `true`.
    #[serde(default = "yes")]
    obey_clients: bool,
    /// `wait`: how long a request waits for another one that asks the upstream for the same, before it asks
    /// itself. Default `"5s"`.
    #[serde(default = "wait")]
    wait: Span,
}

/// `disk`: the second tier.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiskSettings {
    /// `folder` (required): where, relative to the file that names it. It is made if it is not there, and nobody else
    /// may look into it. Each policy has a folder of its own in it, by its name: remove that of one that is gone.
    folder: String,
    /// `size` (required): what it may take of the disk, 1MiB at least. When it is full, what was not used for longest
    /// goes.
    size: Size,
    /// `max_object`: bodies longer than this are not kept on the disk. Those that are too long for memory are there
    /// alone. Default: an eighth of `size`.
    #[serde(default)]
    max_object: Option<Size>,
}

impl DiskSettings {
    fn longest(&self) -> u64 {
        self.max_object.as_ref().map_or(self.size.0 / 8, |longest| longest.0)
    }
}

/// What is kept only where the operator says so.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Also {
    Authorized,
    Private,
    Cookies,
}

fn size() -> Size {
    Size(64 << 20)
}

fn max_object() -> Size {
    Size(4 << 20)
}

fn max_variants() -> usize {
    32
}

fn yes() -> bool {
    true
}

fn wait() -> Span {
    Span(Duration::from_secs(5))
}

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let of_keys = ["key", "query"].map(|name| settings.get(name).map(Value::to_string));
    let settings: Settings = read(settings)?;
    if settings.max_object.0 > settings.size.0 {
        return Err(SettingsError::new("/max_object", "longer than all that the cache may take (`size`)"));
    }
    if settings.max_variants == 0 {
        return Err(SettingsError::new("/max_variants", "nothing could be kept"));
    }
    let also = |also| settings.store.contains(&also);
    let span = |span: Option<Span>| span.map(|span| span.0).unwrap_or_default();
    let terms = Terms {
        ttl: settings.ttl.map(|ttl| ttl.0),
        while_revalidate: span(settings.stale_while_revalidate),
        if_error: span(settings.stale_if_error),
        authorized: also(Also::Authorized),
        private: also(Also::Private),
        cookies: also(Also::Cookies),
    };
    // What was kept by other terms, or by keys that were made otherwise, is not found: not on the disk either.
    let seed = xxh3_64(format!("{of_keys:?} {terms:?}").as_bytes());
    let shelf = materials.kept(Shelf::default);
    let disk = match &settings.disk {
        Some(disk) => self::disk(disk, settings.max_variants, &shelf, materials)?,
        None => None,
    };
    let keys = Keys { query: settings.query, parts: settings.key };
    Ok(Box::new(HttpCache {
        stored: shelf.store(settings.size.0, settings.max_variants, keys, seed, disk),
        _shelf: shelf,
        terms,
        in_memory: usize::try_from(settings.max_object.0).unwrap_or(usize::MAX),
        on_disk: settings.disk.as_ref().map_or(0, DiskSettings::longest),
        obey_clients: settings.obey_clients,
        wait: settings.wait.0,
    }))
}

/// The second tier; none where a configuration is only tried.
fn disk(
    settings: &DiskSettings,
    variants: usize,
    shelf: &Shelf,
    materials: &Materials<'_>,
) -> Result<Option<Arc<Disk>>, SettingsError> {
    if settings.size.0 < SMALLEST_DISK {
        return Err(SettingsError::new("/disk/size", "expected 1MiB at least"));
    }
    if settings.longest() > settings.size.0 {
        return Err(SettingsError::new(
            "/disk/max_object",
            "longer than all that the disk may take (`size`)",
        ));
    }
    if materials.is_tried() {
        return Ok(None);
    }
    // As it is called, as far as that makes a name of a file.
    let name: String = utf8_percent_encode(materials.name, NON_ALPHANUMERIC).to_string();
    let name = format!("{:.64}-{:016x}", name, xxh3_64(materials.name.as_bytes()));
    let path = materials.folder.join(&settings.folder);
    let own = path.join(name);
    let started =
        private_folder(&path).and_then(|()| shelf.disk(&own, settings.size.0, settings.longest(), variants));
    let told = |error| SettingsError::new("/disk/folder", format!("`{}`: {error}", path.display()));
    started.map(Some).map_err(told)
}

struct HttpCache {
    stored: Arc<Stored>,
    /// By which operators find it.
    _shelf: Arc<Shelf>,
    terms: Terms,
    /// How long bodies may be, in bytes, to be kept in memory, and on the disk: 0 if there is none.
    in_memory: usize,
    on_disk: u64,
    obey_clients: bool,
    wait: Duration,
}

impl Policy for HttpCache {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request).with(Phase::Response)
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a> {
        match phase {
            Phase::Request => self.before(exchange, seat),
            _ => {
                let role = seat.take().and_then(|seat| seat.downcast::<Role>().ok());
                Answer::Ready(Ok(self.after(exchange, role.map(|role| *role))))
            }
        }
    }
}
