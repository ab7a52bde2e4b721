//! Weights as an order of turns: walked through, it spreads everyone's turns evenly; a turn taken at
//! random is a choice by weight.

/// An order is not longer than this, or than eight turns for each: weights are rounded to fit.
const MOST: u64 = 4096;

/// The numbers of all with a weight, each as often as its weight says.
pub fn order(weights: &[u64]) -> Vec<u32> {
    let mut counts = reduced(weights);
    let most = MOST.max(8 * weights.len() as u64);
    let total: u64 = counts.iter().sum();
    if total > most {
        for count in counts.iter_mut().filter(|count| **count > 0) {
            let rounded = u128::from(*count) * u128::from(most) / u128::from(total);
            *count = u64::try_from(rounded).unwrap_or(most).max(1);
        }
    }
    let mut turns = Vec::new();
    for (number, count) in (0_u32..).zip(counts) {
        // In the middles of as many equal parts of a round.
        turns.extend((0..count).map(|turn| ((turn as f64 + 0.5) / count as f64, number)));
    }
    turns.sort_unstable_by(|(a, first), (b, second)| a.total_cmp(b).then(first.cmp(second)));
    turns.into_iter().map(|(_, number)| number).collect()
}

/// Divided by what divides them all.
fn reduced(weights: &[u64]) -> Vec<u64> {
    let divisor = weights.iter().copied().fold(0, common_divisor).max(1);
    weights.iter().map(|weight| weight / divisor).collect()
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread() {
        assert_eq!(order(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(order(&[5000, 0, 5000]), [0, 2]);
        assert_eq!(order(&[4, 2, 2]), [0, 1, 2, 0]);
        assert_eq!(order(&[5, 1]), [0, 0, 0, 1, 0, 0]);
        assert!(order(&[]).is_empty());
        assert!(order(&[0, 0]).is_empty());
    }

    #[test]
    fn large_weights_are_rounded_and_nobody_is_left_out() {
        let turns = order(&[1_000_003, 2_000_003, 1]);
        assert!(turns.len() <= 4097, "{}", turns.len());
        let count = |wanted| turns.iter().filter(|number| **number == wanted).count();
        assert!(count(0).abs_diff(count(1) / 2) <= 1);
        assert_eq!(count(2), 1);
    }
}
