//! One request for many: who asks the upstream, and who waits for what comes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::watch;

/// The requests to upstreams that others may wait for.
#[derive(Debug, Default)]
pub struct Flights(DashMap<u64, watch::Sender<Landed>>);

/// What became of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Landed {
    #[default]
    NotYet,
    /// What it brought is kept, or may be asked for again.
    Look,
    /// What it brought is its own client's alone: each asks for itself.
    Apart,
}

/// Whose turn it is.
pub enum Turn {
    /// To ask the upstream.
    Lead(Lead),
    /// To wait for who does.
    Wait(watch::Receiver<Landed>),
}

/// The duty to tell others what came of it. Dropping it tells that it came to nothing, and another one is to ask.
#[derive(Debug)]
pub struct Lead {
    number: u64,
    flights: Arc<Flights>,
    is_apart: AtomicBool,
}

impl Flights {
    pub fn join(self: &Arc<Self>, number: u64) -> Turn {
        match self.0.entry(number) {
            Entry::Occupied(flight) => Turn::Wait(flight.get().subscribe()),
            Entry::Vacant(place) => {
                place.insert(watch::Sender::default());
                Turn::Lead(Lead { number, flights: self.clone(), is_apart: AtomicBool::new(false) })
            }
        }
    }
}

impl Lead {
    /// Nobody needs to wait for such requests. As long as it is not dropped, nobody else leads either.
    pub fn part(&self) {
        self.is_apart.store(true, Ordering::Relaxed);
        if let Some(others) = self.flights.0.get(&self.number) {
            others.send_replace(Landed::Apart);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // Gone first: who is told finds the entry, or leads.
        if let Some((_, others)) = self.flights.0.remove(&self.number) {
            let is_apart = self.is_apart.load(Ordering::Relaxed);
            others.send_replace(if is_apart { Landed::Apart } else { Landed::Look });
        }
    }
}

/// Waits until it has landed.
pub async fn landed(mut flight: watch::Receiver<Landed>) -> Landed {
    flight.wait_for(|landed| *landed != Landed::NotYet).await.map(|landed| *landed).unwrap_or(Landed::Look)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_leads_and_the_others_wait() {
        let flights = Arc::<Flights>::default();
        let Turn::Lead(lead) = flights.join(1) else { panic!("nobody leads") };
        let (Turn::Wait(one), Turn::Wait(two)) = (flights.join(1), flights.join(1)) else {
            panic!("two lead")
        };
        assert!(matches!(flights.join(2), Turn::Lead(_)), "of another number");
        lead.part();
        assert_eq!((landed(one).await, landed(two).await), (Landed::Apart, Landed::Apart));
        let Turn::Wait(late) = flights.join(1) else { panic!("two lead") };
        assert_eq!(landed(late).await, Landed::Apart, "it is taken, and not waited for");
        drop(lead);
        let Turn::Lead(gone) = flights.join(1) else { panic!("nobody leads") };
        let Turn::Wait(one) = flights.join(1) else { panic!("two lead") };
        drop(gone);
        assert_eq!(landed(one).await, Landed::Look);
        assert!(flights.0.is_empty());
    }
}
