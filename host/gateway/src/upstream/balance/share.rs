//! How the requests of an upstream are shared out among its endpoints, group by group.

use std::collections::BTreeMap;

/// A group takes on this much more than the share of it that is healthy, so that it fails over only
/// when more than two of seven are down (Envoy's overprovisioning factor).
const OVER: f64 = 1.4;
/// The endpoints of several groups share in so many parts.
const PARTS: f64 = 1_000_000.0;

/// An endpoint as far as its share depends on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    pub weight: u32,
    /// Its group: the lowest number comes first.
    pub priority: u32,
    pub healthy: bool,
    /// How much of its weight it is given, in thousandths: less than all after a start.
    pub warmth: u32,
}

/// What an endpoint gets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// In comparison with all others; 0: nothing.
    pub weight: u64,
    /// The part of all requests that its group gets, 0 to 1.
    pub group: f64,
}

/// A group of endpoints of one priority.
#[derive(Default)]
struct Group {
    members: Vec<usize>,
    healthy: usize,
}

/// Requests go to the first group as far as it can carry them, the rest to the next, and so on. If
/// that is not enough for all requests, each group gets in proportion to what it can carry, and a group
/// of which less than `panic` per cent is healthy uses all its endpoints.
pub fn share_out(standings: &[Standing], panic: usize) -> Vec<Share> {
    let mut groups: BTreeMap<u32, Group> = BTreeMap::new();
    for (number, standing) in standings.iter().enumerate() {
        let group = groups.entry(standing.priority).or_default();
        group.members.push(number);
        group.healthy += usize::from(standing.healthy);
    }
    let groups: Vec<Group> = groups.into_values().collect();
    let loads = loads(&groups);
    let is_enough = groups.iter().map(Group::carries).sum::<f64>() >= 1.0;
    let alone = loads.iter().filter(|load| **load > 0.0).count() == 1;

    let mut shares = vec![Share::default(); standings.len()];
    for (group, load) in groups.iter().zip(loads).filter(|(_, load)| *load > 0.0) {
        let panics = !is_enough && (group.healthy == 0 || group.healthy * 100 < panic * group.members.len());
        let used = || {
            let members = group.members.iter().filter_map(|number| Some((*number, standings.get(*number)?)));
            members.filter(|(_, standing)| panics || standing.healthy)
        };
        let weight = |standing: &Standing| u64::from(standing.weight) * u64::from(standing.warmth.max(1));
        let total: u64 = used().map(|(_, standing)| weight(standing)).sum();
        for (number, standing) in used() {
            let weight = match alone {
                // As they were written, without any rounding.
                true => weight(standing),
                false => (load * PARTS * weight(standing) as f64 / total as f64).round().max(1.0) as u64,
            };
            if let Some(share) = shares.get_mut(number) {
                *share = Share { weight, group: load };
            }
        }
    }
    shares
}

/// The part of all requests that each group gets.
fn loads(groups: &[Group]) -> Vec<f64> {
    let capacity: f64 = groups.iter().map(Group::carries).sum();
    if capacity == 0.0 {
        // Nobody is healthy: the first group is as good as any.
        return (0..groups.len()).map(|number| if number == 0 { 1.0 } else { 0.0 }).collect();
    }
    let mut left = 1.0;
    let loads = groups.iter().map(|group| {
        let load = (group.carries() / capacity.min(1.0)).min(left);
        left -= load;
        // What is left of rounding is not a share.
        if load < 1e-9 { 0.0 } else { load }
    });
    loads.collect()
}

impl Group {
    /// The part of all requests that it can carry.
    fn carries(&self) -> f64 {
        (self.healthy as f64 / self.members.len() as f64 * OVER).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Endpoints as `(priority, healthy)`, and the percentage that each gets.
    fn percent(endpoints: &[(u32, bool)], panic: usize) -> Vec<u64> {
        let standing = |(priority, healthy): &(u32, bool)| Standing {
            weight: 1,
            priority: *priority,
            healthy: *healthy,
            warmth: 1000,
        };
        let shares = share_out(&endpoints.iter().map(standing).collect::<Vec<_>>(), panic);
        let total: u64 = shares.iter().map(|share| share.weight).sum();
        shares.iter().map(|share| (share.weight * 100 + total / 2) / total.max(1)).collect()
    }

    #[test]
    fn the_first_group_carries_all_until_too_few_are_healthy() {
        let (up, down) = ((0, true), (0, false));
        let (spare, spare_down) = ((1, true), (1, false));
        assert_eq!(percent(&[up, up, spare], 0), [50, 50, 0]);
        assert_eq!(percent(&[up, up, up, down, spare], 0), [33, 33, 33, 0, 0]);
        // 1.4 x 1/2 = 70 %.
        assert_eq!(percent(&[up, down, spare], 0), [70, 0, 30]);
        assert_eq!(percent(&[down, down, spare], 0), [0, 0, 100]);
        assert_eq!(percent(&[down, down, spare_down, (2, true)], 0), [0, 0, 0, 100]);
        // 1.4 x 1/2 + 1.4 x 1/3 is enough for all.
        assert_eq!(percent(&[up, down, spare, spare_down, spare_down], 90), [70, 0, 30, 0, 0]);
    }

    #[test]
    fn when_too_few_are_healthy_all_are_used() {
        let (up, down) = ((0, true), (0, false));
        assert_eq!(percent(&[up, down, down], 0), [100, 0, 0]);
        assert_eq!(percent(&[up, down, down], 50), [33, 33, 33]);
        assert_eq!(percent(&[up, down], 50), [100, 0]);
        assert_eq!(percent(&[down, down, (1, false)], 0), [50, 50, 0]);
        // The group that can't carry anything is not asked.
        assert_eq!(percent(&[down, (1, true), (1, false), (1, false)], 50), [0, 33, 33, 33]);
        assert!(percent(&[], 50).is_empty());
    }

    #[test]
    fn weights_and_warmth_count_within_a_group() {
        let standing = |weight, warmth| Standing { weight, priority: 0, healthy: true, warmth };
        let shares = share_out(&[standing(2, 1000), standing(1, 1000), standing(2, 100)], 0);
        assert_eq!(shares.iter().map(|share| share.weight).collect::<Vec<_>>(), [2000, 1000, 200]);
    }
}
