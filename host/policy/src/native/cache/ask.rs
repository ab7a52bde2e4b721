//! What becomes of a request: answered from the store, or asked of the upstream, alone or for others as well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::sync::watch;

use super::HttpCache;
use super::answer::{self, CACHE_STATUS, Status, Why};
use super::conditional;
use super::directives::{Directives, Fields};
use super::entry::Entry;
use super::epoch::Epoch;
use super::flight::{self, Landed, Lead, Turn};
use super::large::Opened;
use super::store::{Found, Missing, Resource};
use crate::native::denial::Denial;
use crate::{Answer, Exchange, Onward, Reply, Seat, Verdict};

/// What some upstreams take for the method or the target; none of it is in the key.
const MISLEADING: [HeaderName; 5] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// How long a request waits for the disk, which all go past for a while then.
const FOR_DISK: Duration = Duration::from_secs(5);

/// What the cache has to do with an exchange.
pub enum Role {
    /// It has answered.
    Answered,
    /// Nothing but to say so.
    Bystander(Why),
    /// It may change what is kept of this URL.
    Changes(String),
    /// The upstream is asked for something that may be kept.
    Asks(Box<Asks>),
}

/// A question to the upstream.
pub struct Asks {
    pub url: String,
    pub parts: String,
    /// The request as it came: what it asks for, and which requests the answer is for.
    pub request: Request<()>,
    pub is_authorized: bool,
    /// What is asked to be validated, or can do if the upstream fails.
    pub entry: Option<Arc<Entry>>,
    /// Its body, if that is on the disk.
    pub opened: Option<Opened>,
    pub lead: Option<Lead>,
    pub epoch: Epoch,
    pub began: Instant,
    pub why: Why,
    /// It has waited for somebody else's answer in vain.
    pub collapsed: bool,
    /// Its client has been answered already.
    pub is_aside: bool,
}

/// What is asked for.
struct Wanted {
    url: String,
    parts: String,
    said: Directives,
    is_authorized: bool,
    /// It has waited.
    collapsed: bool,
    /// The disk was asked, and what it had.
    asked_disk: bool,
    thawed: Option<Arc<Resource>>,
    /// A body that is on the disk; or it could not be opened, or not in time: then it is as if it were not there.
    opened: Option<Opened>,
    is_past_disk: bool,
}

/// What is to be done about it.
enum Next {
    Answer(Reply),
    Refuse,
    Go(Role),
    Wait(watch::Receiver<Landed>),
    /// To look at what the disk has of it.
    Thaw,
    /// To open the body of this one, which is there.
    Open(Arc<Entry>),
}

/// How what is kept can be used.
enum Use {
    Fresh(i64),
    /// The client does not mind, or the upstream has just failed.
    Stale(i64),
    /// A newer one is asked for beside.
    WhileRevalidate(i64),
    Validated(Why),
}

impl HttpCache {
    pub(super) fn before<'a>(&'a self, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a> {
        let method = exchange.request.method();
        if !matches!(*method, Method::GET | Method::HEAD) {
            let role = match method.is_safe() {
                true => Role::Bystander(Why::Method),
                false => Role::Changes(self.stored.keys.url(exchange)),
            };
            *seat = Some(Box::new(role));
            return Answer::Ready(Ok(Verdict::Next));
        }
        let Some(parts) = self.stored.keys.parts(exchange) else {
            self.stored.counts.passed();
            *seat = Some(Box::new(Role::Bystander(Why::Bypass)));
            return Answer::Ready(Ok(Verdict::Next));
        };
        let headers = exchange.request.headers();
        let said = if self.obey_clients { said(headers) } else { Directives::default() };
        if said.no_store || is_special(headers) {
            self.stored.counts.passed();
            *seat = Some(Box::new(Role::Bystander(if said.no_store { Why::Request } else { Why::Bypass })));
            return Answer::Ready(Ok(Verdict::Next));
        }
        let wanted = Wanted {
            url: self.stored.keys.url(exchange),
            parts,
            said,
            // Whom a policy has found out by other means than `Authorization` is no less authorised.
            is_authorized: headers.contains_key(header::AUTHORIZATION) || exchange.consumer.is_some(),
            collapsed: false,
            asked_disk: false,
            thawed: None,
            opened: None,
            is_past_disk: false,
        };
        match self.look(exchange, &wanted, false) {
            next @ (Next::Wait(_) | Next::Thaw | Next::Open(_)) => {
                Answer::Wait(Box::pin(self.wait(exchange, seat, wanted, next)))
            }
            next => Answer::Ready(Ok(settle(next, exchange, seat))),
        }
    }

    /// Waits for who asks the same, or for the disk, though not for long.
    async fn wait(
        &self,
        exchange: &mut Exchange,
        seat: &mut Seat,
        mut wanted: Wanted,
        mut next: Next,
    ) -> Result<Verdict, crate::Failure> {
        let end = tokio::time::Instant::now() + self.wait;
        let mut is_alone = false;
        loop {
            match next {
                Next::Wait(flight) => {
                    wanted.collapsed = true;
                    let landed = tokio::time::timeout_at(end, flight::landed(flight)).await;
                    is_alone = landed != Ok(Landed::Look);
                }
                Next::Thaw => {
                    wanted.asked_disk = true;
                    let thawed = tokio::time::timeout(FOR_DISK, self.stored.store.thaw(&wanted.url)).await;
                    if thawed.is_err() {
                        self.stored.store.go_past_disk();
                    }
                    wanted.thawed = thawed.ok().flatten();
                }
                Next::Open(entry) => {
                    let open = self.stored.store.open(&wanted.url, &entry);
                    let opened = tokio::time::timeout(FOR_DISK, open).await;
                    if opened.is_err() {
                        self.stored.store.go_past_disk();
                    }
                    wanted.opened = opened.ok().flatten();
                    wanted.is_past_disk = wanted.opened.is_none();
                }
                next => return Ok(settle(next, exchange, seat)),
            }
            next = self.look(exchange, &wanted, is_alone);
        }
    }

    /// `is_alone`: it waits for nobody (any more).
    fn look(&self, exchange: &mut Exchange, wanted: &Wanted, is_alone: bool) -> Next {
        let Wanted { url, parts, said, .. } = wanted;
        let (now, request, counts) = (Instant::now(), &exchange.request, &self.stored.counts);
        let store = &self.stored.store;
        let (mut found, known) = store.find(url, parts, request.headers(), now);
        if !matches!(found, Found::Entry(_)) {
            match &wanted.thawed {
                // There may be no room for it in memory.
                Some(thawed) => match (&found, thawed.find(parts, request.headers(), now)) {
                    (Found::Pass, Found::Nothing(_)) => {}
                    (_, thawed) => found = thawed,
                },
                None if !wanted.asked_disk && store.is_on_disk(url, known.as_deref()) => return Next::Thaw,
                None => {}
            }
        }
        if let Found::Entry(entry) = &found
            && let Some(place) = entry.body.place().filter(|_| request.method() == Method::GET)
            && wanted.opened.as_ref().is_none_or(|opened| opened.place != place)
        {
            match wanted.is_past_disk {
                false => return Next::Open(entry.clone()),
                true => found = Found::Nothing(Missing::Url),
            }
        }
        let opened = wanted.opened.as_ref();
        let same = || store.same(url, parts, request.headers(), known.as_deref());
        let (why, entry) = match found {
            Found::Entry(entry) => match self.usable(&entry, said, now) {
                Use::Fresh(ttl) => {
                    if wanted.is_from_disk() {
                        counts.thawed();
                    }
                    if wanted.collapsed {
                        counts.collapsed();
                    } else {
                        counts.hit();
                    }
                    return Next::Answer(answer::from(&entry, opened, request, wanted.hit(ttl), now));
                }
                Use::Stale(ttl) => {
                    counts.stale();
                    return Next::Answer(answer::from(&entry, opened, request, wanted.hit(ttl), now));
                }
                Use::WhileRevalidate(ttl) => {
                    counts.stale();
                    let mut reply = answer::from(&entry, opened, request, wanted.hit(ttl), now);
                    if store.may_be_replaced(url, &entry)
                        && let Turn::Lead(lead) = store.flights.join(same())
                    {
                        reply.onward = Some(Box::new(self.aside(exchange, wanted, entry, lead)));
                    }
                    return Next::Answer(reply);
                }
                Use::Validated(why) => (why, Some(entry)),
            },
            Found::Pass => (Why::Bypass, None),
            Found::Nothing(Missing::Url) => (Why::UriMiss, None),
            Found::Nothing(Missing::Variant) => (Why::VaryMiss, None),
        };
        if said.only_if_cached {
            return Next::Refuse;
        }
        let (is_head, is_range) =
            (request.method() == Method::HEAD, request.headers().contains_key(header::RANGE));
        // A range of what is not kept may be of something large: that it is asked for as a whole nobody wants.
        // What is most likely not kept goes on as it came; if it may be kept after all, it is.
        let is_passed = why == Why::Bypass;
        let is_own = is_passed && conditional::has_own(request.headers());
        if entry.is_none() && (is_head || is_range || is_own) {
            counts.passed();
            return Next::Go(Role::Bystander(why));
        }
        // What can't be shared needn't be waited for.
        let is_shared = !is_alone
            && !is_head
            && !is_passed
            && (!wanted.is_authorized || self.terms.authorized)
            && entry.as_ref().is_none_or(|entry| !entry.lifetime.validate && !entry.lifetime.fresh.is_zero());
        let lead = match is_shared.then(|| store.flights.join(same())) {
            Some(Turn::Wait(flight)) => return Next::Wait(flight),
            Some(Turn::Lead(lead)) => Some(lead),
            None => None,
        };
        if is_passed {
            counts.passed();
        } else {
            counts.missed();
        }
        let asks = Asks { why, lead, ..self.asks(exchange, wanted, entry) };
        prepare(exchange.request.headers_mut(), asks.entry.as_deref());
        Next::Go(Role::Asks(Box::new(asks)))
    }

    fn usable(&self, entry: &Entry, said: &Directives, now: Instant) -> Use {
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        let freshness = entry.freshness(now);
        let stale = |over: Duration| -seconds(over).max(1);
        if entry.is_rescued(now) {
            return Use::Stale(freshness.map_or_else(stale, seconds));
        }
        if said.no_cache != Fields::None {
            return Use::Validated(Why::Request);
        }
        if entry.lifetime.validate {
            return Use::Validated(Why::Stale);
        }
        let is_immutable = entry.lifetime.immutable && freshness.is_ok();
        if said.max_age.is_some_and(|limit| entry.age(now) > limit) && !is_immutable {
            return Use::Validated(Why::Request);
        }
        match freshness {
            Ok(left) if said.min_fresh.is_some_and(|wanted| left < wanted) => Use::Validated(Why::Request),
            Ok(left) => Use::Fresh(seconds(left)),
            Err(over) if !entry.lifetime.never_stale && said.max_stale.is_some_and(|limit| over <= limit) => {
                Use::Stale(stale(over))
            }
            Err(over) if over < entry.lifetime.while_revalidate && said.min_fresh.is_none() => {
                Use::WhileRevalidate(stale(over))
            }
            Err(_) => Use::Validated(Why::Stale),
        }
    }

    fn asks(&self, exchange: &Exchange, wanted: &Wanted, entry: Option<Arc<Entry>>) -> Asks {
        Asks {
            url: wanted.url.clone(),
            parts: wanted.parts.clone(),
            request: copy(&exchange.request),
            is_authorized: wanted.is_authorized,
            epoch: self.stored.store.epoch(&wanted.url),
            opened: wanted.opened.clone().filter(|_| entry.is_some()),
            entry,
            lead: None,
            began: Instant::now(),
            why: Why::Stale,
            collapsed: wanted.collapsed,
            is_aside: false,
        }
    }

    /// A copy of the exchange asks for a newer one, while its client has its answer.
    fn aside(&self, exchange: &Exchange, wanted: &Wanted, entry: Arc<Entry>, lead: Lead) -> Onward {
        let mut asks = Asks { lead: Some(lead), is_aside: true, ..self.asks(exchange, wanted, Some(entry)) };
        *asks.request.method_mut() = Method::GET;
        let mut request = copy(&asks.request);
        prepare(request.headers_mut(), asks.entry.as_deref());
        Onward { request, seat: Box::new(Role::Asks(Box::new(asks))) }
    }
}

impl Wanted {
    fn is_from_disk(&self) -> bool {
        self.thawed.is_some() || self.opened.is_some()
    }

    fn hit(&self, ttl: i64) -> Status {
        match self.collapsed {
            false => Status::Hit { ttl, from_disk: self.is_from_disk() },
            true => Status::Forwarded { why: Why::UriMiss, status: None, stored: false, collapsed: true },
        }
    }
}

fn settle(next: Next, exchange: &mut Exchange, seat: &mut Seat) -> Verdict {
    let (role, verdict) = match next {
        Next::Answer(reply) => {
            exchange.reply = Some(reply);
            (Role::Answered, Verdict::Reply)
        }
        Next::Refuse => {
            let (status, why) =
                (StatusCode::GATEWAY_TIMEOUT, "its client wants what is in the cache, and it is not");
            let mut denial = Denial::new(status, "only_if_cached", "The cache has no answer to this.", why);
            if let Ok(told) = HeaderValue::try_from(Status::NotAsked.to_string()) {
                denial = denial.header(CACHE_STATUS, told);
            }
            let _ = denial.answer(exchange);
            (Role::Answered, Verdict::Reply)
        }
        Next::Go(role) => (role, Verdict::Next),
        // Whoever waits does not settle yet.
        Next::Wait(_) | Next::Thaw | Next::Open(_) => (Role::Bystander(Why::Bypass), Verdict::Next),
    };
    *seat = Some(Box::new(role));
    verdict
}

/// What the client wants of caches; one of before HTTP/1.1 says it in `Pragma` (section 5.4).
fn said(headers: &HeaderMap) -> Directives {
    if let Some(pragma) = headers.get(header::PRAGMA)
        && !headers.contains_key(header::CACHE_CONTROL)
        && pragma.as_bytes().eq_ignore_ascii_case(b"no-cache")
    {
        return Directives { no_cache: Fields::All, ..Directives::default() };
    }
    Directives::read(headers.get_all(header::CACHE_CONTROL))
}

/// Whether a request is none for a cache: with a body that the key knows nothing of, with conditions that only
/// an origin can judge (section 4), on its way into another protocol, or misleading.
fn is_special(headers: &HeaderMap) -> bool {
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| *length != "0");
    has_body
        || [header::IF_MATCH, header::IF_UNMODIFIED_SINCE, header::UPGRADE]
            .iter()
            .any(|name| headers.contains_key(name))
        || MISLEADING.iter().any(|name| headers.contains_key(name))
}

/// Makes a request one whose answer can be kept, or says that what is kept is still good.
fn prepare(headers: &mut HeaderMap, entry: Option<&Entry>) {
    conditional::take_away(headers);
    if let Some(entry) = entry {
        conditional::validate(headers, entry);
    }
}

fn copy(request: &Request<()>) -> Request<()> {
    let mut copy = Request::new(());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}
