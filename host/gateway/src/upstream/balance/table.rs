//! Who gets how many requests, worked out once for all workers at each change.

use std::sync::Arc;

use limen_config::{Balance, Outlier, Upstream as Terms};

use super::ring::Ring;
use super::share::{Share, Standing, share_out};
use super::slots;
use crate::upstream::endpoint::{Endpoint, EndpointId};
use crate::upstream::shared::EndpointSet;

/// Two that are equal do the same with every request.
#[derive(Default, PartialEq)]
pub struct Table {
    /// The numbers of those that get requests, each as often as its share says.
    slots: Vec<u32>,
    /// The numbers of all others, the best ones first: for a request that failed at all of those.
    spare: Vec<u32>,
    /// The configured weights and priorities, and who is well.
    standings: Vec<Standing>,
    /// Only for [`Balance::Hash`].
    ring: Ring,
    counts: bool,
    outlier: Option<Outlier>,
}

impl Table {
    pub fn new(terms: &Terms, endpoints: &[Arc<Endpoint>], standings: &[Standing]) -> Self {
        let shares = share_out(standings, terms.panic);
        let ring = match terms.balance {
            Balance::Hash(_) => ring(endpoints, standings, &shares),
            _ => Ring::default(),
        };
        Table {
            slots: slots::order(&shares.iter().map(|share| share.weight).collect::<Vec<_>>()),
            spare: spare(standings, &shares),
            standings: standings.to_vec(),
            ring,
            counts: terms.balance == Balance::LeastRequests,
            outlier: terms.outlier.clone(),
        }
    }

    /// Whether requests under way are counted.
    pub fn counts(&self) -> bool {
        self.counts
    }

    /// What failures are too many; none if nobody counts them.
    pub fn outlier(&self) -> Option<&Outlier> {
        self.outlier.as_ref()
    }

    /// The configured weight of the endpoint of this number.
    pub fn weight(&self, number: usize) -> u32 {
        self.standings.get(number).map_or(1, |standing| standing.weight)
    }

    /// The group of the endpoint of this number.
    pub fn priority(&self, number: usize) -> u32 {
        self.standings.get(number).map_or(0, |standing| standing.priority)
    }

    /// Whether the endpoint of this number gets requests.
    pub fn is_used(&self, number: usize) -> bool {
        !self.spare.iter().any(|spare| *spare as usize == number)
    }

    /// Whether a client may stay with the endpoint of this number.
    pub fn may_keep(&self, number: usize) -> bool {
        self.standings.get(number).is_some_and(|standing| standing.healthy) || self.is_used(number)
    }
}

impl EndpointSet {
    /// The endpoint of a slot, of however many there are, or the next one that was not tried.
    pub fn at_slot(&self, slot: usize, tried: &[EndpointId]) -> Option<usize> {
        let Table { slots, spare, .. } = &self.table;
        let (before, behind) = slots.split_at_checked(slot.checked_rem(slots.len())?)?;
        self.first(behind.iter().chain(before).chain(spare).map(|number| *number as usize), tried)
    }

    /// The endpoint that a hash belongs to, or the next one that was not tried.
    pub fn on_ring(&self, hash: u64, tried: &[EndpointId]) -> Option<usize> {
        let Table { ring, spare, .. } = &self.table;
        self.first(ring.of(hash).chain(spare.iter().map(|number| *number as usize)), tried)
    }

    fn first(&self, mut numbers: impl Iterator<Item = usize>, tried: &[EndpointId]) -> Option<usize> {
        if tried.is_empty() {
            return numbers.next();
        }
        numbers.find(|number| self.endpoints.get(*number).is_some_and(|one| !tried.contains(&one.id)))
    }
}

/// By their configured weights: slow start does not move anybody.
fn ring(endpoints: &[Arc<Endpoint>], standings: &[Standing], shares: &[Share]) -> Ring {
    let used = (0_u32..).zip(endpoints).zip(standings).zip(shares).filter(|(_, share)| share.weight > 0);
    Ring::new(used.map(|(((number, endpoint), standing), share)| {
        (number, endpoint.address.to_string(), f64::from(standing.weight) * share.group)
    }))
}

/// Healthy ones before others, then by priority.
fn spare(standings: &[Standing], shares: &[Share]) -> Vec<u32> {
    let idle = (0_u32..).zip(standings).zip(shares).filter(|(_, share)| share.weight == 0);
    let mut idle: Vec<(u32, &Standing)> = idle.map(|(member, _)| member).collect();
    idle.sort_by_key(|(_, standing)| (!standing.healthy, standing.priority));
    idle.into_iter().map(|(number, _)| number).collect()
}
