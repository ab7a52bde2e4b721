//! `grants` of a plugin

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::scope::Grantable;
use crate::section::section;
use crate::units::{GIB, KIB, MIB};
use crate::value::{Value, boolean, choice, list, size};

section! {
    /// `grants = { request_body = true, counters = true }`: a component that imports or exports what
    /// needs a grant and has none is refused when it is loaded.
    #[derive(Default, PartialEq, Eq, Hash)]
    pub struct Grants(section, may: &Grantable<'_>) {
        /// `request_body`: may read and change bodies of requests, whole or in chunks. Default false.
        pub request_body: bool = section.or("request_body", boolean, false),

        /// `response_body`: may read and change bodies of responses, whole or in chunks. Default
        /// false.
        pub response_body: bool = section.or("response_body", boolean, false),

        /// `consumer`: "read": may know whom a policy before it has named as the consumer; "set": may
        /// name the consumer, which later policies and the access log go by. Default: neither.
        pub consumer: Option<ConsumerGrant> = section.optional("consumer", choice(ConsumerGrant::CHOICES)),

        /// `counters`: may keep counters that all workers and isolates of the plugin share. Default
        /// false.
        pub counters: bool = section.or("counters", boolean, false),

        /// `fetch`: the upstreams that it may call itself, like `["authz"]`. Default: none.
        pub fetch: Vec<String> = section.or("fetch", list(|value| may.upstream(value)), Vec::new()),

        /// `kv`: the stores (`[store.NAME]`) that it may read and write. Default: none.
        pub kv: Vec<String> = section.or("kv", list(|value| may.store(value)), Vec::new()),

        /// `cache`: true, or `{ size = "16MiB" }`: may keep values that all isolates of the plugin share,
        /// over reloads. Default false.
        pub cache: Option<CacheGrant> = section.or("cache", CacheGrant::read_or_bool, None),

        /// `secrets`: what it may do with which `[secret.NAME]`, like `{ webhook = "sign" }`. "sign": have the
        /// gateway compute and verify keyed hashes, without seeing the secret; "reveal": see it as well.
        /// Default: nothing with any.
        pub secrets: BTreeMap<String, SecretGrant> = section.or("secrets", |value| secrets(value, may), BTreeMap::new()),

        /// `key_sets`: the `[key_set.NAME]`s that it may verify tokens with, like `["idp"]`. Default: none.
        pub key_sets: Vec<String> = section.or("key_sets", list(|value| may.key_set(value)), Vec::new()),

        /// `metrics`: may have metrics of its own, which are shown beside the gateway's. Default false.
        pub metrics: bool = section.or("metrics", boolean, false),
    }
}

/// What a plugin may do with the consumer of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConsumerGrant {
    Read,
    /// And read.
    Set,
}

impl ConsumerGrant {
    const CHOICES: &[(&str, ConsumerGrant)] = &[("read", ConsumerGrant::Read), ("set", ConsumerGrant::Set)];
}

/// What a plugin may do with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretGrant {
    Sign,
    /// And sign.
    Reveal,
}

impl SecretGrant {
    const CHOICES: &[(&str, SecretGrant)] = &[("sign", SecretGrant::Sign), ("reveal", SecretGrant::Reveal)];
}

fn secrets(value: &Value<'_>, may: &Grantable<'_>) -> Option<BTreeMap<String, SecretGrant>> {
    let section = value.section()?;
    let granted = section.entries().map(|(name, item)| {
        let (name, grant) = (may.secret(name, &item), choice(SecretGrant::CHOICES)(&item));
        Some((name?, grant?))
    });
    // All of them are read before one that is wrong ends it.
    granted.collect::<Vec<_>>().into_iter().collect()
}

section! {
    /// `cache = { size = "16MiB" }`
    #[derive(Copy, PartialEq, Eq, Hash)]
    pub struct CacheGrant(section) {
        /// `size`: what all its keys and values may take; the least recently used go first. 64KiB to
        /// 64GiB; default 16MiB. A change of it empties the cache.
        pub size: u64 = section.or("size", size(64 * KIB..=64 * GIB), 16 * MIB),
    }
}

impl CacheGrant {
    fn read_or_bool(value: &Value<'_>) -> Option<Option<CacheGrant>> {
        match value.inner {
            DeValue::Boolean(false) => Some(None),
            DeValue::Boolean(true) => {
                let empty = Value { inner: value.sink.empty(), ..value.clone() };
                CacheGrant::read(&empty.section()?).map(Some)
            }
            DeValue::Table(_) => CacheGrant::read(&value.section()?).map(Some),
            _ => value.wrong_type("`true`, `false` or a table `{ size = \"16MiB\" }`"),
        }
    }
}
