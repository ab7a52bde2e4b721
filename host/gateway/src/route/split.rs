//! Which of several upstreams a request goes to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use limen_config::SplitBy;
use limen_policy::cookie;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A choice of upstreams, by their numbers.
pub enum Split {
    /// There is nothing to choose.
    One(usize),
    Several(Box<Several>),
}

pub struct Several {
    targets: Vec<Target>,
    /// The sum of all weights.
    total: u64,
    by: By,
}

struct Target {
    upstream: usize,
    weight: u64,
    /// Its name's own: so that an upstream is chosen by the same clients on every route, in every
    /// worker and after every reload.
    seed: u64,
}

enum By {
    Chance,
    Header(HeaderName),
    Cookie(Box<str>),
    Client,
}

impl Split {
    /// `upstreams` are the numbers of all upstreams, by name.
    pub fn new(split: &limen_config::Split, upstreams: &BTreeMap<&str, usize>) -> Self {
        let number = |name: &str| upstreams.get(name).copied().unwrap_or(usize::MAX);
        let takers = split.targets.iter().filter(|target| target.weight > 0);
        let mut targets: Vec<Target> = takers
            .map(|target| Target {
                upstream: number(&target.to),
                weight: target.weight as u64,
                seed: xxh3_64(target.to.as_bytes()),
            })
            .collect();
        if let ([_], Some(only)) = (targets.as_slice(), targets.first()) {
            return Split::One(only.upstream);
        }
        // The likeliest first.
        targets.sort_by_key(|target| std::cmp::Reverse(target.weight));
        let by = match &split.by {
            SplitBy::Chance => By::Chance,
            SplitBy::Header(name) => By::Header(name.clone()),
            SplitBy::Cookie(name) => By::Cookie(name.as_str().into()),
            SplitBy::Client => By::Client,
        };
        let total = targets.iter().map(|target| target.weight).sum();
        Split::Several(Box::new(Several { targets, total, by }))
    }

    /// The number of the upstream for this request.
    pub fn pick(&self, headers: &HeaderMap, client: IpAddr) -> usize {
        match self {
            Split::One(upstream) => *upstream,
            Split::Several(several) => several.pick(headers, client),
        }
    }
}

impl Several {
    fn pick(&self, headers: &HeaderMap, client: IpAddr) -> usize {
        let by_key = match &self.by {
            By::Chance => None,
            By::Header(name) => headers.get(name).map(|value| self.of(value.as_bytes())),
            By::Cookie(name) => cookie(headers, name).map(|value| self.of(value.as_bytes())),
            By::Client => Some(match client.to_canonical() {
                IpAddr::V4(address) => self.of(&address.octets()),
                IpAddr::V6(address) => self.of(&address.octets()),
            }),
        };
        by_key.unwrap_or_else(|| self.by_chance(fastrand::u64(..self.total.max(1))))
    }

    fn by_chance(&self, mut ticket: u64) -> usize {
        for target in &self.targets {
            match ticket.checked_sub(target.weight) {
                Some(left) => ticket = left,
                None => return target.upstream,
            }
        }
        usize::MAX
    }

    /// Weighted rendezvous hashing: each target draws a lot from the key and its own name, worth more
    /// with more weight, and the best lot wins. When a weight changes no other target's lot does, so
    /// that keys move from or to that target only, and only as many as the weights say.
    fn of(&self, key: &[u8]) -> usize {
        let lot = |target: &Target| {
            // In (0, 1], from the 53 bits that a float has room for.
            let even = ((xxh3_64_with_seed(key, target.seed) >> 11) + 1) as f64 / (1u64 << 53) as f64;
            -even.ln() / target.weight as f64
        };
        let best = self.targets.iter().map(|target| (lot(target), target.upstream));
        best.min_by(|(a, _), (b, _)| a.total_cmp(b)).map_or(usize::MAX, |(_, upstream)| upstream)
    }
}

#[cfg(test)]
mod tests {
    use limen_config::Weighted;

    use super::*;

    fn split(by: SplitBy, weights: &[(&str, usize)]) -> Split {
        let targets = weights.iter().map(|(to, weight)| Weighted { to: (*to).to_owned(), weight: *weight });
        let numbers = BTreeMap::from([("a", 0), ("b", 1), ("c", 2)]);
        Split::new(&limen_config::Split { targets: targets.collect(), by }, &numbers)
    }

    /// Who goes where, of ten thousand users.
    fn users(weights: &[(&str, usize)]) -> Vec<usize> {
        let split = split(SplitBy::Header(HeaderName::from_static("x-user")), weights);
        let pick = |user: u32| {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("x-user"),
                user.to_string().parse().unwrap(),
            )]);
            split.pick(&headers, IpAddr::from([127, 0, 0, 1]))
        };
        (0..10_000).map(pick).collect()
    }

    fn count(picked: &[usize], upstream: usize) -> usize {
        picked.iter().filter(|it| **it == upstream).count()
    }

    #[test]
    fn keys_are_split_by_weight_and_only_those_move_that_must() {
        let before = users(&[("a", 80), ("b", 15), ("c", 5)]);
        for (upstream, share) in [(0, 8000usize), (1, 1500), (2, 500)] {
            assert!(count(&before, upstream).abs_diff(share) < 200, "{upstream}");
        }
        assert_eq!(before, users(&[("c", 500), ("a", 8000), ("b", 1500)]), "the order means nothing");
        let after = users(&[("a", 80), ("b", 15), ("c", 10)]);
        let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
        assert!(moved.iter().all(|(_, after)| **after == 2), "to whom has more weight now");
        assert!((300..700).contains(&moved.len()), "{}", moved.len());
        let without = users(&[("a", 80), ("b", 15), ("c", 0)]);
        assert!(before.iter().zip(&without).all(|(before, after)| before == after || *before == 2));
    }

    #[test]
    fn without_a_key_chance_decides() {
        for by in [SplitBy::Chance, SplitBy::Cookie("none".into())] {
            let split = split(by, &[("a", 3), ("b", 1), ("c", 0)]);
            let picked: Vec<_> =
                (0..10_000).map(|_| split.pick(&HeaderMap::new(), IpAddr::from([127, 0, 0, 1]))).collect();
            assert!((7_200..7_800).contains(&count(&picked, 0)), "{}", count(&picked, 0));
            assert_eq!(count(&picked, 0) + count(&picked, 1), 10_000);
        }
    }

    #[test]
    fn an_address_is_a_key_in_either_form() {
        let split = split(SplitBy::Client, &[("a", 1), ("b", 1)]);
        for last in 0..=255 {
            let v4 = IpAddr::from([10, 0, 0, last]);
            let mapped = IpAddr::from(std::net::Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped());
            let pick = |address| split.pick(&HeaderMap::new(), address);
            assert_eq!(pick(v4), pick(mapped));
        }
    }
}
