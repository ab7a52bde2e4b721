//! `ip`: lets requests pass, or not, by the address of their client.
//!
//! ```toml
//! policies = [{ use = "ip", with = { allow = ["10.0.0.0/8", "2001:db8::/32"], deny = ["10.6.6.6"] } }]
//! ```
//!
//! The client is the other end of the connection, or who the proxies in `[gateway] trusted_proxies`
//! say it is. Whoever may not pass gets 403. Looking costs the same with ten networks as with ten
//! thousand, but for some steps of a binary search.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::denial::Denial;
use super::settings::{Network, SettingsError, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Phase, Phases, Policy, Seat, Verdict};

/// `ip`: by the client's address.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// `allow`: networks ("10.0.0.0/8") and addresses that may pass, and no others. Default: all may.
    allow: Option<Vec<Network>>,
    /// `deny`: networks and addresses that may not, even if `allow` has them. Default: none.
    deny: Vec<Network>,
}

pub(super) fn build(settings: &Value, _: &Materials<'_>) -> Built {
    let Settings { allow, deny } = read(settings)?;
    if allow.is_none() && deny.is_empty() {
        return Err(SettingsError::new(
            "",
            "it has neither `allow` nor `deny`, and would let everybody pass",
        ));
    }
    Ok(Box::new(Ip { allow: allow.map(Networks::new), deny: Networks::new(deny) }))
}

struct Ip {
    allow: Option<Networks>,
    deny: Networks,
}

impl Policy for Ip {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        let address = exchange.client.address.ip();
        let why = match &self.allow {
            _ if self.deny.have(address) => "is in `deny`",
            Some(allow) if !allow.have(address) => "is not in `allow`",
            _ => return Answer::Ready(Ok(Verdict::Next)),
        };
        Denial::forbidden("Your address may not use this.", format!("the address {address} {why}"))
            .answer(exchange)
    }
}

/// Networks that don't overlap, in the order of their addresses.
struct Networks(Vec<IpNet>);

impl Networks {
    fn new(networks: Vec<Network>) -> Self {
        let networks: Vec<_> = networks.into_iter().map(|Network(network)| network).collect();
        let mut apart = IpNet::aggregate(&networks);
        apart.sort_unstable_by_key(IpNet::network);
        Networks(apart)
    }

    fn have(&self, address: IpAddr) -> bool {
        // A socket for both families tells IPv4 addresses as mapped ones (RFC 4291, section 2.5.5.2).
        let address = address.to_canonical();
        let after = self.0.partition_point(|network| network.network() <= address);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::plain;
    use serde_json::json;

    fn passes(settings: Value, address: &str) -> bool {
        let policy = plain(build, &settings).unwrap();
        let mut exchange = Box::<Exchange>::default();
        exchange.client.address.set_ip(address.parse().unwrap());
        exchange.enter(Phase::Request, 0);
        let verdict = match policy.call(Phase::Request, &mut exchange, &mut None) {
            Answer::Ready(verdict) => verdict.unwrap(),
            Answer::Wait(_) => panic!("it waits"),
        };
        verdict == Verdict::Next
    }

    #[test]
    fn deny_wins_and_allow_is_exclusive() {
        let both = || json!({ "allow": ["10.0.0.0/8", "2001:db8::/32"], "deny": ["10.6.0.0/16"] });
        assert!(
            passes(both(), "10.0.0.1") && passes(both(), "2001:db8::1") && passes(both(), "::ffff:10.1.2.3")
        );
        assert!(!passes(both(), "10.6.255.255") && !passes(both(), "11.0.0.0") && !passes(both(), "::1"));
        let deny = || json!({ "deny": ["192.0.2.1"] });
        assert!(!passes(deny(), "192.0.2.1") && passes(deny(), "192.0.2.2"));
        assert!(!passes(json!({ "allow": [] }), "192.0.2.2"), "nobody is on an empty list");
    }

    #[test]
    fn a_search_finds_what_a_walk_finds() {
        let networks: Vec<IpNet> = (0..=255u8)
            .flat_map(|n| [format!("10.{n}.0.0/{}", 16 + n % 9), format!("2001:db8:{n:x}::/{}", 48 + n % 17)])
            .chain([
                "10.3.0.0/12".to_owned().replace("10.3", "10.0"),
                "0.0.0.0/32".into(),
                "255.255.255.255/32".into(),
            ])
            .map(|text| text.parse::<IpNet>().unwrap().trunc())
            .collect();
        let sorted = Networks::new(networks.iter().copied().map(Network).collect());
        for n in 0..=65_535u16 {
            let [a, b] = n.to_be_bytes();
            for address in [
                IpAddr::from([10, a, b, 1]),
                IpAddr::from([0x2001, 0xdb8, u16::from(a), u16::from(b), 0, 0, 0, 1]),
            ] {
                assert_eq!(
                    sorted.have(address),
                    networks.iter().any(|one| one.contains(&address)),
                    "{address}"
                );
            }
        }
    }

    #[test]
    fn mistakes_are_found_at_load() {
        let mistake = |settings| plain(build, &settings).err().map(|error| (error.pointer, error.message));
        assert!(mistake(json!({})).unwrap().1.contains("neither `allow` nor `deny`"));
        assert_eq!(mistake(json!({ "deny": ["10.0.0.0/8", "ten"] })).unwrap().0, "/deny/1");
    }
}
