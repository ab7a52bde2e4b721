//! From a client's first byte to its request: TLS, limits, and who breaks them.

mod certificates;
mod clients;
mod floods;
mod limits;
mod memory;
mod redirect;
mod sessions;
mod slow;

use limen_tests::{Origin, Pair};

/// A gateway's config: a listener with these further keys, and a route for everything.
fn config(origin: &Origin, listener: &str) -> String {
    format!(
        r#"
        [[listener]]
        name    = "it"
        address = "127.0.0.1:0"
        {listener}

        [upstream.origin]
        endpoints = ["{origin}"]

        [[route]]
        upstream = "origin"
        "#
    )
}

/// One of `certificates`, with further keys.
fn entry(pair: &Pair, keys: &str) -> String {
    format!("{{ cert = {:?}, key = {:?}{keys} }}", pair.cert, pair.key)
}

/// `tls` of a listener.
fn tls(certificates: &[String], keys: &str) -> String {
    format!("[listener.tls]\ncertificates = [{}]\n{keys}", certificates.join(", "))
}
