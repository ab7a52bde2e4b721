//! What the upstream has answered: kept, validated, replaced by what is kept, or passed on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header;
use http::{Method, Response, StatusCode, Uri};

use super::answer::{self, Status, Why};
use super::ask::{Asks, Role};
use super::entry::{Entry, Times};
use super::fill::Fill;
use super::large::Coming;
use super::storing::{Refused, Said};
use super::vary::Selection;
use super::{CACHE_TAG, HttpCache, SURROGATE_CONTROL, SURROGATE_KEY, conditional};
use crate::{Exchange, Reply, Side, Verdict};

/// How long an upstream that has failed is not asked for what is there.
const RESPITE: Duration = Duration::from_secs(1);

impl HttpCache {
    pub(super) fn after(&self, exchange: &mut Exchange, role: Option<Role>) -> Verdict {
        match role {
            None | Some(Role::Answered) => Verdict::Next,
            Some(Role::Bystander(why)) => pass_on(exchange, forwarded(why)),
            Some(Role::Changes(url)) => {
                self.changed(exchange, &url);
                pass_on(exchange, forwarded(Why::Method))
            }
            Some(Role::Asks(asks)) => self.fetched(exchange, *asks),
        }
    }

    /// Section 4.4: what a request has changed is not what is kept.
    fn changed(&self, exchange: &Exchange, url: &str) {
        let status = exchange.response.status();
        if exchange.response_is_local || !(status.is_success() || status.is_redirection()) {
            return;
        }
        self.stored.store.invalidate(url);
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            let place = exchange.response.headers().get(name).and_then(|value| value.to_str().ok());
            if let Some(place) = place.and_then(|place| self.same_origin(url, place)) {
                self.stored.store.invalidate(&place);
            }
        }
    }

    /// The URL of a reference, if it is of the same origin as this one.
    fn same_origin(&self, url: &str, reference: &str) -> Option<String> {
        let (scheme, rest) = url.split_once("://")?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let reference = reference.split('#').next().unwrap_or_default();
        let whole = match reference.parse::<Uri>().ok().filter(|uri| uri.authority().is_some()) {
            Some(uri) => uri,
            None if reference.starts_with("//") => format!("{scheme}:{reference}").parse().ok()?,
            None if reference.starts_with('/') => format!("{scheme}://{host}{reference}").parse().ok()?,
            None => {
                let folder = path
                    .split('?')
                    .next()
                    .and_then(|path| path.rsplit_once('/'))
                    .map_or("", |(folder, _)| folder);
                format!("{scheme}://{host}{folder}/{reference}").parse().ok()?
            }
        };
        let there = self.stored.keys.spell(
            whole.scheme_str().unwrap_or(scheme),
            whole.authority()?.as_str(),
            whole.path(),
            whole.query(),
        );
        let origin = format!("{scheme}://{host}/");
        there.starts_with(&origin).then_some(there)
    }

    fn fetched(&self, exchange: &mut Exchange, asks: Asks) -> Verdict {
        let times = Times::now(asks.began);
        let status = exchange.response.status();
        if let Some(entry) = &asks.entry {
            if status == StatusCode::NOT_MODIFIED && !exchange.response_is_local {
                let validation = exchange.response.clone();
                return self.validated(exchange, &asks, entry, &validation, times);
            }
            if matches!(status.as_u16(), 500 | 502 | 503 | 504) && may_rescue(entry, times.received) {
                return self.rescued(exchange, asks, times.received);
            }
            if asks.request.method() == Method::HEAD && status == entry.status {
                self.looked_at(exchange, &asks, entry, times);
            }
        }
        self.keep(exchange, asks, times)
    }

    /// Section 4.3.4.
    fn validated(
        &self,
        exchange: &mut Exchange,
        asks: &Asks,
        entry: &Arc<Entry>,
        validation: &Response<()>,
        times: Times,
    ) -> Verdict {
        let mut headers = validation.headers().clone();
        let cookies: Vec<_> = headers.get_all(header::SET_COOKIE).iter().cloned().collect();
        if !self.terms.cookies {
            headers.remove(header::SET_COOKIE);
        }
        let head = entry.freshened(&headers);
        let said = Said::of(head.headers());
        let judged = said.judge(asks.is_authorized, &head, &self.terms, times.received_at);
        let is_kept = judged.is_ok();
        let now = Arc::new(entry.validated(&head, &said, judged.unwrap_or_default(), times));
        let store = &self.stored.store;
        let stored =
            is_kept && store.put(&asks.url, now.clone(), asks.request.headers(), asks.epoch).is_some();
        if !is_kept {
            store.invalidate(&asks.url);
        }
        self.stored.counts.validated();
        if asks.is_aside {
            return Verdict::Next;
        }
        let status = Some(validation.status());
        let status = Status::Forwarded { why: asks.why, status, stored, collapsed: asks.collapsed };
        let mut reply = answer::from(&now, asks.opened.as_ref(), &asks.request, status, times.received);
        if !self.terms.cookies {
            for cookie in cookies {
                reply.head.headers_mut().append(header::SET_COOKIE, cookie);
            }
        }
        exchange.reply = Some(reply);
        Verdict::Reply
    }

    /// The upstream has failed, and what is kept may do (RFC 5861, section 4).
    fn rescued(&self, exchange: &mut Exchange, mut asks: Asks, now: Instant) -> Verdict {
        let Some(entry) = asks.entry.take() else { return Verdict::Next };
        let status = Status::Rescued { status: exchange.response.status() };
        let again = entry.rescued(now + RESPITE);
        self.stored.store.put(&asks.url, Arc::new(again), asks.request.headers(), asks.epoch);
        if asks.is_aside {
            return Verdict::Next;
        }
        self.stored.counts.stale();
        exchange.reply = Some(answer::from(&entry, asks.opened.as_ref(), &asks.request, status, now));
        Verdict::Reply
    }

    /// What `HEAD` says of what is kept (section 4.3.5).
    fn looked_at(&self, exchange: &Exchange, asks: &Asks, entry: &Entry, times: Times) {
        let says = |name: &header::HeaderName| exchange.response.headers().get(name);
        let differs = |name: &header::HeaderName| match (says(name), entry.headers.get(name)) {
            (Some(told), Some(known)) => told != known,
            (Some(told), None) if *name == header::CONTENT_LENGTH => {
                *told != *entry.body.length().to_string()
            }
            (Some(_), None) => true,
            (None, _) => false,
        };
        if [header::ETAG, header::LAST_MODIFIED, header::CONTENT_LENGTH].iter().any(differs) {
            return self.stored.store.invalidate(&asks.url);
        }
        let mut headers = exchange.response.headers().clone();
        if !self.terms.cookies {
            headers.remove(header::SET_COOKIE);
        }
        let head = entry.freshened(&headers);
        let said = Said::of(head.headers());
        if let Ok(lifetime) = said.judge(asks.is_authorized, &head, &self.terms, times.received_at) {
            let now = Arc::new(entry.validated(&head, &said, lifetime, times));
            self.stored.store.put(&asks.url, now, asks.request.headers(), asks.epoch);
            self.stored.counts.validated();
        }
    }

    /// Keeps a response, if it may be kept, while it goes on to its client.
    fn keep(&self, exchange: &mut Exchange, mut asks: Asks, times: Times) -> Verdict {
        let status = exchange.response.status();
        let filled = match exchange.response_is_local || asks.request.method() == Method::HEAD {
            true => Err(Refused::Request("not the upstream's")),
            false => self.fill(exchange, &mut asks, times),
        };
        let stored = filled.is_ok();
        match filled {
            Ok(fill) => exchange.tap = Some(Box::new(fill)),
            Err(why) => {
                let (store, request) = (&self.stored.store, asks.request.headers());
                if matches!(why, Refused::Response(_)) && !status.is_server_error() {
                    store.outdate_older(&asks.url, &asks.parts, request, times.received);
                    if asks.why != Why::Bypass {
                        let replaced = asks.entry.as_ref().map(|_| request);
                        store.pass(&asks.url, &asks.parts, replaced, times.received);
                    }
                }
                if let Some(lead) = &asks.lead {
                    lead.part();
                }
            }
        }
        let told = Status::Forwarded { why: asks.why, status: None, stored, collapsed: asks.collapsed };
        pass_on(exchange, told);
        let has_it = !exchange.response_is_local
            && conditional::has_it(asks.request.headers(), status, exchange.response.headers());
        if !has_it || asks.is_aside {
            return Verdict::Next;
        }
        // Its own conditions were not asked of the upstream.
        let mut head = exchange.response.clone();
        answer::not_modified(&mut head);
        exchange.reply = Some(Reply { head, reason: Some(answer::REASON), ..Reply::default() });
        Verdict::Reply
    }

    fn fill(&self, exchange: &Exchange, asks: &mut Asks, times: Times) -> Result<Fill, Refused> {
        let head = &exchange.response;
        let said = Said::of(head.headers());
        let lifetime = said.judge(asks.is_authorized, head, &self.terms, times.received_at)?;
        let length = exchange.content_length(Side::Response);
        if length.is_some_and(|length| length > self.on_disk.max(self.in_memory as u64)) {
            return Err(Refused::Response("too long"));
        }
        // What is for the session that it tells is seldom said to be private where nothing is said at all.
        if lifetime.is_guessed
            && !lifetime.fresh.is_zero()
            && asks.request.headers().contains_key(header::COOKIE)
        {
            return Err(Refused::Request("cookie"));
        }
        let selection = Selection::new(&asks.parts, asks.request.headers(), head);
        // Policies behind this one may have changed what the response varies by: then nobody knows whom it is for.
        if !selection.fits(&asks.parts, exchange.request.headers()) {
            return Err(Refused::Response("vary"));
        }
        let entry = Entry::new(selection, head, &said, lifetime, times);
        if !entry.is_useful(times.received) {
            return Err(Refused::Response("of no use"));
        }
        let (stored, url, request) = (self.stored.clone(), asks.url.clone(), asks.request.headers().clone());
        let longest = stored.store.longest(&url, &entry).min(self.in_memory);
        let coming = Coming::new(stored, url, request, asks.epoch, entry);
        Fill::begin(coming, &mut asks.lead, longest, length)
    }
}

/// Whether it can do where the upstream has failed.
fn may_rescue(entry: &Entry, now: Instant) -> bool {
    match entry.freshness(now) {
        Ok(_) => !entry.lifetime.if_error.is_zero(),
        Err(over) => over < entry.lifetime.if_error,
    }
}

fn forwarded(why: Why) -> Status {
    Status::Forwarded { why, status: None, stored: false, collapsed: false }
}

/// The response goes on, without what is for the cache alone.
fn pass_on(exchange: &mut Exchange, status: Status) -> Verdict {
    let headers = exchange.response.headers_mut();
    for name in [CACHE_TAG, SURROGATE_KEY, SURROGATE_CONTROL] {
        headers.remove(name);
    }
    answer::tell(headers, status);
    Verdict::Next
}
