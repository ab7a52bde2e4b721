//! Where endpoints come from: an address as it is written, or a name that stands for some.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use limen_config::{Endpoint as Terms, Lookup};

use super::endpoint::Address;
use super::resolve::{Addresses, Resolver, has_route};

/// A name that could not be resolved is asked for again after its lowest time to live, then after twice
/// that, and so on up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// One item of `endpoints`, and what it stands for now.
#[derive(Clone, Debug)]
pub struct Source {
    pub terms: Terms,
    pub places: Vec<Place>,
    pub inquiry: Inquiry,
}

/// An address, and what it was configured or announced with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub address: Address,
    pub weight: u32,
    pub priority: u32,
}

/// How far asking for a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// It is no name.
    Needless,
    /// Nobody has answered yet, or not answered either.
    Begun,
    /// There was an answer; it is to be asked for again then.
    Answered { again: Instant },
    /// That failed so many times in a row; it is to be asked for again then.
    Failed { times: u32, again: Instant },
}

impl Source {
    /// What is known of the same name already is kept.
    pub fn new(terms: &Terms, known: &[Source]) -> Self {
        let mut source = match terms.host.parse::<IpAddr>() {
            Ok(ip) => {
                let address =
                    Address { scheme: terms.scheme, host: terms.host.clone(), ip, port: terms.port };
                let places = vec![Place { address, weight: 1, priority: 0 }];
                Source { terms: terms.clone(), places, inquiry: Inquiry::Needless }
            }
            Err(_) => {
                let is_same = |known: &&Source| {
                    let Terms { scheme, host, port, lookup, .. } = &known.terms;
                    (scheme, host, port, lookup) == (&terms.scheme, &terms.host, &terms.port, &terms.lookup)
                };
                match known.iter().find(is_same) {
                    Some(known) => Source { places: known.announced(), ..known.clone() },
                    None => Source { terms: terms.clone(), places: Vec::new(), inquiry: Inquiry::Begun },
                }
            }
        };
        source.terms = terms.clone();
        source.set(source.places.clone());
        source
    }

    /// When to ask; none for what is no name.
    pub fn asks_at(&self, now: Instant) -> Option<Instant> {
        match self.inquiry {
            Inquiry::Needless => None,
            Inquiry::Begun => Some(now),
            Inquiry::Answered { again } | Inquiry::Failed { again, .. } => Some(again),
        }
    }

    /// Takes what was found.
    pub fn answered(&mut self, places: Vec<Place>, ttl: Duration, now: Instant) {
        self.set(places);
        self.inquiry = Inquiry::Answered { again: now + ttl };
    }

    /// Keeps what it had. Answers whether this is the first time.
    pub fn failed(&mut self, min_ttl: Duration, now: Instant) -> bool {
        let times = match self.inquiry {
            Inquiry::Failed { times, .. } => times.saturating_add(1),
            _ => 0,
        };
        let wait = min_ttl.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX));
        self.inquiry = Inquiry::Failed { times, again: now + wait.min(LONGEST_WAIT.max(min_ttl)) };
        times == 0
    }

    /// With the weight and priority of the configuration in it.
    fn set(&mut self, places: Vec<Place>) {
        let Terms { weight, priority, .. } = self.terms;
        let places = places.into_iter().map(|place| Place {
            weight: place.weight.saturating_mul(weight),
            priority: (priority << 16) | place.priority,
            ..place
        });
        self.places = places.collect();
    }

    /// Without them.
    fn announced(&self) -> Vec<Place> {
        let places = self.places.iter().map(|place| Place {
            address: place.address.clone(),
            weight: place.weight / self.terms.weight.max(1),
            priority: place.priority & 0xffff,
        });
        places.collect()
    }
}

/// What a source stands for, as the resolver knows it now. `known` is what it had: it keeps the addresses
/// of a family that nobody answers for.
pub async fn look_up(
    resolver: &Resolver,
    terms: &Terms,
    known: &[Place],
) -> Result<(Vec<Place>, Duration), String> {
    match terms.lookup {
        Lookup::Host => {
            let (ips, ttl) = addresses(resolver, &terms.host, known).await?;
            let place = |ip| Place {
                address: Address { scheme: terms.scheme, host: terms.host.clone(), ip, port: terms.port },
                weight: 1,
                priority: 0,
            };
            Ok((ips.into_iter().map(place).collect(), ttl))
        }
        Lookup::Service => {
            let servers = resolver.servers(&terms.host).await?;
            let (mut places, mut ttl, mut failure) = (Vec::new(), servers.ttl, None);
            for server in servers.found {
                match addresses(resolver, &server.host, known).await {
                    Ok((ips, of_host)) => {
                        ttl = ttl.min(of_host);
                        places.extend(ips.into_iter().map(|ip| Place {
                            address: Address {
                                scheme: terms.scheme,
                                host: server.host.clone(),
                                ip,
                                port: server.port,
                            },
                            // 0: "no server selection to do" (RFC 2782).
                            weight: u32::from(server.weight).max(1),
                            priority: u32::from(server.priority),
                        }));
                    }
                    Err(reason) => failure = Some(format!("{}: {reason}", server.host)),
                }
            }
            match failure {
                Some(reason) if places.is_empty() => Err(reason),
                _ => Ok((places, ttl)),
            }
        }
    }
}

async fn addresses(
    resolver: &Resolver,
    host: &str,
    known: &[Place],
) -> Result<(Vec<IpAddr>, Duration), String> {
    if let Ok(ip) = host.parse() {
        return Ok((vec![ip], LONGEST_WAIT));
    }
    let Addresses { v4, v6, ttl } = resolver.addresses(host).await?;
    let before = |is_v4: bool| {
        let of_host = known.iter().filter(|place| place.address.host == host);
        of_host.map(|place| place.address.ip).filter(|ip| ip.is_ipv4() == is_v4).collect::<Vec<_>>()
    };
    let mut all = v4.unwrap_or_else(|| before(true));
    all.extend(v6.unwrap_or_else(|| before(false)));
    // DNS servers turn their answers round: in one order, nothing has changed.
    all.sort_unstable();
    all.dedup();
    let usable: Vec<IpAddr> = all.iter().copied().filter(|ip| has_route(*ip)).collect();
    Ok((if usable.is_empty() { all } else { usable }, ttl))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balance::tests::{address, terms};

    #[test]
    fn a_name_keeps_what_it_had_and_is_asked_for_less_and_less_often() {
        let endpoints = "endpoints = [{ url = \"http://users\", weight = 3, priority = 2 }]";
        let terms = &terms(endpoints).endpoints[0];
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut source = Source::new(terms, &[]);
        assert_eq!(source.asks_at(now), Some(now));
        let address = Address { host: "users".into(), ..address(1) };
        source.answered(vec![Place { address, weight: 5, priority: 1 }], 60 * second, now);
        assert_eq!(source.asks_at(now), Some(now + 60 * second));
        assert_eq!((source.places[0].weight, source.places[0].priority), (15, (2 << 16) | 1));
        for wait in [1, 2, 4, 8, 16, 30, 30] {
            source.failed(second, now);
            assert_eq!(source.asks_at(now), Some(now + wait * second));
        }
        // A reload keeps both.
        let again = Source::new(terms, &[source.clone()]);
        assert_eq!((again.places, again.inquiry), (source.places, source.inquiry));
    }
}
