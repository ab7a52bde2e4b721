//! Any of them, by weight.

use crate::upstream::endpoint::EndpointId;
use crate::upstream::shared::EndpointSet;

pub fn pick(set: &EndpointSet, tried: &[EndpointId]) -> Option<usize> {
    set.at_slot(fastrand::usize(..), tried)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balance::tests::set;

    #[test]
    fn shares_are_weights() {
        fastrand::seed(7);
        let set = set("\"random\"", &[1, 2, 5]);
        let mut counts = [0_u32; 3];
        (0..8000).filter_map(|_| pick(&set, &[])).for_each(|number| counts[number] += 1);
        for (count, expected) in counts.into_iter().zip([1000_u32, 2000, 5000]) {
            assert!(count.abs_diff(expected) < 200, "{counts:?}");
        }
        assert_eq!(pick(&EndpointSet::default(), &[]), None);
    }
}
