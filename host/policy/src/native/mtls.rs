//! `mtls`: lets requests pass by the certificate that their client has shown, and names the consumer by it.
//!
//! ```toml
//! [[route]]
//! path     = "/orders/**"
//! upstream = "orders"
//!
//! [[route.policies]]
//! use = "mtls"
//! with.consumer = "uri"
//! with.allow = [
//!     { uri = "spiffe://example.com/ns/shop/*" },
//!     { dns = "batch.example.com", issuer = "CN=internal,O=Example", consumer = "batch" },
//! ]
//! ```
//!
//! Certificates are asked for and verified by the listener (`client_auth` of its `tls`): this policy sees none that
//! was not. HTTP has no challenge that asks for a certificate, so that a request without one gets 403 as well as
//! one whose certificate may not pass; the log tells them apart.
//!
//! Where a proxy in front speaks TLS with clients, `forwarded` says in which header it tells their certificates: it
//! counts from peers in `[gateway] trusted_proxies`, which have to take away what clients send under that name. From all
//! others `Client-Cert` is dropped, and the certificate of the connection is the one that counts. A trusted
//! proxy that tells none speaks for a client without one, whatever certificate it has itself. `client.subject` and
//! `client.fingerprint` in expressions are those of the connection.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::StatusCode;
use http::header::HeaderName;
use serde::Deserialize;
use serde_json::Value;

use super::denial::Denial;
use super::settings::{Name, SettingsError, check_edit, read};
use super::{Built, Materials};
use crate::{
    Answer, ClientCertificate, Consumer, Exchange, HeaderEdit, Phase, Phases, Policy, Seat, Side, Verdict,
};

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

/// `mtls`: whose certificates.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `allow`: who may pass: the first that fits is the one that counts. Default: whoever the listener has verified.
    #[serde(default)]
    allow: Option<Vec<Allowed>>,
    /// `consumer`: what of the certificate names the consumer: `"subject"` as a whole (RFC 4514), `"cn"`, `"dns"`,
    /// `"uri"`, `"email"` (the first of each, or the one that fitted) or `"fingerprint"`. Default `"subject"`.
    #[serde(default)]
    consumer: Naming,
    /// `header`: a header that tells the upstream the consumer; what the client sent under that name is taken
    /// away. Default: none.
    #[serde(default)]
    header: Option<Name>,
    /// `forwarded`: the header in which trusted proxies tell the certificate that they have seen and verified:
    /// `"client-cert"` (RFC 9440; `Client-Cert-Chain` beside it is not looked at). Default: none, only that of the
    /// connection counts.
    #[serde(default)]
    forwarded: Option<Forwarded>,
    /// `optional`: whether a request without a certificate passes, and then has no consumer. Default `false`.
    #[serde(default)]
    optional: bool,
}

/// One of `allow`: all that is written has to fit. A `*` stands for any text, once in each.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Allowed {
    /// `subject`: as text (RFC 4514), like `"CN=ada,O=Example"`: the most specific part first.
    subject: Option<Glob>,
    /// `issuer`: the same of who has signed it.
    issuer: Option<Glob>,
    /// `dns`: one of its names.
    dns: Option<Glob>,
    /// `uri`: one of its URIs.
    uri: Option<Glob>,
    /// `email`: one of its addresses.
    email: Option<Glob>,
    /// `fingerprint`: the SHA-256 of the certificate, in hexadecimal digits, with or without colons.
    fingerprint: Option<String>,
    /// `consumer`: what the consumer is called then.
    consumer: Option<String>,
}

/// How a proxy tells a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Forwarded {
    ClientCert,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Naming {
    #[default]
    Subject,
    Cn,
    Dns,
    Uri,
    Email,
    Fingerprint,
}

/// A text in which one `*` may stand for any.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Glob {
    start: String,
    /// What follows the `*`.
    end: Option<String>,
}

pub(super) fn build(settings: &Value, _: &Materials<'_>) -> Built {
    let mut settings: Settings = read(settings)?;
    if let Some(Name(name)) = &settings.header {
        check_edit("/header", Side::Request, HeaderEdit::Remove(name.as_str()))?;
    }
    for (number, allowed) in settings.allow.iter_mut().flatten().enumerate() {
        let at = |key: &str| format!("/allow/{number}{key}");
        if allowed.consumer.as_ref().is_some_and(|name| Consumer::new(name).is_err()) {
            return Err(SettingsError::new(&at("/consumer"), "not the name of a consumer"));
        }
        if let Some(fingerprint) = &mut allowed.fingerprint {
            fingerprint.retain(|c| c != ':');
            fingerprint.make_ascii_lowercase();
            if fingerprint.len() != 64 || !fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(SettingsError::new(
                    &at("/fingerprint"),
                    "not a SHA-256 of 64 hexadecimal digits",
                ));
            }
        }
        if allowed.says_nothing() {
            let message = "it says nothing of the certificate, and would let everybody pass";
            return Err(SettingsError::new(&at(""), message));
        }
    }
    if settings.allow.as_ref().is_some_and(Vec::is_empty) {
        return Err(SettingsError::new("/allow", "nobody could pass"));
    }
    Ok(Box::new(Mtls(settings)))
}

struct Mtls(Settings);

impl Policy for Mtls {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        if let Some(Name(name)) = &self.0.header {
            let _ = exchange.edit_header(Side::Request, HeaderEdit::Remove(name.as_str()));
        }
        match self.admit(exchange) {
            Ok(()) => Answer::Ready(Ok(Verdict::Next)),
            Err(denial) => denial.answer(exchange),
        }
    }
}

impl Mtls {
    fn admit(&self, exchange: &mut Exchange) -> Result<(), Denial> {
        let tls = exchange.client.tls.clone();
        let shown = || tls.as_ref().and_then(|tls| tls.certificate.as_ref());
        let told = match self.0.forwarded {
            Some(Forwarded::ClientCert) if exchange.client.is_proxied => Some(told(exchange)?),
            _ => None,
        };
        let Some(certificate) = told.as_ref().map_or_else(shown, Option::as_ref) else {
            if self.0.optional {
                return Ok(());
            }
            let detail = "A client certificate is needed here.";
            let why = match (&told, &tls) {
                (Some(_), _) => "its proxy tells of no certificate",
                (None, Some(_)) => "it showed no certificate",
                (None, None) => "it does not speak TLS",
            };
            return Err(Denial::new(StatusCode::FORBIDDEN, "certificate_required", detail, why));
        };
        let refuse = |why: &str| {
            let why = format!("the certificate of `{}` {why}", certificate.subject);
            Denial::forbidden("Your certificate does not allow this.", why)
        };
        let allowed = match &self.0.allow {
            None => None,
            Some(all) => {
                let fits = all.iter().find(|allowed| allowed.fits(certificate));
                Some(fits.ok_or_else(|| refuse("is not in `allow`"))?)
            }
        };
        let name =
            self.name(certificate, allowed).ok_or_else(|| refuse("has nothing to name a consumer by"))?;
        let unfit = |_| refuse("names a consumer that is too long, or has control characters");
        if let Some(Name(header)) = &self.0.header {
            exchange.edit_header(Side::Request, HeaderEdit::Set(header.as_str(), &name)).map_err(unfit)?;
        }
        exchange.introduce(Consumer::new(&name).map_err(unfit)?).map_err(unfit)
    }

    fn name(&self, certificate: &ClientCertificate, allowed: Option<&Allowed>) -> Option<String> {
        let fitting = |names: &[String], glob: fn(&Allowed) -> &Option<Glob>| {
            let glob = allowed.and_then(|allowed| glob(allowed).as_ref());
            names.iter().find(|name| glob.is_none_or(|glob| glob.fits(name))).cloned()
        };
        if let Some(name) = allowed.and_then(|allowed| allowed.consumer.as_ref()) {
            return Some(name.clone());
        }
        match self.0.consumer {
            Naming::Subject => Some(certificate.subject.clone()),
            Naming::Cn => common_name(&certificate.subject).map(str::to_owned),
            Naming::Dns => fitting(&certificate.dns_names, |allowed| &allowed.dns),
            Naming::Uri => fitting(&certificate.uris, |allowed| &allowed.uri),
            Naming::Email => fitting(&certificate.emails, |allowed| &allowed.email),
            Naming::Fingerprint => Some(certificate.fingerprint.clone()),
        }
    }
}

impl Allowed {
    fn says_nothing(&self) -> bool {
        let texts = [&self.subject, &self.issuer, &self.dns, &self.uri, &self.email];
        texts.into_iter().all(Option::is_none) && self.fingerprint.is_none()
    }

    fn fits(&self, certificate: &ClientCertificate) -> bool {
        let is = |glob: &Option<Glob>, text: &str| glob.as_ref().is_none_or(|glob| glob.fits(text));
        let one = |glob: &Option<Glob>, names: &[String]| {
            glob.as_ref().is_none_or(|glob| names.iter().any(|name| glob.fits(name)))
        };
        let in_small =
            |names: &[String]| -> Vec<_> { names.iter().map(|it| it.to_ascii_lowercase()).collect() };
        is(&self.subject, &certificate.subject)
            && is(&self.issuer, &certificate.issuer)
            && (one(&self.dns, &certificate.dns_names) || one(&self.dns, &in_small(&certificate.dns_names)))
            && one(&self.uri, &certificate.uris)
            && one(&self.email, &certificate.emails)
            && self.fingerprint.as_ref().is_none_or(|fingerprint| *fingerprint == certificate.fingerprint)
    }
}

impl Glob {
    fn fits(&self, text: &str) -> bool {
        match &self.end {
            None => text == self.start,
            Some(end) => text.strip_prefix(&*self.start).is_some_and(|rest| rest.ends_with(&**end)),
        }
    }
}

impl TryFrom<String> for Glob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once('*') {
            None if text.is_empty() => Err("an empty text".to_owned()),
            None => Ok(Glob { start: text, end: None }),
            Some((_, end)) if end.contains('*') => Err(format!("more than one `*`: `{text}`")),
            Some((start, end)) => Ok(Glob { start: start.to_owned(), end: Some(end.to_owned()) }),
        }
    }
}

/// What a trusted proxy says in `Client-Cert` (RFC 9440, section 2.2): none if there is no such header.
fn told(exchange: &Exchange) -> Result<Option<ClientCertificate>, Denial> {
    let mut values = exchange.request.headers().get_all(CLIENT_CERT).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let unfit = |why: &str| {
        Denial::forbidden("The certificate can't be read.", format!("its proxy's `Client-Cert` {why}"))
    };
    if values.next().is_some() {
        return Err(unfit("is there more than once"));
    }
    // A byte sequence (RFC 8941, section 3.3.5).
    let text = value.to_str().ok().map(str::trim).and_then(|text| text.strip_prefix(':')?.strip_suffix(':'));
    let der = text.and_then(|text| BASE64.decode(text).ok()).ok_or_else(|| unfit("is no `:Base64:`"))?;
    ClientCertificate::read(&der).map(Some).ok_or_else(|| unfit("holds no certificate"))
}

/// The most specific `CN` of a subject; none with what has to be escaped.
fn common_name(subject: &str) -> Option<&str> {
    // What follows an escaped comma does not begin a part: it is looked at all the same, so that no part of a
    // name can stand for another one, and then there is none.
    if subject.contains('\\') {
        return None;
    }
    subject.split([',', '+']).find_map(|part| part.strip_prefix("CN="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TlsFacts;
    use crate::native::plain;
    use serde_json::json;
    use std::sync::Arc;

    fn ada() -> ClientCertificate {
        ClientCertificate {
            subject: "CN=ada,O=Example".into(),
            issuer: "CN=internal".into(),
            fingerprint: "ab".repeat(32),
            dns_names: vec!["a.example.com".into(), "Ada.Clients.example.com".into()],
            uris: vec!["spiffe://example.com/ns/shop/ada".into()],
            ..ClientCertificate::default()
        }
    }

    /// The consumer, or none where the request is refused.
    fn consumer(settings: Value, certificate: ClientCertificate) -> Option<String> {
        let policy = plain(build, &settings).unwrap();
        let mut exchange = Box::<Exchange>::default();
        let certificate = Some(certificate);
        exchange.client.tls =
            Some(Arc::new(TlsFacts { version: TlsFacts::V1_3, server_name: None, certificate }));
        exchange.enter(Phase::Request, 0);
        let Answer::Ready(verdict) = policy.call(Phase::Request, &mut exchange, &mut None) else { panic!() };
        (verdict.unwrap() == Verdict::Next).then(|| exchange.consumer.unwrap().id().to_owned())
    }

    #[test]
    fn all_that_is_written_has_to_fit() {
        let allowed = |allow: Value| consumer(json!({ "allow": [allow] }), ada()).is_some();
        for allow in [
            json!({ "subject": "CN=ada,O=Example" }),
            json!({ "subject": "*,O=Example", "issuer": "CN=internal" }),
            json!({ "dns": "*.clients.example.com" }),
            json!({ "uri": "spiffe://example.com/ns/*/ada" }),
            json!({ "fingerprint": "AB:".repeat(32) }),
        ] {
            assert!(allowed(allow.clone()), "{allow}");
        }
        for allow in [
            json!({ "subject": "CN=ada" }),
            json!({ "subject": "CN=ada,O=Example", "issuer": "CN=other" }),
            json!({ "dns": "example.com" }),
            json!({ "dns": "a.example.comm" }),
            json!({ "email": "*" }),
            json!({ "fingerprint": "cd".repeat(32) }),
        ] {
            assert!(!allowed(allow.clone()), "{allow}");
        }
    }

    #[test]
    fn the_consumer_has_a_name() {
        let named = |naming: &str| consumer(json!({ "consumer": naming }), ada());
        assert_eq!(named("subject").as_deref(), Some("CN=ada,O=Example"));
        assert_eq!(named("cn").as_deref(), Some("ada"));
        assert_eq!(named("dns").as_deref(), Some("a.example.com"));
        assert_eq!(named("uri").as_deref(), Some("spiffe://example.com/ns/shop/ada"));
        assert_eq!(named("email"), None);
        let fitted = json!({ "allow": [{ "dns": "Ada.*" }], "consumer": "dns" });
        assert_eq!(consumer(fitted, ada()).as_deref(), Some("Ada.Clients.example.com"));
        let called = json!({ "allow": [{ "uri": "*", "consumer": "batch" }] });
        assert_eq!(consumer(called, ada()).as_deref(), Some("batch"));
        let sly = ClientCertificate { subject: "O=x\\,CN=root,CN=eve".into(), ..ada() };
        assert_eq!(consumer(json!({ "consumer": "cn" }), sly), None, "no part stands for another");
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_what_can_be_read() {
        let asked = |is_proxied: bool, values: &[&str], settings: Value| {
            let policy = plain(build, &settings).unwrap();
            let mut exchange = Box::<Exchange>::default();
            exchange.client.is_proxied = is_proxied;
            // The proxy's own, or the client's that speaks for itself.
            let certificate = Some(ada());
            exchange.client.tls =
                Some(Arc::new(TlsFacts { version: TlsFacts::V1_3, server_name: None, certificate }));
            for value in values {
                exchange.request.headers_mut().append(CLIENT_CERT, value.parse().unwrap());
            }
            exchange.enter(Phase::Request, 0);
            let _ = policy.call(Phase::Request, &mut exchange, &mut None);
            match &exchange.reply {
                None => Ok(exchange.consumer.map(|consumer| consumer.id().to_owned())),
                Some(reply) => Err(reply.denied.as_ref().unwrap().why.clone()),
            }
        };
        let settings = || json!({ "forwarded": "client-cert", "consumer": "cn", "optional": true });
        assert_eq!(asked(false, &[":bm9uZQ==:"], settings()), Ok(Some("ada".into())));
        assert_eq!(asked(true, &[], settings()), Ok(None), "it speaks for others, not for itself");
        assert_eq!(asked(true, &[":bm9uZQ==:"], json!({ "consumer": "cn" })), Ok(Some("ada".into())));
        for (values, why) in [
            (&[":bm9uZQ==:"][..], "holds no certificate"),
            (&[""], "is no `:Base64:`"),
            (&["bm9uZQ=="], "is no `:Base64:`"),
            (&[":bm9uZQ==:, :bm9uZQ==:"], "is no `:Base64:`"),
            (&[":bm9uZQ==:", ":bm9uZQ==:"], "more than once"),
        ] {
            let refused = asked(true, values, settings()).unwrap_err();
            assert!(refused.contains(why), "{values:?}: {refused}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        let mistake = |settings: Value| plain(build, &settings).map(|_| ()).unwrap_err();
        for (settings, pointer, message) in [
            (json!({ "allow": [] }), "/allow", "nobody could pass"),
            (json!({ "allow": [{ "consumer": "x" }] }), "/allow/0", "says nothing"),
            (json!({ "allow": [{ "dns": "*.*" }] }), "/allow/0/dns", "more than one"),
            (json!({ "allow": [{ "fingerprint": "ab" }] }), "/allow/0/fingerprint", "not a SHA-256"),
            (json!({ "consumer": "name" }), "/consumer", "unknown variant"),
        ] {
            let wrong = mistake(settings);
            assert_eq!(wrong.pointer, pointer);
            assert!(wrong.message.contains(message), "{}", wrong.message);
        }
    }
}
