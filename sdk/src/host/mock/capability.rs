//! The functions of `wit/`, one module for each interface.

pub(crate) mod request {
    use super::super::current;
    use crate::{HttpVersion, Method};

    pub(crate) fn method() -> Method {
        match method_text().as_str() {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "CONNECT" => Method::Connect,
            "OPTIONS" => Method::Options,
            "TRACE" => Method::Trace,
            "PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }

    pub(crate) fn method_text() -> String {
        current(|_, exchange| exchange.request.method.clone())
    }

    pub(crate) fn version() -> HttpVersion {
        current(|_, exchange| exchange.version)
    }

    pub(crate) fn authority() -> String {
        current(|_, exchange| exchange.request.authority.clone())
    }

    pub(crate) fn path() -> String {
        current(|_, exchange| exchange.request.path.clone())
    }

    pub(crate) fn query() -> Option<String> {
        current(|_, exchange| exchange.request.query.clone())
    }

    pub(crate) fn query_param(name: &str) -> Option<String> {
        let query = query()?;
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| form_decoded(key) == name).map(|(_, value)| form_decoded(value))
    }

    pub(crate) fn path_param(name: &str) -> Option<String> {
        current(|_, exchange| exchange.path_params.get(name).cloned())
    }

    pub(crate) fn cookie(name: &str) -> Option<String> {
        let cookies = header_values("cookie");
        let cookies = cookies.iter().filter_map(|value| str::from_utf8(value).ok());
        let mut pairs =
            cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(key, _)| *key == name)?;
        let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Some(inner.unwrap_or(value).into())
    }

    pub(crate) fn header(name: &str) -> Option<String> {
        current(|_, exchange| exchange.request.head.text(name))
    }

    pub(crate) fn header_bytes(name: &str) -> Option<Vec<u8>> {
        current(|_, exchange| exchange.request.head.values(name).next().map(<[u8]>::to_vec))
    }

    pub(crate) fn header_values(name: &str) -> Vec<Vec<u8>> {
        current(|_, exchange| exchange.request.head.values(name).map(<[u8]>::to_vec).collect())
    }

    pub(crate) fn has_header(name: &str) -> bool {
        current(|_, exchange| exchange.request.head.values(name).next().is_some())
    }

    pub(crate) fn header_equals(name: &str, value: &str) -> bool {
        current(|_, exchange| exchange.request.head.values(name).any(|found| found == value.as_bytes()))
    }

    pub(crate) fn header_many(names: &[String]) -> Vec<Option<String>> {
        names.iter().map(|name| header(name)).collect()
    }

    pub(crate) fn packed() -> Vec<u8> {
        current(|_, exchange| {
            let request = &exchange.request;
            let query = request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
            request.head.packed(&[
                (":method", request.method.clone()),
                (":authority", request.authority.clone()),
                (":path", format!("{}{query}", request.path)),
            ])
        })
    }

    pub(crate) fn content_length() -> Option<u64> {
        header("content-length")?.parse().ok()
    }

    /// `application/x-www-form-urlencoded`; what is not UTF-8 becomes U+FFFD.
    fn form_decoded(text: &str) -> String {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            let hex = |digit: Option<u8>| digit.and_then(|digit| char::from(digit).to_digit(16));
            let mut ahead = rest.clone();
            match (byte, hex(ahead.next()), hex(ahead.next())) {
                (b'+', _, _) => bytes.push(b' '),
                (b'%', Some(high), Some(low)) => {
                    bytes.push((high * 16 + low) as u8);
                    rest = ahead;
                }
                _ => bytes.push(byte),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

pub(crate) mod request_edit {
    use super::super::{current, head::is_token};
    use crate::EditError;

    pub(crate) fn set_header(name: &str, value: &str) -> Result<(), EditError> {
        current(|_, exchange| exchange.edit_request_header()?.set(name, value))
    }

    pub(crate) fn add_header(name: &str, value: &str) -> Result<(), EditError> {
        current(|_, exchange| exchange.edit_request_header()?.add(name, value))
    }

    pub(crate) fn remove_header(name: &str) -> Result<(), EditError> {
        current(|_, exchange| exchange.edit_request_header()?.remove(name))
    }

    pub(crate) fn set_method(name: &str) -> Result<(), EditError> {
        edit(is_token(name), |request| request.method = name.into())
    }

    pub(crate) fn set_path(path: &str) -> Result<(), EditError> {
        let valid = path.starts_with('/') && is_target(path) && !path.contains('?');
        edit(valid, |request| request.path = path.into())
    }

    pub(crate) fn set_query(query: Option<&str>) -> Result<(), EditError> {
        edit(query.is_none_or(is_target), |request| request.query = query.map(Into::into))
    }

    pub(crate) fn set_authority(authority: &str) -> Result<(), EditError> {
        let valid = !authority.is_empty() && is_target(authority) && !authority.contains(['/', '?', '@']);
        edit(valid, |request| request.authority = authority.into())
    }

    fn edit(valid: bool, change: impl FnOnce(&mut super::super::RequestHead)) -> Result<(), EditError> {
        current(|_, exchange| {
            let request = exchange.edit_request()?;
            if !valid {
                return Err(EditError::Invalid);
            }
            change(request);
            Ok(())
        })
    }

    /// Visible ASCII, and no fragment.
    fn is_target(text: &str) -> bool {
        text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
    }
}

pub(crate) mod response {
    use super::super::current;

    pub(crate) fn status() -> u16 {
        current(|_, exchange| exchange.response.status)
    }

    pub(crate) fn header(name: &str) -> Option<String> {
        current(|_, exchange| exchange.response.head.text(name))
    }

    pub(crate) fn header_bytes(name: &str) -> Option<Vec<u8>> {
        current(|_, exchange| exchange.response.head.values(name).next().map(<[u8]>::to_vec))
    }

    pub(crate) fn header_values(name: &str) -> Vec<Vec<u8>> {
        current(|_, exchange| exchange.response.head.values(name).map(<[u8]>::to_vec).collect())
    }

    pub(crate) fn has_header(name: &str) -> bool {
        current(|_, exchange| exchange.response.head.values(name).next().is_some())
    }

    pub(crate) fn packed() -> Vec<u8> {
        current(|_, exchange| {
            let response = &exchange.response;
            response.head.packed(&[(":status", response.status.to_string())])
        })
    }

    pub(crate) fn content_length() -> Option<u64> {
        header("content-length")?.parse().ok()
    }

    pub(crate) fn is_local() -> bool {
        current(|_, exchange| exchange.response_is_local)
    }
}

pub(crate) mod response_edit {
    use super::super::current;
    use crate::EditError;

    pub(crate) fn set_status(status: u16) -> Result<(), EditError> {
        current(|_, exchange| {
            let response = exchange.edit_response()?;
            if !(200..600).contains(&status) {
                return Err(EditError::Invalid);
            }
            response.status = status;
            Ok(())
        })
    }

    pub(crate) fn set_header(name: &str, value: &str) -> Result<(), EditError> {
        current(|_, exchange| exchange.edit_response()?.head.set(name, value))
    }

    pub(crate) fn add_header(name: &str, value: &str) -> Result<(), EditError> {
        current(|_, exchange| exchange.edit_response()?.head.add(name, value))
    }

    pub(crate) fn remove_header(name: &str) -> Result<(), EditError> {
        current(|_, exchange| exchange.edit_response()?.head.remove(name))
    }
}

/// Both bodies alike: there in their hook, empty elsewhere.
macro_rules! body {
    ($read:ident, $edit:ident, $message:ident, $body:ident, $moment:ident, $spoke_of_old:expr) => {
        pub(crate) mod $read {
            use super::super::{Moment, current};

            pub(crate) fn size() -> u64 {
                read(0, u32::MAX).len() as u64
            }

            pub(crate) fn read(offset: u64, max: u32) -> Vec<u8> {
                current(|_, exchange| {
                    let body: &[u8] = if exchange.moment == Moment::$moment { &exchange.$body } else { &[] };
                    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
                    body.iter().skip(offset).take(max as usize).copied().collect()
                })
            }
        }

        pub(crate) mod $edit {
            use super::super::{Moment, current};
            use crate::EditError;

            pub(crate) fn replace(body: &[u8]) -> Result<(), EditError> {
                current(|process, exchange| {
                    if exchange.moment != Moment::$moment {
                        return Err(EditError::TooLate);
                    }
                    if body.len() > process.body_limit {
                        return Err(EditError::TooLarge);
                    }
                    exchange.$body = body.to_vec();
                    let head = &mut exchange.$message.head;
                    head.frame(body.len());
                    $spoke_of_old.iter().for_each(|name| head.drop_all(name));
                    Ok(())
                })
            }
        }
    };
}

body!(request_body, request_body_edit, request, request_body, RequestBody, ["content-encoding"]);
body!(
    response_body,
    response_body_edit,
    response,
    response_body,
    ResponseBody,
    ["etag", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"]
);

pub(crate) mod reply {
    use super::super::{Head, Moment, ResponseHead, current};
    use crate::EditError;

    const BODY: usize = 1024 * 1024;

    pub(crate) fn start(status: u16) -> Result<(), EditError> {
        current(|_, exchange| {
            if matches!(exchange.moment, Moment::Outside | Moment::Log) || exchange.is_sent {
                return Err(EditError::TooLate);
            }
            if !(200..600).contains(&status) {
                return Err(EditError::Invalid);
            }
            exchange.reply = Some((ResponseHead { status, head: Head::default() }, Vec::new()));
            Ok(())
        })
    }

    pub(crate) fn header(name: &str, value: &str) -> Result<(), EditError> {
        current(|_, exchange| match &mut exchange.reply {
            Some((response, _)) => response.head.add(name, value),
            None => Err(EditError::TooLate),
        })
    }

    pub(crate) fn body(data: &[u8]) -> Result<(), EditError> {
        current(|_, exchange| match &mut exchange.reply {
            Some((_, body)) if body.len() + data.len() <= BODY => {
                body.extend_from_slice(data);
                Ok(())
            }
            Some(_) => Err(EditError::TooLarge),
            None => Err(EditError::TooLate),
        })
    }
}

pub(crate) mod log {
    use super::super::current;
    use crate::{Level, testing::Line};

    pub(crate) fn enabled(level: Level) -> bool {
        current(|process, _| level >= process.log_level)
    }

    pub(crate) fn write(level: Level, message: &str) {
        if enabled(level) {
            current(|_, exchange| exchange.log.push(Line { level, message: message.into() }));
        }
    }

    pub(crate) fn fail(message: &str) {
        current(|_, exchange| exchange.failed = Some(message.into()));
    }
}

pub(crate) mod config {
    use super::super::current;
    use serde_json::Value;

    pub(crate) fn json() -> String {
        current(|process, _| process.settings.to_string())
    }

    pub(crate) fn text(pointer: &str) -> Option<String> {
        at(pointer)?.as_str().map(Into::into)
    }

    pub(crate) fn integer(pointer: &str) -> Option<i64> {
        at(pointer)?.as_i64()
    }

    pub(crate) fn number(pointer: &str) -> Option<f64> {
        at(pointer)?.as_f64()
    }

    pub(crate) fn boolean(pointer: &str) -> Option<bool> {
        at(pointer)?.as_bool()
    }

    fn at(pointer: &str) -> Option<Value> {
        current(|process, _| process.settings.pointer(pointer).cloned())
    }
}

pub(crate) mod client {
    use std::net::IpAddr;

    use super::super::current;

    pub(crate) fn ip() -> (u64, u64) {
        let address = match current(|process, _| process.client_ip) {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        ((address.to_bits() >> 64) as u64, address.to_bits() as u64)
    }

    pub(crate) fn ip_text() -> String {
        current(|process, _| process.client_ip.to_canonical().to_string())
    }

    pub(crate) fn port() -> u16 {
        current(|process, _| process.client_port)
    }

    pub(crate) fn is_tls() -> bool {
        current(|process, _| process.tls_version.is_some())
    }

    pub(crate) fn tls_version() -> Option<String> {
        current(|process, _| process.tls_version.clone())
    }

    pub(crate) fn sni() -> Option<String> {
        current(|process, _| process.sni.clone())
    }
}

pub(crate) mod client_certificate {
    use super::super::current;
    use crate::testing::ClientCertificate;

    fn of<T>(read: impl Fn(&ClientCertificate) -> T) -> Option<T> {
        current(|process, _| process.certificate.as_ref().map(read))
    }

    pub(crate) fn subject() -> Option<String> {
        of(|certificate| certificate.subject.clone())
    }

    pub(crate) fn issuer() -> Option<String> {
        of(|certificate| certificate.issuer.clone())
    }

    pub(crate) fn serial() -> Option<String> {
        of(|certificate| certificate.serial.clone())
    }

    pub(crate) fn fingerprint() -> Option<String> {
        of(|certificate| certificate.fingerprint.clone())
    }

    pub(crate) fn dns_names() -> Vec<String> {
        of(|certificate| certificate.dns_names.clone()).unwrap_or_default()
    }

    pub(crate) fn uris() -> Vec<String> {
        of(|certificate| certificate.uris.clone()).unwrap_or_default()
    }

    pub(crate) fn emails() -> Vec<String> {
        of(|certificate| certificate.emails.clone()).unwrap_or_default()
    }

    pub(crate) fn addresses() -> Vec<String> {
        of(|certificate| certificate.addresses.clone()).unwrap_or_default()
    }
}

pub(crate) mod route {
    use super::super::current;

    pub(crate) fn name() -> String {
        current(|process, _| process.route.clone())
    }

    pub(crate) fn upstream() -> Option<String> {
        current(|process, _| process.upstream.clone())
    }

    pub(crate) fn request_id() -> String {
        current(|_, exchange| exchange.request_id.clone())
    }
}

pub(crate) mod bag {
    use super::super::current;

    const KEYS: usize = 64;
    const BYTES: usize = 64 * 1024;

    pub(crate) fn get(key: &str) -> Option<String> {
        get_bytes(key).and_then(|value| String::from_utf8(value).ok())
    }

    pub(crate) fn get_bytes(key: &str) -> Option<Vec<u8>> {
        current(|_, exchange| exchange.bag.get(key).map(|(value, _)| value.clone()))
    }

    pub(crate) fn put(key: &str, value: &str) -> bool {
        put_bytes(key, value.as_bytes())
    }

    pub(crate) fn put_bytes(key: &str, value: &[u8]) -> bool {
        current(|_, exchange| {
            let others = exchange.bag.iter().filter(|(other, _)| *other != key);
            let (keys, bytes) = others
                .fold((0, 0), |(keys, bytes), (key, (value, _))| (keys + 1, bytes + key.len() + value.len()));
            let foreign = exchange.bag.get(key).is_some_and(|(_, mine)| !mine);
            if foreign || keys >= KEYS || bytes + key.len() + value.len() > BYTES {
                return false;
            }
            exchange.bag.insert(key.into(), (value.to_vec(), true));
            true
        })
    }
}

pub(crate) mod counters {
    use super::super::current;
    use crate::counters::Taken;

    pub(crate) fn incr(key: &str, delta: i64, ttl_ms: u64) -> i64 {
        current(|process, _| process.counters.incr(key, delta, ttl_ms))
    }

    pub(crate) fn get(key: &str) -> Option<i64> {
        current(|process, _| process.counters.get(key))
    }

    pub(crate) fn take(key: &str, cost: u64, limit: u64, period_ms: u64, burst: u64) -> Taken {
        current(|process, _| process.counters.take(key, cost, limit, period_ms, burst))
    }

    pub(crate) fn charge(key: &str, cost: u64, limit: u64, period_ms: u64, _burst: u64) {
        current(|process, _| process.counters.charge(key, cost, limit, period_ms));
    }
}
