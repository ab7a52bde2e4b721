//! `client_auth` of a TLS listener

use std::path::PathBuf;

use crate::Place;
use crate::section::section;
use crate::value::{choice, list, readable_file};

section! {
    /// `client_auth = { ca = "clients.pem", mode = "optional" }`: who may connect.
    pub struct ClientAuth(section) {
        /// `ca` (required): a PEM file with the authorities that clients' certificates must lead to.
        pub ca: PathBuf = section.required("ca", readable_file),

        /// `mode`: "required" (default), a client without a certificate is refused in the handshake;
        /// "optional", it may come without one. One that can't be verified is refused in any case.
        pub mode: ClientAuthMode = section.or("mode", choice(ClientAuthMode::CHOICES), ClientAuthMode::Required),

        /// `crl`: files with lists of revoked certificates, in PEM. Where there are any, each authority
        /// on the way to a client's certificate needs one: a certificate of which no list speaks is
        /// refused. Default: nothing is looked up.
        pub crl: Vec<PathBuf> = section.or("crl", list(readable_file), Vec::new()),

        /// `forward`: whether upstreams are told, by `X-Forwarded-Client-Cert` in Envoy's format (`Hash`,
        /// `Subject`, `URI`, `DNS`). "off" (default); "set", in place of what the client sent; "append",
        /// after what a client with a verified certificate sent. In all other cases what a client sends in
        /// that header goes no further, on every listener.
        pub forward: ForwardCertificate =
            section.or("forward", choice(ForwardCertificate::CHOICES), ForwardCertificate::Off),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

/// Whether clients may come without a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthMode {
    Required,
    Optional,
}

impl ClientAuthMode {
    const CHOICES: &[(&str, ClientAuthMode)] =
        &[("required", ClientAuthMode::Required), ("optional", ClientAuthMode::Optional)];
}

/// What upstreams are told of the client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardCertificate {
    Off,
    Set,
    Append,
}

impl ForwardCertificate {
    const CHOICES: &[(&str, ForwardCertificate)] = &[
        ("off", ForwardCertificate::Off),
        ("set", ForwardCertificate::Set),
        ("append", ForwardCertificate::Append),
    ];
}
