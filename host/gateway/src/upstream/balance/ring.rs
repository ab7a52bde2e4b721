//! A circle of points, many for each endpoint: a hash belongs to the endpoint of the next point. An
//! endpoint that goes leaves its points' requests to the points behind them, and nothing else moves
//! (Karger and others, "Consistent Hashing and Random Trees"; ketama).

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Points of an endpoint of weight 1: shares are even within some per cent.
const POINTS: f64 = 160.0;
/// All points together: with many endpoints or large weights, each gets fewer.
const MOST: f64 = 262_144.0;

/// The points in their order, each with the number of its endpoint.
#[derive(Default, PartialEq)]
pub struct Ring(Vec<(u64, u32)>);

impl Ring {
    /// Of endpoints with their weights, in points; what is not on the ring has none.
    pub fn new(endpoints: impl Iterator<Item = (u32, String, f64)> + Clone) -> Self {
        let total: f64 = endpoints.clone().map(|(_, _, weight)| weight * POINTS).sum();
        // A power of two, so that it seldom changes: at a change every point count changes.
        let thinned = if total > MOST { (total / MOST).log2().ceil().exp2() } else { 1.0 };
        let mut points = Vec::new();
        for (number, name, weight) in endpoints {
            let count = (weight * POINTS / thinned).round().max(1.0) as u64;
            points.extend((0..count).map(|point| (place(&name, point), number)));
        }
        points.sort_unstable();
        Ring(points)
    }

    /// The endpoints that a hash belongs to, the first one first; they come more than once.
    pub fn of(&self, hash: u64) -> impl Iterator<Item = usize> {
        let (before, behind) = self.0.split_at(self.0.partition_point(|(point, _)| *point < hash));
        behind.iter().chain(before).map(|(_, number)| *number as usize)
    }
}

/// It depends on the endpoint only, so that every gateway and every moment has the same circle.
fn place(name: &str, point: u64) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), point)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(weights: &[(u32, f64)]) -> Ring {
        Ring::new(weights.iter().map(|(number, weight)| (*number, format!("10.0.0.{number}:80"), *weight)))
    }

    fn owners(ring: &Ring) -> Vec<usize> {
        (0..100_000_u64).filter_map(|key| ring.of(xxh3_64_with_seed(b"key", key)).next()).collect()
    }

    #[test]
    fn only_the_share_of_the_one_that_goes_moves() {
        let before = owners(&ring(&[(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)]));
        let after = owners(&ring(&[(0, 1.0), (1, 1.0), (3, 1.0)]));
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *before == 2);
        }
        for number in [0, 1, 3] {
            let share = after.iter().filter(|owner| **owner == number).count();
            assert!(share.abs_diff(33_333) < 6_000, "{number}: {share}");
        }
    }

    #[test]
    fn shares_are_weights() {
        let owners = owners(&ring(&[(0, 1.0), (1, 3.0)]));
        let share = owners.iter().filter(|owner| **owner == 1).count();
        assert!(share.abs_diff(75_000) < 6_000, "{share}");
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let many: Vec<_> = (0..300).map(|number| (number, 1000.0)).collect();
        assert!(ring(&many).0.len() <= 262_144);
        assert_eq!(Ring::default().of(1).next(), None);
    }
}
