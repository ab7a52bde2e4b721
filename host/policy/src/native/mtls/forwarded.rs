//! What a trusted proxy tells of its client's certificate.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use http::header::HeaderName;
use serde::Deserialize;

use super::xfcc;
use crate::{ClientCertificate, Exchange};

pub(super) const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

/// How it tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Forwarded {
    ClientCert,
    XForwardedClientCert,
}

impl Forwarded {
    /// What it tells, none if it says nothing; else what is wrong with what it says.
    pub(super) fn told(self, exchange: &Exchange) -> Result<Option<ClientCertificate>, String> {
        let (name, told) = match self {
            Forwarded::ClientCert => ("Client-Cert", client_cert(exchange)),
            Forwarded::XForwardedClientCert => {
                let told = exchange.client.told_certificate.as_deref();
                ("X-Forwarded-Client-Cert", told.map(x_forwarded_client_cert).transpose())
            }
        };
        told.map_err(|wrong| format!("its proxy's `{name}` {wrong}"))
    }
}

/// A byte sequence (RFC 9440, section 2.2, and RFC 8941, section 3.3.5).
fn client_cert(exchange: &Exchange) -> Result<Option<ClientCertificate>, &'static str> {
    let mut values = exchange.request.headers().get_all(CLIENT_CERT).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("is there more than once");
    }
    let text = value.to_str().ok().map(str::trim).and_then(|text| text.strip_prefix(':')?.strip_suffix(':'));
    let der = text.and_then(|text| BASE64.decode(text).ok()).ok_or("is no `:Base64:`")?;
    ClientCertificate::read(&der).map(Some).ok_or("holds no certificate")
}

fn x_forwarded_client_cert(value: &HeaderValue) -> Result<ClientCertificate, &'static str> {
    xfcc::last(value.to_str().map_err(|_| "is no text of ASCII")?)
}
