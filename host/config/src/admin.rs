//! `[admin]`

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::Place;
use crate::listener::address;
use crate::scope::Unique;
use crate::section::{Section, section};
use crate::value::readable_file;

section! {
    /// `[admin]`: where operators, `limen status`, `limen reload`, `limen cache`, `limen key` and `limen quota` ask: `/status`,
    /// `/metrics`, `/ready`, `/live`, `/config`, `/routes`, `/upstreams`, `/plugins`, `/caches`, `/keys`, `/quotas`, `/reload`; `/` tells what each is. HTTP/1.1
    /// in clear text, on a thread of its own. A socket that systemd opened is taken by the name `admin`, or
    /// by its address. Without the section there is none, and nothing is measured. Only in the main file.
    pub struct Admin(section, addresses: &Unique) {
        /// `address`: an IP address and a port. Default "127.0.0.1:9901". One that other machines can
        /// reach needs a `token_file`.
        pub address: SocketAddr =
            section.or("address", |value| address::read(value, addresses), SocketAddr::from((Ipv4Addr::LOCALHOST, 9901))),

        /// `token_file`: a file with a secret of 16 bytes at least. Every request but those for `/ready`
        /// and `/live` then needs it, as `Authorization: Bearer SECRET`. Read again at a reload. Default:
        /// none.
        pub token_file: Option<PathBuf> = token_file(section, address),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

fn token_file(section: &Section<'_>, address: Option<SocketAddr>) -> Option<Option<PathBuf>> {
    let file = section.optional("token_file", readable_file)?;
    match address {
        Some(address) if file.is_none() && !address.ip().is_loopback() => section.fail(
            &format!("other machines can reach the admin listener at {address}"),
            "an address of this machine alone, like \"127.0.0.1:9901\", or a `token_file`",
        ),
        _ => Some(file),
    }
}
