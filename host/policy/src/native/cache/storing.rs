//! Which responses are kept (RFC 9111, section 3), and for how long they are fresh (section 4.2).

use std::time::{Duration, SystemTime};

use http::header::{self, HeaderMap, HeaderName};
use http::{Response, StatusCode};

use super::directives::{Directives, Fields};
use super::{SURROGATE_CONTROL, head};

/// What of the time since it was changed a response is taken to be fresh, where it does not say, and the most.
const HEURISTIC: u32 = 10;
const HEURISTIC_MOST: Duration = Duration::from_secs(24 * 3600);
/// More headers than this are not told apart by.
const MAX_VARY: usize = 16;
/// What is said to caches like this one alone, the first that says something: RFC 9213, and what was there before.
const TARGETED: [HeaderName; 2] = [HeaderName::from_static("cdn-cache-control"), SURROGATE_CONTROL];

/// What the operator says of it.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    pub ttl: Option<Duration>,
    pub while_revalidate: Duration,
    pub if_error: Duration,
    pub authorized: bool,
    pub private: bool,
    pub cookies: bool,
}

/// How long a response may be used, counted from its age zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    pub fresh: Duration,
    /// How long after that it may be used while a newer one is asked for, and while none can be had.
    pub while_revalidate: Duration,
    pub if_error: Duration,
    /// It is to be validated each time.
    pub validate: bool,
    /// It is not used once it is stale, even if its client does not mind.
    pub never_stale: bool,
    /// While it is fresh nobody needs to ask again (RFC 8246).
    pub immutable: bool,
    /// It does not say for how long.
    pub is_guessed: bool,
}

impl Lifetime {
    /// Whether a response of the same age may be used wherever it may with this other one.
    pub fn covers(&self, other: &Lifetime) -> bool {
        let is_as_long = self.fresh >= other.fresh
            && self.while_revalidate >= other.while_revalidate
            && self.if_error >= other.if_error;
        is_as_long
            && self.validate <= other.validate
            && self.never_stale <= other.never_stale
            && self.immutable >= other.immutable
    }
}

/// Why a response is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It, or one like it, never will be.
    Response(&'static str),
    /// Because of the request: another one's may be.
    Request(&'static str),
}

/// What a response says of being kept.
pub struct Said {
    directives: Directives,
    /// It has a date; that says nothing where something is said to caches like this one alone.
    has_expiry: bool,
}

impl Said {
    pub fn of(headers: &HeaderMap) -> Self {
        let mut targeted = TARGETED.into_iter().map(|name| Directives::read(headers.get_all(name)));
        let targeted = targeted.find(|said| *said != Directives::default());
        let has_expiry = targeted.is_none() && headers.contains_key(header::EXPIRES);
        let usual = || Directives::read(headers.get_all(header::CACHE_CONTROL));
        let directives = targeted.unwrap_or_else(usual);
        Said { directives, has_expiry }
    }

    /// Whether the response may be kept, and for how long it can be used then.
    pub fn judge(
        &self,
        is_authorized: bool,
        head: &Response<()>,
        terms: &Terms,
        received: SystemTime,
    ) -> Result<Lifetime, Refused> {
        let said = &self.directives;
        let understood = is_cacheable_by_default(head.status()) || is_redirect(head.status());
        if matches!(head.status(), StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED)
            || head.status().is_informational()
            || said.must_understand && !understood
        {
            return Err(Refused::Response("status"));
        }
        if said.no_store && !said.must_understand {
            return Err(Refused::Response("no-store"));
        }
        if said.private == Fields::All && !terms.private {
            return Err(Refused::Response("private"));
        }
        let dropped = |name: &HeaderName| self.dropped().any(|one| one == name);
        let sets_cookies = head.headers().contains_key(header::SET_COOKIE) && !dropped(&header::SET_COOKIE);
        if sets_cookies && !terms.cookies {
            return Err(Refused::Response("set-cookie"));
        }
        let vary = head::names(head.headers(), &header::VARY);
        if vary.enumerate().any(|(place, name)| name == "*" || place >= MAX_VARY) {
            return Err(Refused::Response("vary"));
        }
        // Section 3.5.
        let is_for_all = said.public || said.must_revalidate || said.s_maxage.is_some();
        if is_authorized && !is_for_all && !terms.authorized {
            return Err(Refused::Request("authorization"));
        }
        let fresh = self.fresh(head, terms, received).ok_or(Refused::Response("no-freshness"))?;
        Ok(self.lifetime(fresh, terms))
    }

    fn lifetime(&self, fresh: Duration, terms: &Terms) -> Lifetime {
        let said = &self.directives;
        let validate = said.no_cache == Fields::All;
        let never_stale =
            validate || said.must_revalidate || said.proxy_revalidate || said.s_maxage.is_some();
        let after = |told: Option<Duration>, usual: Duration| match (told, never_stale) {
            (_, true) if told.is_none() || validate || said.must_revalidate => Duration::ZERO,
            (told, _) => told.unwrap_or(usual),
        };
        Lifetime {
            fresh,
            while_revalidate: after(said.stale_while_revalidate, terms.while_revalidate),
            if_error: after(said.stale_if_error, terms.if_error),
            validate,
            never_stale,
            immutable: said.immutable,
            is_guessed: !self.tells_freshness(),
        }
    }

    /// Section 4.2.1; none if it says nothing and nothing can be assumed.
    fn fresh(&self, head: &Response<()>, terms: &Terms, received: SystemTime) -> Option<Duration> {
        let (said, headers) = (&self.directives, head.headers());
        let date = head::date(headers, &header::DATE).unwrap_or(received);
        if let Some(told) = said.s_maxage.or(said.max_age) {
            return Some(told);
        }
        if self.has_expiry {
            let expires = head::date(headers, &header::EXPIRES);
            return Some(expires.and_then(|at| at.duration_since(date).ok()).unwrap_or_default());
        }
        if !said.public && !is_cacheable_by_default(head.status()) {
            return None;
        }
        let guessed = terms.ttl.or_else(|| {
            let changed = head::date(headers, &header::LAST_MODIFIED)?;
            Some((date.duration_since(changed).ok()? / HEURISTIC).min(HEURISTIC_MOST))
        });
        // Whoever has a validator can be asked whether it is still good.
        let has_validator = headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED);
        guessed.or_else(|| has_validator.then_some(Duration::ZERO))
    }

    fn tells_freshness(&self) -> bool {
        self.directives.max_age.is_some() || self.directives.s_maxage.is_some() || self.has_expiry
    }

    /// What is not kept of its head, because it says so (sections 5.2.2.4 and 5.2.2.7).
    pub fn dropped(&self) -> impl Iterator<Item = &HeaderName> {
        self.directives.no_cache.names().iter().chain(self.directives.private.names())
    }
}

/// RFC 9110, section 15.1.
fn is_cacheable_by_default(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// These are understood as well, though kept only if they say how long.
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 302 | 303 | 307)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const OK: u16 = 200;

    fn judge(
        is_authorized: bool,
        status: u16,
        headers: &[(&'static str, &'static str)],
        terms: &Terms,
    ) -> Result<Lifetime, Refused> {
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            head.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        Said::of(head.headers()).judge(is_authorized, &head, terms, SystemTime::now())
    }

    fn fresh(status: u16, headers: &[(&'static str, &'static str)]) -> Option<u64> {
        let judged = judge(false, status, headers, &Terms::default());
        judged.ok().map(|lifetime| lifetime.fresh.as_secs())
    }

    const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");

    /// Section 4.2.1, in its order.
    #[test]
    fn the_first_that_says_how_long_counts() {
        let expires = ("expires", "Sun, 06 Nov 1994 08:50:37 GMT");
        assert_eq!(fresh(OK, &[("cache-control", "max-age=5, s-maxage=7"), expires, DATE]), Some(7));
        assert_eq!(fresh(OK, &[("cache-control", "max-age=5"), expires, DATE]), Some(5));
        assert_eq!(fresh(OK, &[expires, DATE]), Some(60));
        assert_eq!(fresh(OK, &[("expires", "0"), DATE]), Some(0));
        let changed = ("last-modified", "Sun, 06 Nov 1994 08:47:57 GMT");
        assert_eq!(fresh(OK, &[changed, DATE]), Some(10));
        assert_eq!(fresh(OK, &[("last-modified", "Sun, 06 Nov 1904 08:47:57 GMT"), DATE]), Some(0));
        assert_eq!(fresh(OK, &[("etag", "\"a\"")]), Some(0));
        assert_eq!(fresh(OK, &[]), None);
        // Section 4.2.2: only of these statuses, or where `public` says so.
        assert_eq!(fresh(201, &[changed, DATE]), None);
        assert_eq!(fresh(201, &[changed, DATE, ("cache-control", "public")]), Some(10));
        assert_eq!(fresh(503, &[("cache-control", "max-age=3")]), Some(3));
        // RFC 9213.
        assert_eq!(
            fresh(OK, &[("cdn-cache-control", "max-age=9"), ("cache-control", "no-store"), expires]),
            Some(9)
        );
        assert_eq!(fresh(OK, &[("cdn-cache-control", "no-store"), ("cache-control", "max-age=9")]), None);
    }

    #[test]
    fn what_is_private_or_authorised_is_not_kept_unless_told() {
        let keep = |is_authorized, control: &'static str, terms: &Terms| {
            judge(is_authorized, OK, &[("cache-control", control), ("etag", "\"a\"")], terms).map(|_| ())
        };
        let (usual, told) = (Terms::default(), Terms { authorized: true, private: true, ..Terms::default() });
        assert_eq!(keep(true, "max-age=5", &usual), Err(Refused::Request("authorization")));
        assert_eq!(keep(true, "max-age=5", &told), Ok(()));
        for control in ["public, max-age=5", "s-maxage=5", "max-age=5, must-revalidate"] {
            assert_eq!(keep(true, control, &usual), Ok(()), "section 3.5: {control}");
        }
        assert_eq!(keep(false, "private, max-age=5", &usual), Err(Refused::Response("private")));
        assert_eq!(keep(false, "private, max-age=5", &told), Ok(()));
        assert_eq!(keep(false, "private=\"x-user\", max-age=5", &usual), Ok(()));
        assert_eq!(keep(false, "no-store, max-age=5", &told), Err(Refused::Response("no-store")));
        let cookie = ("set-cookie", "a=1");
        let control = ("cache-control", "max-age=5");
        assert_eq!(judge(false, OK, &[control, cookie], &usual), Err(Refused::Response("set-cookie")));
        let without = ("cache-control", "max-age=5, no-cache=\"set-cookie\"");
        assert!(judge(false, OK, &[without, cookie], &usual).is_ok());
        assert_eq!(judge(false, OK, &[control, ("vary", "a, *")], &told), Err(Refused::Response("vary")));
    }

    /// Section 5.2.2.3.
    #[test]
    fn must_understand_is_about_the_status() {
        let control = [("cache-control", "max-age=5, no-store, must-understand")];
        assert!(judge(false, OK, &control, &Terms::default()).is_ok());
        assert_eq!(judge(false, 599, &control, &Terms::default()), Err(Refused::Response("status")));
        assert!(judge(false, 206, &[("cache-control", "max-age=5")], &Terms::default()).is_err());
    }

    /// RFC 5861, and sections 5.2.2.2, 5.2.2.8 and 5.2.2.10.
    #[test]
    fn stale_ones_are_used_only_where_they_may_be() {
        let span = Duration::from_secs;
        let terms = Terms { while_revalidate: span(1), if_error: span(2), ..Terms::default() };
        let after = |control: &'static str| {
            let lifetime = judge(false, OK, &[("cache-control", control)], &terms).unwrap();
            (lifetime.while_revalidate.as_secs(), lifetime.if_error.as_secs(), lifetime.never_stale)
        };
        assert_eq!(after("max-age=5"), (1, 2, false));
        assert_eq!(after("max-age=5, stale-while-revalidate=7, stale-if-error=8"), (7, 8, false));
        assert_eq!(after("max-age=5, must-revalidate, stale-if-error=8"), (0, 0, true));
        assert_eq!(after("s-maxage=5"), (0, 0, true));
        assert_eq!(after("s-maxage=5, stale-while-revalidate=7"), (7, 0, true));
        assert_eq!(after("max-age=5, no-cache"), (0, 0, true));
    }
}
