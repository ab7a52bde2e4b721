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
//! others these headers are dropped, and the certificate of the connection is the one that counts. A trusted
//! proxy that tells none speaks for a client without one, whatever certificate it has itself. `client.subject` and
//! `client.fingerprint` in expressions are those of the connection.
//!
//! Of `X-Forwarded-Client-Cert` the last element counts, which is the nearest proxy's. Let Envoy send `cert` (`subject` may
//! be there as well) and neither `uri` nor `dns`: `set_current_client_cert_details: { cert: true }`. All that is asked is
//! read from `Cert` then. Envoy does not quote URIs and DNS names: one with `,` or `;` in it would speak for another
//! certificate. Beside `Cert` such a certificate is refused; without it nobody can tell, so send them only where the CA
//! signs no such names. Without `Cert`, `Hash`, `Subject`, `URI` and `DNS` count as they are written, an issuer and
//! addresses are unknown and fit nothing, and how a subject is spelled is the proxy's matter: Envoy's is as here but for
//! rare attributes. An element that is malformed, has a second `Cert`, `Hash` or `Subject`, says nothing of a certificate
//! or has a value without quotes that needs them is refused. What upstreams get of this header is the listener's
//! matter (`forward` of its `client_auth`), whatever a proxy has sent.

mod forwarded;
mod xfcc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::denial::Denial;
use super::settings::{Name, SettingsError, check_edit, read};
use super::{Built, Materials};
use crate::{
    Answer, ClientCertificate, Consumer, Exchange, HeaderEdit, Phase, Phases, Policy, Seat, Side, Verdict,
};
use forwarded::Forwarded;

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
    /// `"client-cert"` (RFC 9440; `Client-Cert-Chain` beside it is not looked at) or `"x-forwarded-client-cert"`
    /// (Envoy). Default: none, only that of the connection counts.
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
        let told = self.0.forwarded.filter(|_| exchange.client.is_proxied);
        let told = told.map(|header| header.told(exchange)).transpose();
        let told = told.map_err(|why| Denial::forbidden("The certificate can't be read.", why))?;
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
            let whose =
                [&certificate.subject, &certificate.fingerprint].into_iter().find(|it| !it.is_empty());
            let why = format!("the certificate of `{}` {why}", whose.map_or("somebody", String::as_str));
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
            Naming::Subject => Some(certificate.subject.clone()).filter(|it| !it.is_empty()),
            Naming::Cn => common_name(&certificate.subject).map(str::to_owned),
            Naming::Dns => fitting(&certificate.dns_names, |allowed| &allowed.dns),
            Naming::Uri => fitting(&certificate.uris, |allowed| &allowed.uri),
            Naming::Email => fitting(&certificate.emails, |allowed| &allowed.email),
            Naming::Fingerprint => Some(certificate.fingerprint.clone()).filter(|it| !it.is_empty()),
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
            && (is(&self.issuer, &certificate.issuer)
                && (self.issuer.is_none() || !certificate.issuer.is_empty()))
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
mod tests;
