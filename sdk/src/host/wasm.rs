//! In a component: the imports, as wit-bindgen makes them, with this crate's types.

mod bindings;
pub(crate) mod component;

use bindings::base::limen::policy as wit;
pub(crate) use wit::{
    attempt, bag, cache, client, client_certificate, config, consumer, crypto, request_body, response,
    response_body, route, timing, trailers,
};

use crate::jwt::JwtError;
use crate::secrets::SecretError;
use crate::{EditError, HttpVersion, Level, Method};

pub(crate) mod request {
    pub(crate) use super::wit::request::{
        authority, content_length, cookie, has_header, header, header_bytes, header_equals, header_many,
        header_values, method_text, packed, path, path_param, query, query_param,
    };

    pub(crate) fn method() -> super::Method {
        super::wit::request::method().into()
    }

    pub(crate) fn version() -> super::HttpVersion {
        super::wit::request::version().into()
    }
}

pub(crate) mod log {
    use super::{Level, wit};
    pub(crate) use wit::log::fail;

    pub(crate) fn enabled(level: Level) -> bool {
        wit::log::enabled(level.into())
    }

    pub(crate) fn write(level: Level, message: &str) {
        wit::log::write(level.into(), message);
    }
}

/// The functions of an interface that differ only in the type of their error.
macro_rules! edits {
    ($interface:ident: $($name:ident($($arg:ident: $kind:ty),*);)+) => {
        pub(crate) mod $interface {
            $(
                pub(crate) fn $name($($arg: $kind),*) -> Result<(), super::EditError> {
                    super::wit::$interface::$name($($arg),*).map_err(Into::into)
                }
            )+
        }
    };
}

edits! { request_edit:
    set_header(name: &str, value: &str);
    add_header(name: &str, value: &str);
    remove_header(name: &str);
    set_method(name: &str);
    set_path(path: &str);
    set_query(query: Option<&str>);
    set_authority(authority: &str);
}
edits! { request_body_edit: replace(body: &[u8]); }
edits! { response_edit:
    set_status(status: u16);
    set_header(name: &str, value: &str);
    add_header(name: &str, value: &str);
    remove_header(name: &str);
}
edits! { response_body_edit: replace(body: &[u8]); }
edits! { consumer_edit:
    set(id: &str);
    set_attribute(name: &str, value: &str);
}
edits! { chunks: emit(data: &[u8]); }
edits! { trailers_edit:
    set(name: &str, value: &str);
    add(name: &str, value: &str);
    remove(name: &str);
}
edits! { reply:
    start(status: u16);
    header(name: &str, value: &str);
    body(data: &[u8]);
}

pub(crate) mod counters {
    use super::wit;
    use crate::counters::Taken;
    pub(crate) use wit::counters::{charge, get, incr};

    pub(crate) fn take(key: &str, cost: u64, limit: u64, period_ms: u64, burst: u64) -> Taken {
        let taken = wit::counters::take(key, cost, limit, period_ms, burst);
        Taken { allowed: taken.allowed, remaining: taken.remaining, retry_after_ms: taken.retry_after_ms }
    }
}

pub(crate) mod secrets {
    use super::wit;
    use crate::secrets::SecretError;

    pub(crate) fn hmac_sha256(name: &str, data: &[u8]) -> Result<Vec<u8>, SecretError> {
        wit::secrets::hmac_sha256(name, data).map_err(Into::into)
    }

    pub(crate) fn hmac_sha256_verify(name: &str, data: &[u8], tag: &[u8]) -> Result<bool, SecretError> {
        wit::secrets::hmac_sha256_verify(name, data, tag).map_err(Into::into)
    }
}

pub(crate) mod secrets_reveal {
    pub(crate) fn reveal(name: &str) -> Result<String, crate::secrets::SecretError> {
        super::wit::secrets_reveal::reveal(name).map_err(Into::into)
    }
}

pub(crate) mod jwt {
    pub(crate) fn verify(key_set: &str, token: &str) -> Result<String, crate::jwt::JwtError> {
        super::wit::jwt::verify(key_set, token).map_err(Into::into)
    }
}

/// By WASI, through Rust's own library.
pub(crate) mod clock {
    use std::sync::OnceLock;
    use std::time::{Duration, Instant, SystemTime};

    pub(crate) fn now() -> SystemTime {
        SystemTime::now()
    }

    pub(crate) fn monotonic() -> Duration {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        FIRST.get_or_init(Instant::now).elapsed()
    }
}

pub(crate) mod random {
    pub(crate) fn fill(bytes: &mut [u8]) {
        // Zeros in their place would be worse than a trap. The gateway always has some.
        assert!(getrandom::fill(bytes).is_ok(), "there are no random numbers");
    }
}

pub(crate) mod metrics {
    use super::wit;

    pub(crate) fn add(name: &str, delta: u64, labels: &[(&str, &str)]) {
        wit::metrics::add(name, delta, &owned(labels));
    }

    pub(crate) fn observe(name: &str, value: f64, labels: &[(&str, &str)]) {
        wit::metrics::observe(name, value, &owned(labels));
    }

    fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }
}

pub(crate) mod fetch {
    use super::wit;
    use crate::EditError;
    use crate::fetch::FetchError;
    pub(crate) use wit::fetch::{Incoming, Outgoing};

    pub(crate) fn outgoing(upstream: &str, method: &str, path: &str) -> Outgoing {
        Outgoing::new(upstream, method, path)
    }

    pub(crate) fn header(call: &Outgoing, name: &str, value: &str) -> Result<(), EditError> {
        call.header(name, value).map_err(Into::into)
    }

    pub(crate) fn body(call: &Outgoing, data: &[u8]) -> Result<(), EditError> {
        call.body(data).map_err(Into::into)
    }

    pub(crate) fn timeout_ms(call: &Outgoing, value: u32) {
        call.timeout_ms(value);
    }

    pub(crate) fn send(call: &Outgoing) -> Result<Incoming, FetchError> {
        call.send().map_err(Into::into)
    }

    pub(crate) fn send_all(calls: &[&Outgoing]) -> Vec<Result<Incoming, FetchError>> {
        wit::fetch::send_all(calls).into_iter().map(|answer| answer.map_err(Into::into)).collect()
    }

    pub(crate) fn status(answer: &Incoming) -> u16 {
        answer.status()
    }

    pub(crate) fn answer_header(answer: &Incoming, name: &str) -> Option<String> {
        answer.header(name)
    }

    pub(crate) fn header_values(answer: &Incoming, name: &str) -> Vec<Vec<u8>> {
        answer.header_values(name)
    }

    pub(crate) fn read(answer: &Incoming, max: u32) -> Result<Vec<u8>, FetchError> {
        answer.read(max).map_err(Into::into)
    }

    pub(crate) fn answer_body(answer: &Incoming) -> Result<Vec<u8>, FetchError> {
        answer.body().map_err(Into::into)
    }
}

pub(crate) mod kv {
    use super::wit;
    use crate::kv::KvError;

    pub(crate) fn get(store: &str, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        wit::kv::get(store, key).map_err(error)
    }

    pub(crate) fn set(store: &str, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), KvError> {
        wit::kv::set(store, key, value, ttl_ms).map_err(error)
    }

    pub(crate) fn remove(store: &str, key: &str) -> Result<(), KvError> {
        wit::kv::remove(store, key).map_err(error)
    }

    pub(crate) fn incr(store: &str, key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, KvError> {
        wit::kv::incr(store, key, delta, ttl_ms).map_err(error)
    }

    pub(crate) fn swap(
        store: &str,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<bool, KvError> {
        wit::kv::swap(store, key, expected, value, ttl_ms).map_err(error)
    }

    fn error(error: wit::kv::KvError) -> KvError {
        match error {
            wit::kv::KvError::NoSuchStore => KvError::NoSuchStore,
            wit::kv::KvError::Denied => KvError::Denied,
            wit::kv::KvError::TooLarge => KvError::TooLarge,
            wit::kv::KvError::WrongType => KvError::WrongType,
            wit::kv::KvError::TimedOut => KvError::TimedOut,
            wit::kv::KvError::Other(reason) => KvError::Other(reason),
        }
    }
}

/// The same enum on both sides, case by case.
macro_rules! same {
    ($from:ty => $to:ty: $($case:ident)+) => {
        impl From<$from> for $to {
            fn from(value: $from) -> Self {
                match value { $(<$from>::$case => <$to>::$case,)+ }
            }
        }
    };
}

same! { wit::types::HttpMethod => Method: Get Head Post Put Delete Connect Options Trace Patch Other }
same! { wit::types::HttpVersion => HttpVersion: Http10 Http11 H2 H3 }
same! { wit::types::EditError => EditError: Invalid Forbidden TooLarge TooLate }
same! { Level => wit::types::Level: Trace Debug Info Warn Error }
same! { wit::secrets::SecretError => SecretError: Denied NotText }
same! { wit::jwt::JwtError => JwtError: Denied Malformed UnknownKey BadSignature Expired NotYetValid WrongIssuer WrongAudience }
same! { wit::fetch::FetchError => crate::fetch::FetchError:
Denied Invalid TooMany TooLarge Unreachable Overloaded TimedOut Broken }
