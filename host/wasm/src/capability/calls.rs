//! All calls of the contract that are given no handles, in one list: who links them, or looks at them, goes through it.

/// Gives `$with` each interface with its calls: those that answer at once, those that may trap, those that may wait.
macro_rules! contract {
    ($with:ident) => {
        $with! { log:
            fn enabled(level: Level) -> bool;
            fn write(level: Level, message: String);
            fn fail(message: String);
        }
        $with! { config:
            fn json() -> String;
            fn text(pointer: String) -> Option<String>;
            fn integer(pointer: String) -> Option<i64>;
            fn number(pointer: String) -> Option<f64>;
            fn boolean(pointer: String) -> Option<bool>;
        }
        $with! { request:
            fn method() -> HttpMethod;
            fn method_text() -> String;
            fn version() -> HttpVersion;
            fn authority() -> String;
            fn path() -> String;
            fn query() -> Option<String>;
            fn query_param(name: String) -> Option<String>;
            fn path_param(name: String) -> Option<String>;
            fn cookie(name: String) -> Option<String>;
            fn header(name: String) -> Option<String>;
            fn header_bytes(name: String) -> Option<Bytes>;
            fn header_values(name: String) -> Vec<Bytes>;
            fn has_header(name: String) -> bool;
            fn header_equals(name: String, value: String) -> bool;
            fn packed() -> Bytes;
            fn content_length() -> Option<u64>;
            traps header_many(names: Vec<String>) -> Vec<Option<String>>;
        }
        $with! { request_edit:
            fn set_header(name: String, value: String) -> Edited;
            fn add_header(name: String, value: String) -> Edited;
            fn remove_header(name: String) -> Edited;
            fn set_method(name: String) -> Edited;
            fn set_path(path: String) -> Edited;
            fn set_query(query: Option<String>) -> Edited;
            fn set_authority(authority: String) -> Edited;
        }
        $with! { request_body:
            fn size() -> u64;
            fn read(offset: u64, max: u32) -> Bytes;
        }
        $with! { request_body_edit:
            fn replace(body: Bytes) -> Edited;
        }
        $with! { response:
            fn status() -> u16;
            fn header(name: String) -> Option<String>;
            fn header_bytes(name: String) -> Option<Bytes>;
            fn header_values(name: String) -> Vec<Bytes>;
            fn has_header(name: String) -> bool;
            fn packed() -> Bytes;
            fn content_length() -> Option<u64>;
            fn is_local() -> bool;
        }
        $with! { response_edit:
            fn set_status(status: u16) -> Edited;
            fn set_header(name: String, value: String) -> Edited;
            fn add_header(name: String, value: String) -> Edited;
            fn remove_header(name: String) -> Edited;
        }
        $with! { response_body:
            fn size() -> u64;
            fn read(offset: u64, max: u32) -> Bytes;
        }
        $with! { response_body_edit:
            fn replace(body: Bytes) -> Edited;
        }
        $with! { chunks:
            fn emit(data: Bytes) -> Edited;
        }
        $with! { trailers:
            fn get(name: String) -> Option<String>;
            fn get_bytes(name: String) -> Option<Bytes>;
            fn values(name: String) -> Vec<Bytes>;
            fn has(name: String) -> bool;
            fn packed() -> Bytes;
        }
        $with! { trailers_edit:
            fn set(name: String, value: String) -> Edited;
            fn add(name: String, value: String) -> Edited;
            fn remove(name: String) -> Edited;
        }
        $with! { attempt:
            fn number() -> u32;
            fn endpoint() -> Option<String>;
        }
        $with! { reply:
            fn start(status: u16) -> Edited;
            fn header(name: String, value: String) -> Edited;
            fn body(data: Bytes) -> Edited;
        }
        $with! { client:
            fn ip() -> (u64, u64);
            fn ip_text() -> String;
            fn port() -> u16;
            fn is_tls() -> bool;
            fn tls_version() -> Option<String>;
            fn sni() -> Option<String>;
        }
        $with! { client_certificate:
            fn subject() -> Option<String>;
            fn issuer() -> Option<String>;
            fn serial() -> Option<String>;
            fn fingerprint() -> Option<String>;
            fn dns_names() -> Vec<String>;
            fn uris() -> Vec<String>;
            fn emails() -> Vec<String>;
            fn addresses() -> Vec<String>;
        }
        $with! { route:
            fn name() -> String;
            fn upstream() -> Option<String>;
            fn request_id() -> String;
        }
        $with! { bag:
            fn get(key: String) -> Option<String>;
            fn get_bytes(key: String) -> Option<Bytes>;
            fn put(key: String, value: String) -> bool;
            fn put_bytes(key: String, value: Bytes) -> bool;
        }
        $with! { consumer:
            fn id() -> Option<String>;
            fn attribute(name: String) -> Option<String>;
        }
        $with! { consumer_edit:
            fn set(id: String) -> Edited;
            fn set_attribute(name: String, value: String) -> Edited;
        }
        $with! { counters:
            fn incr(key: String, delta: i64, ttl_ms: u64) -> i64;
            fn get(key: String) -> Option<i64>;
            fn take(key: String, cost: u64, limit: u64, period_ms: u64, burst: u64) -> counters::TakeResult;
            fn charge(key: String, cost: u64, limit: u64, period_ms: u64, burst: u64);
        }
        $with! { kv:
            waits get(store: String, key: String) -> Result<Option<Bytes>, kv::KvError>;
            waits set(store: String, key: String, value: Bytes, ttl_ms: Option<u64>) -> Result<(), kv::KvError>;
            waits remove(store: String, key: String) -> Result<(), kv::KvError>;
            waits incr(store: String, key: String, delta: i64, ttl_ms: Option<u64>) -> Result<i64, kv::KvError>;
            waits swap(store: String, key: String, expected: Option<Bytes>, value: Bytes, ttl_ms: Option<u64>) -> Result<bool, kv::KvError>;
        }
        $with! { cache:
            fn get(key: String) -> Option<Bytes>;
            fn put(key: String, value: Bytes, ttl_ms: u64) -> bool;
            fn add(key: String, value: Bytes, ttl_ms: u64) -> bool;
            fn remove(key: String);
        }
        $with! { secrets:
            fn hmac_sha256(name: String, data: Bytes) -> Result<Bytes, secrets::SecretError>;
            fn hmac_sha256_verify(name: String, data: Bytes, tag: Bytes) -> Result<bool, secrets::SecretError>;
        }
        $with! { secrets_reveal:
            fn reveal(name: String) -> Result<String, secrets::SecretError>;
        }
        $with! { crypto:
            fn sha256(data: Bytes) -> Bytes;
            fn sha512(data: Bytes) -> Bytes;
            fn hmac_sha256(key: Bytes, data: Bytes) -> Bytes;
            fn hmac_sha512(key: Bytes, data: Bytes) -> Bytes;
            fn equal(a: Bytes, b: Bytes) -> bool;
        }
        $with! { jwt:
            waits verify(key_set: String, token: String) -> Result<String, jwt::JwtError>;
        }
        $with! { metrics:
            fn add(name: String, delta: u64, labels: Vec<(String, String)>);
            fn observe(name: String, value: f64, labels: Vec<(String, String)>);
        }
        $with! { timing:
            fn since_received_us() -> u64;
            fn upstream_us() -> Option<u64>;
            fn connect_us() -> Option<u64>;
            fn attempts() -> u32;
            fn endpoint() -> Option<String>;
        }
    };
}

pub(crate) use contract;
