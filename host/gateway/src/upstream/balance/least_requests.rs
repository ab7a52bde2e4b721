//! The power of two choices: of two taken at random, the one that is less busy. Nearly as even as
//! asking all of them, and without the herd that runs to the one that was free a moment ago
//! (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing").

use crate::upstream::endpoint::EndpointId;
use crate::upstream::shared::EndpointSet;

/// With weights the second draw can be the first again; then it is drawn again, at most so often.
const DRAWS: usize = 4;

pub fn pick(set: &EndpointSet, tried: &[EndpointId]) -> Option<usize> {
    let draw = || set.at_slot(fastrand::usize(..), tried);
    let first = draw()?;
    let other = (0..DRAWS).filter_map(|_| draw()).find(|number| *number != first);
    Some(match other {
        Some(second) if load(set, second) < load(set, first) => second,
        _ => first,
    })
}

/// Requests under way for its weight, were this one added.
fn load(set: &EndpointSet, number: usize) -> u64 {
    let under_way = set.endpoints.get(number).map_or(0, |endpoint| endpoint.in_flight() as u64);
    (under_way + 1) * 1000 / u64::from(set.table.weight(number).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balance::tests::set;

    #[test]
    fn the_busier_of_two_is_left_alone() {
        fastrand::seed(7);
        let set = set("\"least-requests\"", &[1, 1]);
        set.endpoints[0].began();
        let busy = (0..1000).filter_map(|_| pick(&set, &[])).filter(|number| *number == 0).count();
        // Only when four draws in a row are the same.
        assert!(busy < 70, "{busy}");
        assert_eq!(pick(&set, &[set.endpoints[1].id]), Some(0));
    }

    #[test]
    fn requests_that_stay_spread_by_weight() {
        fastrand::seed(7);
        let set = set("\"least-requests\"", &[1, 3]);
        for _ in 0..400 {
            set.endpoints[pick(&set, &[]).unwrap()].began();
        }
        assert!(set.endpoints[0].in_flight().abs_diff(100) < 10, "{}", set.endpoints[0].in_flight());
    }
}
