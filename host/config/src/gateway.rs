//! `[gateway]`

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::PublicKey;
use crate::code_cache::CodeCache;
use crate::forwarded::{self, Forwarded};
use crate::network::network;
use crate::plugin_folder;
use crate::request_id::RequestIds;
use crate::resolver::Resolver;
use crate::section::section;
use crate::signature::public_key;
use crate::target::PathRules;
use crate::value::{Value, duration, integer, list, path, table};

section! {
    /// `[gateway]`: the process as a whole. Only in the main file.
    #[derive(PartialEq, Eq)]
    pub struct Gateway(section) {
        /// `workers`: how many threads serve, each with its own connections and isolates. 1 to
        /// 1024; left out, one per core.
        pub workers: Option<usize> = section.optional("workers", integer(1..=1024)),

        /// `drain`: how long requests in flight may go on after the gateway was told to stop, and those of
        /// a listener after it was removed. Their answers carry `Connection: close`, HTTP/2 connections a
        /// GOAWAY; idle ones are closed; what is open after that is cut off, upgraded connections too.
        /// 0s to 1h; default 30s.
        pub drain: Duration = section.or("drain", duration(DRAIN), Duration::from_secs(30)),

        /// `drain_delay`: how long the gateway, told to stop, still takes connections before it drains. It
        /// says at once that it is no longer ready (`/ready` of the admin listener), and a balancer in
        /// front needs a moment to see that. 0s to 1h; default 0s.
        pub drain_delay: Duration = section.or("drain_delay", duration(DRAIN), Duration::ZERO),

        /// `takeover`: the path of a Unix socket where this process waits for the next one. A `limen run`
        /// that finds somebody there takes the listening sockets over, and the old process drains once
        /// the new one serves: an upgrade without a lost connection. If the new one fails to start, the
        /// old one serves on. The folder must be writable to nobody else; it is made if it is not
        /// there. SIGUSR2 starts the next process. Set at start; at most 90 bytes. Default: none.
        pub takeover: Option<PathBuf> = section.optional("takeover", socket_path),

        /// `trusted_proxies`: networks and addresses of the proxies before the gateway, whose word on
        /// the client counts. For a connection from one of them, the client is the right-most address in
        /// `X-Forwarded-For` (`Forwarded`, where `forwarded` names only that) that is none of them, and
        /// what the gateway says by `forwarded` is added to what is there. From all others
        /// `Forwarded`, `X-Forwarded-*`, `X-Real-IP`, `Client-Cert` and `Client-Cert-Chain` are dropped. Default: none is trusted.
        pub trusted_proxies: Vec<IpNet> = section.or("trusted_proxies", list(network), Vec::new()),

        /// `forwarded`: the headers by which upstreams learn whom they are asked for: "x-forwarded"
        /// (`X-Forwarded-For`, `-Proto`, `-Host`, `-Port`), "x-real-ip", "forwarded" (RFC 7239), "via"
        /// (RFC 9110, section 7.6.3; also on responses; a request that has been here eight times before is
        /// answered with 508). Default ["x-forwarded", "via"]. Some origins compress nothing for a
        /// request with `Via`: then leave it out.
        pub forwarded: Vec<Forwarded> =
            section.or("forwarded", forwarded::kinds, vec![Forwarded::XForwarded, Forwarded::Via]),

        /// `request_id`: names exchanges for the upstream and the client. Default: left out.
        pub request_id: Option<RequestIds> = section.optional("request_id", table(RequestIds::read)),

        /// `path`: how the paths of requests are spelt.
        pub path: PathRules = section.table("path", PathRules::read),

        /// `plugin_folder`: the path of a folder in which each `NAME.wasm` is the component of a plugin NAME; it
        /// needs no `[plugin.NAME]` if the defaults are right for it. The folder is watched: a file that
        /// is added, replaced or removed is a change of the configuration like any other. A file is taken
        /// when nobody has written to it for a quarter of a second; links are followed; hidden files are
        /// passed over. What else is there is left out, and the log says so, as is a component that can't
        /// be used while nothing in the configuration names it. Default: none.
        pub plugin_folder: Option<PathBuf> = section.optional("plugin_folder", plugin_folder::path),

        /// `trust`: public keys of minisign. With them, no component is used that is not signed by the holder
        /// of one: its signature stands beside it, `region.wasm.minisig` for `region.wasm`
        /// (`minisign -Sm region.wasm`), in an OCI manifest as a layer (see `component`). Default: signatures
        /// are not asked for.
        pub trust: Vec<PublicKey> = section.or("trust", list(public_key), Vec::new()),

        /// `code_cache`: where compiled components are kept.
        pub code_cache: CodeCache = section.table("code_cache", CodeCache::read),

        /// `resolver`: how host names of endpoints become addresses.
        pub resolver: Resolver = section.table("resolver", Resolver::read),
    }
}

/// The system takes 107 bytes, and a new socket is made beside the old one.
const LONGEST: usize = 90;

fn socket_path(value: &Value<'_>) -> Option<PathBuf> {
    const EXPECTED: &str = "the path of a Unix socket, at most 90 bytes";
    let path = path(value, EXPECTED)?;
    if path.as_os_str().len() > LONGEST {
        return value.fail(value.error("too long a path").expected(EXPECTED));
    }
    Some(path)
}

const DRAIN: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);
