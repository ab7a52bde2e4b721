//! `[[listener]]`

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::Place;
use crate::scope::Unique;
use crate::section::section;
use crate::value::{Value, readable_file, some, table};

section! {
    /// `[[listener]]`: an address where the gateway accepts connections. HTTP/1.1 and HTTP/2 both.
    pub struct Listener(section, names: &Unique, addresses: &Unique) {
        /// `address` (required): an IP address and a port, like "127.0.0.1:8080" or
        /// `"[::]:443"`. Port 0 is any free one; the log says which.
        pub address: SocketAddr = section.required("address", |value| address(value, addresses)),

        /// `name`: what routes call it, unique. Default: the address, with a number after it where
        /// that is taken (port 0 can be used more than once).
        pub name: String = section.or("name", names.name(), String::new()), // filled in by `check`

        /// `tls`: with it the listener speaks TLS only; without it, clear text.
        pub tls: Option<Tls> = section.optional("tls", table(Tls::read)),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

section! {
    /// `[listener.tls]`
    pub struct Tls(section) {
        /// `certificates` (required): at least one.
        pub certificates: Vec<Certificate> = section.required("certificates", some(table(Certificate::read))),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

section! {
    /// One of `certificates`: `{ cert = "api.pem", key = "api.key" }`. Paths are relative to the
    /// file that names them; both files must be readable.
    pub struct Certificate(section) {
        /// `cert` (required): a PEM file with the certificate and those that lead to its root.
        pub cert: PathBuf = section.required("cert", readable_file),

        /// `key` (required): a PEM file with the private key.
        pub key: PathBuf = section.required("key", readable_file),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

fn address(value: &Value<'_>, taken: &Unique) -> Option<SocketAddr> {
    const EXPECTED: &str = "an IP address and a port, like \"127.0.0.1:8080\" or \"[::]:443\"";
    let text = value.text(EXPECTED)?;
    if let Ok(address) = text.parse::<SocketAddr>() {
        if address.port() != 0 {
            taken.claim(address.to_string(), value)?;
        }
        return Some(address);
    }
    let error = value.error(format!("not an address: `{text}`")).expected(EXPECTED);
    let hint = match text.rsplit_once(':') {
        Some(("", port)) => Some(format!("for every address of the machine, write \"0.0.0.0:{port}\"")),
        Some(("localhost", port)) => Some(format!("did you mean \"127.0.0.1:{port}\"?")),
        Some(("*", port)) => Some(format!("did you mean \"0.0.0.0:{port}\"?")),
        _ if text.contains("://") => Some("leave out what stands before `://`".to_owned()),
        _ if text.parse::<std::net::Ipv4Addr>().is_ok() => Some(format!("with a port: \"{text}:8080\"")),
        _ if text.parse::<std::net::Ipv6Addr>().is_ok() => Some(format!("with a port: \"[{text}]:8080\"")),
        _ => None,
    };
    value.fail(error.maybe_hint(hint))
}
