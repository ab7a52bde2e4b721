//! Who gets how many requests, worked out once for all workers at each change.

use std::sync::Arc;

use limen_config::{Balance, Upstream as Terms};

use super::ring::Ring;
use super::share::{Share, Standing, share_out};
use super::slots;
use crate::upstream::endpoint::{Endpoint, EndpointId};
use crate::upstream::shared::EndpointSet;

/// An endpoint, and what it was configured or announced with.
#[derive(Clone)]
pub struct Member {
    pub endpoint: Arc<Endpoint>,
    pub weight: u32,
    pub priority: u32,
}

#[derive(Default)]
pub struct Table {
    /// The numbers of those that get requests, each as often as its share says.
    slots: Vec<u32>,
    /// The numbers of all others, the best ones first: for a request that failed at all of those.
    spare: Vec<u32>,
    /// The configured weights.
    weights: Vec<u32>,
    /// Only for [`Balance::Hash`].
    ring: Ring,
    counts: bool,
}

impl Table {
    pub fn new(terms: &Terms, members: &[Member]) -> Self {
        let standings: Vec<Standing> = members
            .iter()
            .map(|member| Standing {
                weight: member.weight,
                priority: member.priority,
                healthy: true,
                warmth: 1000,
            })
            .collect();
        let shares = share_out(&standings, terms.panic);
        let ring = match terms.balance {
            Balance::Hash(_) => ring(members, &shares),
            _ => Ring::default(),
        };
        Table {
            slots: slots::order(&shares.iter().map(|share| share.weight).collect::<Vec<_>>()),
            spare: spare(&standings, &shares),
            weights: members.iter().map(|member| member.weight).collect(),
            ring,
            counts: terms.balance == Balance::LeastRequests,
        }
    }

    /// Whether requests under way are counted.
    pub fn counts(&self) -> bool {
        self.counts
    }

    /// The configured weight of the endpoint of this number.
    pub fn weight(&self, number: usize) -> u32 {
        self.weights.get(number).copied().unwrap_or(1)
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
fn ring(members: &[Member], shares: &[Share]) -> Ring {
    let used = (0_u32..).zip(members).zip(shares).filter(|(_, share)| share.weight > 0);
    Ring::new(used.map(|((number, member), share)| {
        (number, member.endpoint.address.to_string(), f64::from(member.weight) * share.group)
    }))
}

/// Healthy ones before others, then by priority.
fn spare(standings: &[Standing], shares: &[Share]) -> Vec<u32> {
    let idle = (0_u32..).zip(standings).zip(shares).filter(|(_, share)| share.weight == 0);
    let mut idle: Vec<(u32, &Standing)> = idle.map(|(member, _)| member).collect();
    idle.sort_by_key(|(_, standing)| (!standing.healthy, standing.priority));
    idle.into_iter().map(|(number, _)| number).collect()
}
