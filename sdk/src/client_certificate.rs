//! The certificate that the client showed in the TLS handshake, verified by the gateway. Each function
//! costs one crossing; without a certificate they answer `None` or nothing.

use crate::host::client_certificate as host;

/// The subject as text (RFC 4514), like `CN=Ada,O=Engines\, Ltd.`; what is not ASCII is escaped.
pub fn subject() -> Option<String> {
    host::subject()
}

/// Who signed it, in the same form.
pub fn issuer() -> Option<String> {
    host::issuer()
}

/// The serial number, in lower-case hexadecimal digits.
pub fn serial() -> Option<String> {
    host::serial()
}

/// The SHA-256 of the certificate, in lower-case hexadecimal digits.
pub fn fingerprint() -> Option<String> {
    host::fingerprint()
}

/// The names of hosts that it is for.
pub fn dns_names() -> Vec<String> {
    host::dns_names()
}

/// Its URIs, like `spiffe://example.com/ada`.
pub fn uris() -> Vec<String> {
    host::uris()
}

/// Its e-mail addresses.
pub fn emails() -> Vec<String> {
    host::emails()
}

/// Its IP addresses in their usual form.
pub fn addresses() -> Vec<String> {
    host::addresses()
}
