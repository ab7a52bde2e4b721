//! `[upstream.NAME.tls]`

use std::path::PathBuf;

use crate::Place;
use crate::TlsVersion;
use crate::host::host_name;
use crate::section::{Section, section};
use crate::value::{Value, boolean, choice, readable_file};

section! {
    /// `[upstream.NAME.tls]`: how `https` endpoints are spoken to. Without it, their certificates must
    /// lead to a root that this system trusts, and be for the host in the endpoint's address. The files
    /// are read again when they change; connections that stand keep what they were made with.
    pub struct UpstreamTls(section) {
        /// `roots`: a PEM file with the certificates that are trusted, instead of the system's.
        pub roots: Option<PathBuf> = section.optional("roots", readable_file),

        /// `server_name`: the name that is asked for (SNI) and that certificates must be for.
        /// Default: the host in the endpoint's address. (An IP address is not sent as SNI.)
        pub server_name: Option<String> = section.optional("server_name", server_name),

        /// `cert`: a PEM file with the certificate that the gateway shows when it is asked for one,
        /// and those that lead to its root. Together with `key`.
        pub cert: Option<PathBuf> = section.optional("cert", readable_file),

        /// `key`: a PEM file with the private key of `cert`.
        pub key: Option<PathBuf> = key(section, cert.as_ref()),

        /// `min_version`: "1.2" or "1.3". Default "1.2".
        pub min_version: TlsVersion = section.or("min_version", choice(TlsVersion::CHOICES), TlsVersion::Tls12),

        /// `danger_accept_any_certificate`: true takes whoever answers for the endpoint. The traffic
        /// is then open to anyone on its way, and the log says so at each start. Default false.
        pub verify: Verify = section.or("danger_accept_any_certificate", verify, Verify::Certificate),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

/// What an endpoint has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// A certificate for its name that leads to a trusted root.
    Certificate,
    /// Any certificate at all.
    Nothing,
}

fn verify(value: &Value<'_>) -> Option<Verify> {
    Some(if boolean(value)? { Verify::Nothing } else { Verify::Certificate })
}

fn server_name(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "a host name or an IP address, like \"users.internal\"";
    let text = value.text(EXPECTED)?;
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Some(text);
    }
    match host_name(&text) {
        Some(name) => Some(name),
        None => value.fail(value.error(format!("not a server name: `{text}`")).expected(EXPECTED)),
    }
}

/// A certificate needs its key, and a key its certificate.
#[allow(clippy::option_option, reason = "a mistake, or what may be left out")]
fn key(section: &Section<'_>, cert: Option<&Option<PathBuf>>) -> Option<Option<PathBuf>> {
    let key = section.optional("key", readable_file)?;
    match (cert?, &key) {
        (Some(_), None) => {
            section.fail("`cert` without its `key`", "both of the client certificate, or neither")
        }
        (None, Some(_)) => {
            section.fail("`key` without its `cert`", "both of the client certificate, or neither")
        }
        _ => Some(key),
    }
}
