//! Who asks, and what the upstream is told of it: `X-Forwarded-*`, `X-Real-IP`, `Forwarded` (RFC 7239)
//! and `Via`.

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, Version};
use ipnet::IpNet;
use limen_config::{Forwarded, Gateway};
use limen_policy::Client;

use super::Traits;
use crate::refusal::Fault;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What `Via` calls a gateway.
const PSEUDONYM: &str = "limen";
/// A request that has been here this often goes round in circles: gateways in a row are fewer.
const LOOPS: usize = 8;

/// Whose word on the client counts, and what upstreams are told. Made when the configuration is loaded.
pub struct Forwarding {
    trusted: Vec<IpNet>,
    made: Vec<Forwarded>,
}

/// The two ends of a client's connection, as headers name them. Each is written once for all requests.
pub struct Ends {
    peer: IpAddr,
    port: u16,
    tls: bool,
    address: OnceCell<HeaderValue>,
    port_text: OnceCell<HeaderValue>,
    element: OnceCell<String>,
}

impl Forwarding {
    pub fn new(gateway: &Gateway) -> Self {
        Forwarding { trusted: gateway.trusted_proxies.clone(), made: gateway.forwarded.clone() }
    }

    /// Finds out which client the peer speaks for, most often itself. What others than trusted proxies claim is
    /// dropped, and what upstreams are to be told is put in.
    pub fn settle(
        &self,
        head: &mut Request<()>,
        traits: &Traits,
        client: &mut Client,
        ends: &Ends,
    ) -> Result<(), Fault> {
        let peer = client.peer;
        let trusted = self.trusts(peer.ip());
        client.is_proxied = trusted;
        client.address = if trusted { self.client(head.headers(), peer) } else { peer };
        if traits.claims && !trusted {
            drop_claims(head.headers_mut());
        }
        if traits.via && passages(head.headers()) >= LOOPS {
            return Err(Fault::loop_detected());
        }
        let version = head.version();
        let headers = head.headers_mut();
        for kind in &self.made {
            match kind {
                Forwarded::XForwarded => x_forwarded(headers, ends, trusted),
                Forwarded::XRealIp => {
                    let address =
                        if client.address == peer { ends.address() } else { text(client.address.ip()) };
                    headers.insert(X_REAL_IP, address);
                }
                Forwarded::Forwarded => forwarded(headers, ends, trusted),
                Forwarded::Via => drop(headers.append(header::VIA, via(version))),
            }
        }
        Ok(())
    }

    /// Says on a response from an upstream that it came by here.
    pub fn answer(&self, head: &mut Response<()>) {
        if self.says_via() {
            let via = via(head.version());
            head.headers_mut().append(header::VIA, via);
        }
    }

    /// Whether requests say that they came by here.
    pub fn says_via(&self) -> bool {
        self.made.contains(&Forwarded::Via)
    }

    pub fn trusts(&self, address: IpAddr) -> bool {
        // An IPv4 client of an IPv6 socket is still one of IPv4.
        !self.trusted.is_empty() && {
            let address = address.to_canonical();
            self.trusted.iter().any(|network| network.contains(&address))
        }
    }

    /// The nearest hop that is not trusted, as the trusted ones tell it; where all are, the farthest.
    fn client(&self, headers: &HeaderMap, peer: SocketAddr) -> SocketAddr {
        let only_forwarded =
            self.made.contains(&Forwarded::Forwarded) && !self.made.contains(&Forwarded::XForwarded);
        let (name, read): (HeaderName, fn(&str) -> Option<SocketAddr>) =
            if only_forwarded { (header::FORWARDED, element) } else { (X_FORWARDED_FOR, node) };
        let mut client = peer;
        for line in headers.get_all(name).iter().rev() {
            for hop in line.to_str().unwrap_or_default().rsplit(',') {
                // What is before something unreadable nobody vouches for.
                let Some(address) = read(hop.trim()) else { return client };
                client = address;
                if !self.trusts(client.ip()) {
                    return client;
                }
            }
        }
        client
    }
}

impl Ends {
    /// Of the address that asks, and the port that is asked.
    pub fn new(peer: SocketAddr, port: u16, tls: bool) -> Self {
        let peer = peer.ip().to_canonical();
        let (address, port_text, element) = Default::default();
        Ends { peer, port, tls, address, port_text, element }
    }

    fn address(&self) -> HeaderValue {
        self.address.get_or_init(|| text(self.peer)).clone()
    }

    fn port(&self) -> HeaderValue {
        self.port_text.get_or_init(|| HeaderValue::from(self.port)).clone()
    }

    fn proto(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// Of `Forwarded`, but for the host.
    fn element(&self) -> &str {
        self.element.get_or_init(|| match self.peer {
            IpAddr::V4(peer) => format!("for={peer};proto={}", self.proto()),
            IpAddr::V6(peer) => format!("for=\"[{peer}]\";proto={}", self.proto()),
        })
    }
}

/// Whether a header says something about the client that only a trusted proxy may say. (An origin may
/// read `X_Forwarded_For` as the same, as CGI does. `X-Forwarded-Client-Cert` is the listener's matter.)
pub fn is_claim(name: &HeaderName) -> bool {
    if *name == header::FORWARDED {
        return true;
    }
    let name = name.as_str().as_bytes();
    let like = |prefix: &[u8]| {
        let start = name.get(..prefix.len()).unwrap_or_default();
        start.len() == prefix.len()
            && start.iter().zip(prefix).all(|(&byte, &of)| byte == of || (byte == b'_' && of == b'-'))
    };
    match name.first() {
        Some(b'x') => {
            (like(b"x-forwarded-") && name != b"x-forwarded-client-cert")
                || (like(b"x-real-ip") && name.len() == 9)
        }
        // RFC 9440, section 4.
        Some(b'c') => {
            (like(b"client-cert") && name.len() == 11) || (like(b"client-cert-chain") && name.len() == 17)
        }
        _ => false,
    }
}

fn drop_claims(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

fn x_forwarded(headers: &mut HeaderMap, ends: &Ends, trusted: bool) {
    let host = headers.get(header::HOST).cloned();
    if !trusted {
        // Nothing of it is there any more.
        headers.insert(X_FORWARDED_FOR, ends.address());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(ends.proto()));
        headers.insert(X_FORWARDED_PORT, ends.port());
        if let Some(host) = host {
            headers.insert(X_FORWARDED_HOST, host);
        }
        return;
    }
    add_to_list(headers, X_FORWARDED_FOR, ends.address());
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(ends.proto()));
    headers.entry(X_FORWARDED_PORT).or_insert_with(|| ends.port());
    if let Some(host) = host {
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
}

fn forwarded(headers: &mut HeaderMap, ends: &Ends, trusted: bool) {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let element = match host {
        "" => HeaderValue::try_from(ends.element()),
        // A settled host has no quotes and no backslashes.
        host => HeaderValue::try_from(format!("{};host=\"{host}\"", ends.element())),
    };
    match element {
        Ok(element) if trusted => add_to_list(headers, header::FORWARDED, element),
        Ok(element) => drop(headers.insert(header::FORWARDED, element)),
        Err(_) => {}
    }
}

/// One line of all, since many read only the first.
fn add_to_list(headers: &mut HeaderMap, name: HeaderName, last: HeaderValue) {
    let mut line: Vec<u8> = Vec::new();
    for value in headers.get_all(&name) {
        line.extend_from_slice(value.as_bytes());
        line.extend_from_slice(b", ");
    }
    line.extend_from_slice(last.as_bytes());
    headers.insert(name, HeaderValue::from_bytes(&line).unwrap_or(last));
}

fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_2 => "2 limen",
        Version::HTTP_10 => "1.0 limen",
        _ => "1.1 limen",
    })
}

/// How often gateways of this kind say they have passed it on.
fn passages(headers: &HeaderMap) -> usize {
    let values = headers.get_all(header::VIA).iter().filter_map(|value| value.to_str().ok());
    let by = |entry: &str| entry.split_ascii_whitespace().nth(1) == Some(PSEUDONYM);
    values.flat_map(|value| value.split(',')).filter(|entry| by(entry)).count()
}

fn text(address: IpAddr) -> HeaderValue {
    HeaderValue::try_from(address.to_canonical().to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn node(text: &str) -> Option<SocketAddr> {
    let alone = |address: IpAddr| SocketAddr::new(address, 0);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map(alone).or_else(|_| text.parse()).ok()
}

/// The `for` of one element of `Forwarded`, quoted or not.
fn element(text: &str) -> Option<SocketAddr> {
    let mut pairs = text.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    node(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarding(made: &[Forwarded], trusted: &[&str]) -> Forwarding {
        let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Forwarding { trusted, made: made.to_vec() }
    }

    /// What a request with these headers becomes, and who has asked.
    fn settled(forwarding: &Forwarding, peer: &str, headers: &[(&str, &str)]) -> (HeaderMap, String) {
        let mut head = Request::new(());
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            head.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        let peer: SocketAddr = peer.parse().unwrap();
        let traits = Traits::of(&head);
        let mut client = Client { peer, ..Client::default() };
        forwarding.settle(&mut head, &traits, &mut client, &Ends::new(peer, 8443, true)).unwrap();
        assert_eq!(client.is_proxied, forwarding.trusts(peer.ip()));
        (head.headers().clone(), client.address.ip().to_string())
    }

    const CLAIMS: &[(&str, &str)] = &[
        ("host", "a.test:8443"),
        ("x-forwarded-for", "192.0.2.7, 198.51.100.1"),
        ("x-forwarded-for", "10.0.0.9"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-user", "root"),
        ("x_forwarded-host", "evil"),
        ("x-real-ip", "192.0.2.7"),
        ("client-cert", ":MII=:"),
        ("Client_Cert-Chain", ":MII=:"),
        ("forwarded", "for=192.0.2.7, for=\"[2001:db8::1]:80\";proto=http, For=10.0.0.9"),
        ("x-kept", "1"),
    ];

    #[test]
    fn what_strangers_claim_is_dropped() {
        let forwarding = forwarding(&[Forwarded::XForwarded], &["10.0.0.0/8"]);
        let (headers, client) = settled(&forwarding, "203.0.113.5:4000", CLAIMS);
        assert_eq!(client, "203.0.113.5");
        let mut left: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        left.sort();
        assert_eq!(
            left,
            [
                "host: a.test:8443",
                "x-forwarded-for: 203.0.113.5",
                "x-forwarded-host: a.test:8443",
                "x-forwarded-port: 8443",
                "x-forwarded-proto: https",
                "x-kept: 1",
            ]
        );
    }

    #[test]
    fn trusted_proxies_are_believed_and_added_to() {
        let all = [Forwarded::XForwarded, Forwarded::XRealIp, Forwarded::Forwarded, Forwarded::Via];
        let (headers, client) = settled(&forwarding(&all, &["10.0.0.0/8"]), "[::ffff:10.1.2.3]:4000", CLAIMS);
        assert_eq!(client, "198.51.100.1");
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7, 198.51.100.1, 10.0.0.9, 10.1.2.3");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "a.test:8443");
        assert_eq!(headers["x-real-ip"], "198.51.100.1");
        assert!(
            headers["forwarded"]
                .to_str()
                .unwrap()
                .ends_with(", For=10.0.0.9, for=10.1.2.3;proto=https;host=\"a.test:8443\"")
        );
        assert_eq!(headers["via"], "1.1 limen");

        let (_, client) =
            settled(&forwarding(&[Forwarded::Forwarded], &["10.0.0.0/8"]), "10.1.2.3:4000", CLAIMS);
        assert_eq!(client, "2001:db8::1");
    }

    #[test]
    fn nobody_vouches_for_what_can_t_be_read() {
        let forwarding = forwarding(&[], &["10.0.0.0/8", "::1/128"]);
        for (claimed, client) in [
            ("", "10.1.2.3"),
            ("unknown", "10.1.2.3"),
            ("192.0.2.7, unknown, 10.0.0.1", "10.0.0.1"),
            ("10.0.0.2, ::1, [::1]:80, 10.0.0.1:1234", "10.0.0.2"),
            ("[2001:db8::2]:80", "2001:db8::2"),
        ] {
            let (_, found) = settled(&forwarding, "10.1.2.3:4000", &[("x-forwarded-for", claimed)]);
            assert_eq!(found, client, "{claimed}");
        }
    }

    #[test]
    fn circles_are_noticed() {
        let forwarding = forwarding(&[Forwarded::Via], &[]);
        let peer = "10.1.2.3:4000".parse().unwrap();
        let mut client = Client { peer, ..Client::default() };
        let mut head = Request::new(());
        for _ in 0..LOOPS {
            let traits = Traits::of(&head);
            forwarding.settle(&mut head, &traits, &mut client, &Ends::new(peer, 80, false)).unwrap();
        }
        let traits = Traits::of(&head);
        let fault =
            forwarding.settle(&mut head, &traits, &mut client, &Ends::new(peer, 80, false)).unwrap_err();
        assert_eq!(fault.status.as_u16(), 508);
    }
}
