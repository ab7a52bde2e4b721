//! `[[listener]]`

pub(crate) mod address;
mod client_auth;
mod limits;
mod redirect;
mod tls;

use std::net::SocketAddr;

use crate::Place;
use crate::scope::Unique;
use crate::section::section;
use crate::value::table;

pub use client_auth::{ClientAuth, ClientAuthMode, ForwardCertificate};
pub use limits::ListenerLimits;
pub use redirect::HttpsRedirect;
pub use tls::{Certificate, CipherSuite, Tls};

section! {
    /// `[[listener]]`: an address where the gateway accepts connections. HTTP/1.1 and HTTP/2 both.
    pub struct Listener(section, names: &Unique, addresses: &Unique) {
        /// `address` (required): an IP address and a port, like "127.0.0.1:8080" or
        /// `"[::]:443"`. Port 0 is any free one; the log says which.
        pub address: SocketAddr = section.required("address", |value| address::read(value, addresses)),

        /// `name`: what routes call it, unique. Default: the address, with a number after it where
        /// that is taken (port 0 can be used more than once).
        pub name: String = section.or("name", names.name(), String::new()), // filled in by `check`

        /// `tls`: with it the listener speaks TLS only; without it, clear text.
        pub tls: Option<Tls> = section.optional("tls", table(Tls::read)),

        /// `redirect`: every request is answered with 308 and the same host, path and query under
        /// `https://`, and meets no route. "https", or "https:8443" where the TLS listener is reached at
        /// another port than 443. Not together with `tls`.
        pub redirect: Option<HttpsRedirect> = redirect::read(section, tls.as_ref()),

        /// `limits`: what its clients may use up.
        pub limits: ListenerLimits = section.table("limits", ListenerLimits::read),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}
