//! A response as it is kept: its age, whom it is for, and what a validation makes of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::{Response, StatusCode};
use limen_store::folder::Place;

use super::storing::{Lifetime, Said};
use super::vary::Selection;
use super::{CACHE_TAG, SURROGATE_KEY, head};

/// What an entry takes beside its texts.
const OVERHEAD: usize = 512;
/// The most tags of one response, and the longest.
const MAX_TAGS: usize = 128;
const MAX_TAG: usize = 1024;

/// What is not kept of a head (RFC 9111, section 3.1), beside what the gateway takes away anyway; age and tags
/// have places of their own.
const NOT_KEPT: [HeaderName; 5] = [
    header::AGE,
    header::TRAILER,
    HeaderName::from_static("proxy-authentication-info"),
    CACHE_TAG,
    SURROGATE_KEY,
];

/// What a 304 does not change: it goes with the body that is kept (section 3.2).
const OF_THE_BODY: [HeaderName; 7] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::ETAG,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// When a request went to the upstream, and when the head of its response was there.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub asked: Instant,
    pub received: Instant,
    pub received_at: SystemTime,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub selection: Selection,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
    pub lifetime: Lifetime,
    pub tags: Vec<Box<str>>,
    /// It is on the disk as it is, or will be. One whose body stays there: as far as that matters.
    pub frozen: Frozen,
    /// How old it was when it came, or was validated; and when that was.
    initial_age: Duration,
    since: Instant,
    /// The upstream has failed: until then it is not asked again.
    rescued_until: Option<Instant>,
}

/// What follows the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Here(Bytes),
    /// It is too long for memory.
    OnDisk(Place),
}

impl Body {
    pub fn length(&self) -> u64 {
        match self {
            Body::Here(bytes) => bytes.len() as u64,
            Body::OnDisk(place) => place.length(),
        }
    }

    /// Where it is, if it is not here.
    pub fn place(&self) -> Option<Place> {
        match self {
            Body::Here(_) => None,
            Body::OnDisk(place) => Some(*place),
        }
    }

    /// What it takes of memory, in bytes.
    pub fn weight(&self) -> usize {
        match self {
            Body::Here(bytes) => bytes.len(),
            Body::OnDisk(_) => 0,
        }
    }
}

/// Set once.
#[derive(Debug, Default)]
pub struct Frozen(AtomicBool);

impl Frozen {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clone for Frozen {
    fn clone(&self) -> Self {
        Frozen(AtomicBool::new(self.is_set()))
    }
}

impl Times {
    /// The head is here.
    pub fn now(asked: Instant) -> Self {
        Times { asked, received: Instant::now(), received_at: SystemTime::now() }
    }
}

impl Entry {
    /// This one with its body.
    pub fn with_body(&self, body: Body) -> Self {
        Entry { body, ..self.clone() }
    }

    /// This one, which can do without the upstream until then.
    pub fn rescued(&self, until: Instant) -> Self {
        Entry { rescued_until: Some(until), ..self.clone() }
    }

    pub fn is_rescued(&self, now: Instant) -> bool {
        self.rescued_until.is_some_and(|until| now < until)
    }

    /// This one with the head that a 304 has changed.
    pub fn validated(&self, head: &Response<()>, said: &Said, lifetime: Lifetime, times: Times) -> Self {
        let mut entry = Entry::new(self.selection.clone(), head, said, lifetime, times);
        entry.body = self.body.clone();
        if entry.tags.is_empty() {
            entry.tags.clone_from(&self.tags);
        }
        // Its body is not written again: the older head there will do, if it lets it be used no longer.
        let will_do = entry.lifetime.covers(&self.lifetime) && entry.tags == self.tags;
        if entry.body.place().is_some() && self.frozen.is_set() && will_do {
            entry.frozen.set();
        }
        entry
    }

    /// One without its body, which is still to come.
    pub fn new(
        selection: Selection,
        head: &Response<()>,
        said: &Said,
        lifetime: Lifetime,
        times: Times,
    ) -> Self {
        let mut headers = head::compact(head.headers());
        let tags = tags(&headers);
        for name in NOT_KEPT.iter().chain(said.dropped()) {
            headers.remove(name);
        }
        // RFC 9110, section 6.6.1.
        headers.entry(header::DATE).or_insert_with(|| head::written(times.received_at));
        Entry {
            selection,
            status: head.status(),
            initial_age: initial_age(head.headers(), times),
            headers,
            body: Body::Here(Bytes::new()),
            lifetime,
            tags,
            frozen: Frozen::default(),
            since: times.received,
            rescued_until: None,
        }
    }

    /// One that was on the disk, without its body: so old now.
    pub fn thawed(
        selection: Selection,
        status: StatusCode,
        headers: HeaderMap,
        lifetime: Lifetime,
        tags: Vec<Box<str>>,
        (initial_age, since): (Duration, Instant),
    ) -> Self {
        let frozen = Frozen(AtomicBool::new(true));
        let (body, rescued_until) = (Body::Here(Bytes::new()), None);
        Entry { selection, status, headers, body, lifetime, tags, frozen, initial_age, since, rescued_until }
    }

    /// The head as a 304 changes it (section 4.3.4).
    pub fn freshened(&self, validation: &HeaderMap) -> Response<()> {
        let mut head = Response::new(());
        *head.status_mut() = self.status;
        *head.headers_mut() = self.headers.clone();
        let headers = head.headers_mut();
        for name in validation.keys().filter(|name| !OF_THE_BODY.contains(name)) {
            headers.remove(name);
            for value in validation.get_all(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        head
    }

    /// Section 4.2.3.
    pub fn age(&self, now: Instant) -> Duration {
        self.initial_age + now.saturating_duration_since(self.since)
    }

    /// How long it stays fresh; `Err`: for how long it has been stale.
    pub fn freshness(&self, now: Instant) -> Result<Duration, Duration> {
        let age = self.age(now);
        self.lifetime
            .fresh
            .checked_sub(age)
            .filter(|left| !left.is_zero())
            .ok_or_else(|| age - self.lifetime.fresh)
    }

    /// When it came, was validated, or was read of the disk.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Whether it is another version, as far as that can be seen.
    pub fn differs_from(&self, other: &Entry) -> bool {
        let is_other = |name: &HeaderName| self.headers.get(name) != other.headers.get(name);
        [header::ETAG, header::LAST_MODIFIED, header::CONTENT_LENGTH].iter().any(is_other)
    }

    pub fn has_validator(&self) -> bool {
        self.headers.contains_key(header::ETAG) || self.headers.contains_key(header::LAST_MODIFIED)
    }

    /// Whether there is any use in keeping it.
    pub fn is_useful(&self, now: Instant) -> bool {
        self.has_validator()
            || !self.lifetime.while_revalidate.is_zero()
            || !self.lifetime.if_error.is_zero()
            || self.freshness(now).is_ok() && !self.lifetime.validate
    }

    /// What it takes, in bytes.
    pub fn weight(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum();
        let tags: usize = self.tags.iter().map(|tag| tag.len() + 16).sum();
        OVERHEAD + headers + tags + self.selection.weight() + self.body.weight()
    }
}

/// Section 4.2.3: what it says, or what its date says, whichever is more.
fn initial_age(headers: &HeaderMap, times: Times) -> Duration {
    let date = head::date(headers, &header::DATE);
    let apparent = date.and_then(|date| times.received_at.duration_since(date).ok()).unwrap_or_default();
    let delay = times.received.saturating_duration_since(times.asked);
    // A date has whole seconds: less than one is no age.
    let apparent = if apparent < Duration::from_secs(1) { Duration::ZERO } else { apparent };
    apparent.max(head::age(headers) + delay)
}

/// What it can be purged by: words in `Surrogate-Key`, a list in `Cache-Tag`.
fn tags(headers: &HeaderMap) -> Vec<Box<str>> {
    let text = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let keys = text(SURROGATE_KEY).flat_map(|line| line.split(' '));
    let tags = text(CACHE_TAG).flat_map(|line| line.split(',')).map(str::trim);
    let all = keys.chain(tags).filter(|tag| !tag.is_empty() && tag.len() <= MAX_TAG);
    all.take(MAX_TAGS).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::super::storing::Terms;
    use super::*;
    use http::HeaderValue;

    fn entry(headers: &[(&'static str, &str)], delay: Duration) -> Entry {
        let mut head = Response::new(());
        for (name, value) in headers {
            head.headers_mut().append(*name, HeaderValue::try_from(*value).unwrap());
        }
        let received = Instant::now();
        let times =
            Times { asked: received.checked_sub(delay).unwrap(), received, received_at: SystemTime::now() };
        let said = Said::of(head.headers());
        let lifetime = said.judge(false, &head, &Terms::default(), times.received_at).unwrap();
        Entry::new(Selection::default(), &head, &said, lifetime, times)
    }

    /// Section 4.2.3.
    #[test]
    fn the_age_is_what_it_says_or_what_its_date_says() {
        let control = ("cache-control", "max-age=60");
        let later = |entry: &Entry, seconds| entry.since + Duration::from_secs(seconds);
        let said = entry(&[control, ("age", "10")], Duration::from_secs(2));
        assert_eq!(said.age(later(&said, 5)).as_secs(), 17);
        assert_eq!(said.freshness(later(&said, 5)).map(|left| left.as_secs()), Ok(43));
        assert_eq!(said.freshness(later(&said, 50)).map_err(|over| over.as_secs()), Err(2));
        let minute_ago = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(60));
        let dated = entry(&[control, ("date", &minute_ago), ("age", "10")], Duration::ZERO);
        assert!(
            (60..=61).contains(&dated.age(later(&dated, 0)).as_secs()),
            "{:?}",
            dated.age(later(&dated, 0))
        );
    }

    #[test]
    fn a_head_is_kept_without_what_is_not_for_others() {
        let kept = entry(
            &[
                ("cache-control", "max-age=60, private=\"x-user\""),
                ("x-user", "ada"),
                ("age", "1"),
                ("surrogate-key", "a b"),
                ("cache-tag", "c d, e"),
            ],
            Duration::ZERO,
        );
        let names: Vec<_> = kept.headers.keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["cache-control", "date"]);
        assert_eq!(kept.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["a", "b", "c d", "e"]);
    }

    /// What is on the disk will do in place of it: it can't be used any longer.
    #[test]
    fn a_head_on_the_disk_is_not_as_good_once_a_validation_shortens_its_life() {
        let of = |control: &str| {
            let kept = entry(&[("cache-control", control)], Duration::ZERO);
            kept.frozen.set();
            kept
        };
        let kept = of("max-age=60, stale-if-error=5");
        for (control, will_do) in [
            ("max-age=60, stale-if-error=5", true),
            ("max-age=90, stale-if-error=5", true),
            ("max-age=59, stale-if-error=5", false),
            ("max-age=60", false),
            ("max-age=60, stale-if-error=5, no-cache", false),
            ("max-age=60, stale-if-error=5, must-revalidate", false),
        ] {
            assert_eq!(of(control).lifetime.covers(&kept.lifetime), will_do, "{control}");
        }
    }

    /// Section 3.2.
    #[test]
    fn a_validation_changes_the_head_but_what_goes_with_the_body() {
        let kept = entry(
            &[("cache-control", "max-age=60"), ("etag", "\"a\""), ("x-a", "1"), ("x-b", "1")],
            Duration::ZERO,
        );
        let mut validation = HeaderMap::new();
        for (name, value) in [("x-a", "2"), ("x-a", "3"), ("etag", "\"b\""), ("content-length", "0")] {
            validation.append(name, HeaderValue::from_static(value));
        }
        let headers = kept.freshened(&validation).headers().clone();
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!(
            (&headers["x-b"], &headers["etag"]),
            (&HeaderValue::from_static("1"), &HeaderValue::from_static("\"a\""))
        );
        assert!(!headers.contains_key("content-length"));
    }
}
