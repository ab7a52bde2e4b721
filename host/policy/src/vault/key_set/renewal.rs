//! Keys that somebody brings anew from time to time, and what tokens wait for meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::TokenTerms;
use super::accepted::{Accepted, accept};
use super::trusted::Trusted;
use crate::Later;
use crate::vault::{Key, KeyError};

/// How keys that are brought are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalTerms {
    /// Where they come from.
    pub from: String,
    /// How long they are used beyond the time at which there should be new ones.
    pub max_stale: Duration,
    /// A token that no key is for has new ones asked for no sooner than this after the last time.
    pub cooldown: Duration,
    /// How long it waits for them.
    pub wait: Duration,
}

/// The keys of a set that somebody renews.
pub struct Renewal {
    accepts: TokenTerms,
    terms: RenewalTerms,
    current: ArcSwapOption<Current>,
    /// Whether new ones are asked for at this moment.
    asking: watch::Sender<bool>,
    /// Whoever brings them is wanted.
    wanted: Notify,
    begun: Instant,
    /// When they were last asked for, in milliseconds since `begun`; 0: never.
    asked: AtomicU64,
    counts: Arc<Counts>,
}

/// Keys as they were brought.
pub(super) struct Current {
    /// With what the same keys have verified before.
    pub(super) trusted: Arc<Trusted>,
    keys: Vec<Key>,
    brought: Instant,
    /// When there should be new ones.
    due: Instant,
}

#[derive(Default)]
struct Counts {
    brought: AtomicU64,
    failed: AtomicU64,
}

/// How it stands, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenewalReading {
    /// Of the keys that are there.
    pub age: Option<Duration>,
    pub keys: usize,
    pub brought: u64,
    pub failed: u64,
}

/// New keys are being asked for as long as this is there.
pub struct Asking<'a>(&'a Renewal);

impl Renewal {
    pub(super) fn new(accepts: TokenTerms, terms: RenewalTerms) -> Self {
        Renewal {
            accepts,
            terms,
            current: ArcSwapOption::empty(),
            asking: watch::Sender::new(false),
            wanted: Notify::new(),
            begun: Instant::now(),
            asked: AtomicU64::new(0),
            counts: Arc::default(),
        }
    }

    /// The keys, unless they are too old.
    pub(super) fn current(&self) -> Option<Arc<Current>> {
        self.current.load_full().filter(|current| current.due + self.terms.max_stale > Instant::now())
    }

    /// What to wait for, if new keys are on their way or may be asked for.
    pub(super) fn news(&self) -> Option<Later<'_, ()>> {
        if !self.ask() {
            return None;
        }
        let mut asking = self.asking.subscribe();
        Some(Box::pin(async move {
            let _ = timeout(self.terms.wait, asking.wait_for(|asking| !asking)).await;
        }))
    }

    /// Whether new keys are on their way now. However many tokens want them, they are asked for once.
    fn ask(&self) -> bool {
        if *self.asking.borrow() {
            return true;
        }
        if self.was_just_asked() {
            return false;
        }
        let is_first = self.asking.send_if_modified(|asking| {
            let is_first = !*asking && !self.was_just_asked();
            *asking |= is_first;
            is_first
        });
        if is_first {
            self.wanted.notify_one();
        }
        *self.asking.borrow()
    }

    fn was_just_asked(&self) -> bool {
        match self.asked.load(Relaxed) {
            0 => false,
            asked => self.now() - asked.min(self.now()) < self.terms.cooldown.as_millis() as u64,
        }
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    pub(super) fn inherit(&mut self, before: &Renewal) {
        if before.terms.from != self.terms.from {
            return;
        }
        self.counts = before.counts.clone();
        let Some(known) = before.current.load_full() else { return };
        let Ok(accepted) = accept(known.keys.clone(), &self.accepts) else { return };
        let Current { brought, due, .. } = *known;
        let trusted = self.trust(accepted, Some(&known));
        self.current.store(Some(Arc::new(Current { trusted, keys: known.keys.clone(), brought, due })));
    }

    /// What the keys before have verified is known on if they are the same, with the same terms.
    fn trust(&self, accepted: Vec<Accepted>, before: Option<&Current>) -> Arc<Trusted> {
        match before {
            Some(before) if before.trusted.keys == accepted => before.trusted.clone(),
            _ => Arc::new(Trusted::new(accepted, self.accepts.leeway)),
        }
    }
}

/// For whoever brings keys.
impl Renewal {
    /// Returns when a token wants new keys.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// New keys are being asked for.
    pub fn begin(&self) -> Asking<'_> {
        self.asked.store(self.now().max(1), Relaxed);
        self.asking.send_replace(true);
        Asking(self)
    }

    /// When new keys should be there; none: they are missing.
    pub fn due(&self) -> Option<Instant> {
        self.current.load().as_ref().map(|current| current.due)
    }

    /// Here are some, good for so long. Answers how many of them are used.
    pub fn bring(&self, keys: Vec<Key>, fresh: Duration) -> Result<usize, KeyError> {
        let accepted = accept(keys.clone(), &self.accepts)?;
        let (count, brought) = (accepted.len(), Instant::now());
        let trusted = self.trust(accepted, self.current.load().as_deref());
        self.current.store(Some(Arc::new(Current { trusted, keys, brought, due: brought + fresh })));
        self.counts.brought.fetch_add(1, Relaxed);
        Ok(count)
    }

    /// There were none to be had.
    pub fn fail(&self) {
        self.counts.failed.fetch_add(1, Relaxed);
    }

    pub fn reading(&self) -> RenewalReading {
        let current = self.current.load();
        RenewalReading {
            age: current.as_ref().map(|current| current.brought.elapsed()),
            keys: current.as_ref().map_or(0, |current| current.trusted.keys.len()),
            brought: self.counts.brought.load(Relaxed),
            failed: self.counts.failed.load(Relaxed),
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.asking.send_replace(false);
    }
}

/// Whether the same is asked of them; which keys there are is not asked.
impl PartialEq for Renewal {
    fn eq(&self, other: &Self) -> bool {
        self.accepts == other.accepts && self.terms == other.terms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::{KeySet, TokenError};

    const SECRET: &[u8] = b"a shared secret of thirty-two bytes and more";

    fn set(cooldown: Duration) -> KeySet {
        let wait = Duration::from_secs(10);
        let terms = RenewalTerms { from: "here".into(), max_stale: Duration::ZERO, cooldown, wait };
        KeySet::renewed("idp", TokenTerms::default(), terms)
    }

    fn keys() -> Vec<Key> {
        vec![Key::of_secret(SECRET).unwrap()]
    }

    #[test]
    fn many_tokens_ask_once_and_not_again_soon() {
        let set = set(Duration::from_secs(60));
        assert_eq!(set.verify("a.b.c"), Err(TokenError::Unavailable));
        let both = [set.news(TokenError::Unavailable), set.news(TokenError::UnknownKey)];
        assert!(both.iter().all(Option::is_some));
        let renewal = set.renewal().unwrap();
        let asking = renewal.begin();
        assert!(set.news(TokenError::UnknownKey).is_some(), "on their way");
        drop(asking);
        assert!(set.news(TokenError::UnknownKey).is_none(), "just asked");
        assert!(set.news(TokenError::BadSignature).is_none());
    }

    #[test]
    fn keys_that_are_too_old_are_none() {
        let set = set(Duration::ZERO);
        let renewal = set.renewal().unwrap();
        assert_eq!(renewal.bring(keys(), Duration::from_secs(60)), Ok(1));
        assert_eq!(set.verify("a.b.c"), Err(TokenError::Malformed), "there are keys");
        renewal.bring(keys(), Duration::ZERO).unwrap();
        assert_eq!(set.verify("a.b.c"), Err(TokenError::Unavailable));
        assert_eq!((renewal.reading().keys, renewal.reading().brought), (1, 2));
    }

    fn token() -> String {
        let claims = serde_json::json!({ "exp": 4_102_444_800_u64 });
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    }

    #[test]
    fn what_other_keys_have_verified_is_not_known_any_more() {
        let set = set(Duration::ZERO);
        let renewal = set.renewal().unwrap();
        renewal.bring(keys(), Duration::from_secs(60)).unwrap();
        assert!(set.verify(&token()).is_ok());
        let others = vec![Key::of_secret(b"another secret of thirty-two bytes, or more").unwrap()];
        renewal.bring(others, Duration::from_secs(60)).unwrap();
        assert_eq!(set.verify(&token()), Err(TokenError::BadSignature));
    }

    #[test]
    fn what_the_same_keys_have_verified_is_known_on() {
        let before = set(Duration::ZERO);
        before.renewal().unwrap().bring(keys(), Duration::from_secs(60)).unwrap();
        let first = before.verify(&token()).unwrap();
        before.renewal().unwrap().bring(keys(), Duration::from_secs(90)).unwrap();
        assert!(Arc::ptr_eq(&first, &before.verify(&token()).unwrap()), "brought again");
        let mut after = set(Duration::from_secs(1));
        after.inherit(&before);
        assert!(Arc::ptr_eq(&first, &after.verify(&token()).unwrap()), "inherited");
        let terms = TokenTerms { issuers: vec!["idp".into()], ..TokenTerms::default() };
        let mut strict = KeySet::renewed("idp", terms, after.renewal().unwrap().terms.clone());
        strict.inherit(&after);
        assert_eq!(strict.verify(&token()), Err(TokenError::WrongIssuer), "by other terms");
    }

    #[test]
    fn what_changes_its_terms_keeps_its_keys() {
        let before = set(Duration::ZERO);
        before.renewal().unwrap().bring(keys(), Duration::from_secs(60)).unwrap();
        let mut after = set(Duration::from_secs(1));
        assert!(before != after);
        after.inherit(&before);
        assert_eq!(after.renewal().unwrap().due(), before.renewal().unwrap().due());
    }
}
