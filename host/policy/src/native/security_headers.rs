//! `security-headers`: tells browsers to be careful with the responses of a route.
//!
//! ```toml
//! policies = ["security-headers", { use = "security-headers", with = { frame_options = false } }]
//! ```
//!
//! Without settings a response gets `X-Content-Type-Options: nosniff`, `X-Frame-Options: DENY`,
//! `Referrer-Policy: no-referrer` and, to clients that came by TLS, `Strict-Transport-Security`; and loses
//! `Server` and `X-Powered-By`. (After the REST Security Cheat Sheet of OWASP.) What the upstream set itself
//! stays, unless `replace = true`.

use http::header::{self, HeaderName};
use serde::Deserialize;
use serde_json::Value;

use super::settings::{Name, SettingsError, check_edit, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, HeaderEdit, Phase, Phases, Policy, Seat, Side, Verdict};

/// `security-headers`: what browsers are told.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// `hsts`: `Strict-Transport-Security` (RFC 6797), to clients that came by TLS; `false`: none.
    /// Default `"max-age=31536000; includeSubDomains"`.
    hsts: Choice,
    /// `content_type_options`: `X-Content-Type-Options`; `false`: none. Default `"nosniff"`.
    content_type_options: Choice,
    /// `frame_options`: `X-Frame-Options` (RFC 7034); `false`: none. Default `"DENY"`.
    frame_options: Choice,
    /// `referrer_policy`: `Referrer-Policy`; `false`: none. Default `"no-referrer"`.
    referrer_policy: Choice,
    /// `content_security_policy`: `Content-Security-Policy`. Default: none.
    content_security_policy: Choice,
    /// `permissions_policy`: `Permissions-Policy`. Default: none.
    permissions_policy: Choice,
    /// `cross_origin_opener_policy`: `Cross-Origin-Opener-Policy`. Default: none.
    cross_origin_opener_policy: Choice,
    /// `cross_origin_resource_policy`: `Cross-Origin-Resource-Policy`. Default: none.
    cross_origin_resource_policy: Choice,
    /// `remove`: response headers to take away. Default `["server", "x-powered-by"]`.
    remove: Vec<Name>,
    /// `replace`: whether these take the place of what the upstream says. Default `false`.
    replace: bool,
}

/// A header's value, or `false`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Choice {
    Value(String),
    Off(bool),
}

impl Default for Settings {
    fn default() -> Self {
        let value = |text: &str| Choice::Value(text.to_owned());
        Settings {
            hsts: value("max-age=31536000; includeSubDomains"),
            content_type_options: value("nosniff"),
            frame_options: value("DENY"),
            referrer_policy: value("no-referrer"),
            content_security_policy: Choice::Off(false),
            permissions_policy: Choice::Off(false),
            cross_origin_opener_policy: Choice::Off(false),
            cross_origin_resource_policy: Choice::Off(false),
            remove: vec![Name(header::SERVER), Name(HeaderName::from_static("x-powered-by"))],
            replace: false,
        }
    }
}

pub(super) fn build(settings: &Value, _: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    let always = [
        ("content_type_options", header::X_CONTENT_TYPE_OPTIONS, &settings.content_type_options),
        ("frame_options", header::X_FRAME_OPTIONS, &settings.frame_options),
        ("referrer_policy", header::REFERRER_POLICY, &settings.referrer_policy),
        ("content_security_policy", header::CONTENT_SECURITY_POLICY, &settings.content_security_policy),
        ("permissions_policy", HeaderName::from_static("permissions-policy"), &settings.permissions_policy),
        (
            "cross_origin_opener_policy",
            HeaderName::from_static("cross-origin-opener-policy"),
            &settings.cross_origin_opener_policy,
        ),
        (
            "cross_origin_resource_policy",
            HeaderName::from_static("cross-origin-resource-policy"),
            &settings.cross_origin_resource_policy,
        ),
    ];
    let mut set = Vec::new();
    for (key, name, choice) in always {
        if let Some(value) = chosen(key, &name, choice)? {
            set.push((name, value));
        }
    }
    let hsts = chosen("hsts", &header::STRICT_TRANSPORT_SECURITY, &settings.hsts)?;
    for (at, Name(name)) in settings.remove.iter().enumerate() {
        check_edit(&format!("/remove/{at}"), Side::Response, HeaderEdit::Remove(name.as_str()))?;
    }
    Ok(Box::new(SecurityHeaders { hsts, set, remove: settings.remove, replace: settings.replace }))
}

fn chosen(key: &str, name: &HeaderName, choice: &Choice) -> Result<Option<String>, SettingsError> {
    let pointer = format!("/{key}");
    match choice {
        Choice::Value(value) => {
            check_edit(&pointer, Side::Response, HeaderEdit::Set(name.as_str(), value))?;
            Ok(Some(value.clone()))
        }
        Choice::Off(false) => Ok(None),
        Choice::Off(true) => {
            Err(SettingsError::new(&pointer, "expected the header's value, or `false` for none"))
        }
    }
}

struct SecurityHeaders {
    hsts: Option<String>,
    set: Vec<(HeaderName, String)>,
    remove: Vec<Name>,
    replace: bool,
}

impl Policy for SecurityHeaders {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Response)
    }

    fn looks_back(&self) -> bool {
        false
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        // What can be set and removed was tried when the configuration was loaded.
        for Name(name) in &self.remove {
            let _ = exchange.edit_header(Side::Response, HeaderEdit::Remove(name.as_str()));
        }
        // Over plain HTTP it must not be said (RFC 6797, section 7.2).
        let hsts = self.hsts.as_ref().filter(|_| exchange.client.tls.is_some());
        let hsts = hsts.map(|value| (&header::STRICT_TRANSPORT_SECURITY, value));
        for (name, value) in self.set.iter().map(|(name, value)| (name, value)).chain(hsts) {
            if self.replace || !exchange.response.headers().contains_key(name) {
                let _ = exchange.edit_header(Side::Response, HeaderEdit::Set(name.as_str(), value));
            }
        }
        Answer::Ready(Ok(Verdict::Next))
    }
}
