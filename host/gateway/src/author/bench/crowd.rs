//! The same requests while many are under way at the same time, as in a gateway that is busy.
//!
//! One after the other, a request finds what it touches in the caches of the processor, for the one before has just touched
//! the same; and it is waited for alone. Among others it does not, and is not: between the head of a request and that
//! of its response come parts of others, with isolates of their own, as few at a time as the turnstile lets in, and the
//! worker does a part of many at each turn.

use std::rc::Rc;

use limen_config::suite::{Ask, Step};
use limen_wasm::thread_time;
use tokio::task::JoinSet;

use super::numbers::Numbers;
use crate::author::stage::{Lines, Playing, Visitor};
use crate::worker::alive;

/// How many have a request under way at any moment: as many connections as load generators have.
const VISITORS: usize = 64;
/// Requests of each of them in one round.
const EACH: u32 = 8;
/// A round is some ten times as long as one of those where requests follow each other.
const SHARE: usize = 10;
const WARM_UP: usize = 3;
const FEWEST: usize = 10;

/// What was measured, in microseconds.
pub struct Crowd {
    pub visitors: usize,
    /// A request without the policy.
    pub without: Numbers,
    /// What fresh, and what reused isolates add to that.
    pub adds: [Numbers; 2],
    /// How many requests each way.
    pub requests: usize,
}

/// Listeners 0, 1 and 2 are those without the policy, with fresh and with reused isolates; `isolates` is how many it may
/// have in use.
pub async fn measure(
    playing: &Playing<'_>,
    step: &Step,
    rounds: usize,
    isolates: usize,
    lines: &Lines,
    told: &dyn Fn(&str),
) -> Result<Crowd, String> {
    let visitors = VISITORS.min(isolates);
    let rounds = (rounds / SHARE).max(FEWEST);
    let mut ways = [const { Vec::new() }; 3];
    for (listener, way) in ways.iter_mut().enumerate() {
        for _ in 0..visitors {
            way.push(playing.enter(&step.request, listener, alive().0).await?);
        }
    }
    let ask = Rc::new(step.request.clone());
    let mut all = Vec::new();
    for round in 0..WARM_UP + rounds {
        told(&format!("measuring, {visitors} requests at a time: round {round} of {}", WARM_UP + rounds));
        let mut took = [0.0; 3];
        for (way, took) in ways.iter_mut().zip(&mut took) {
            playing.cast(step);
            *took = together(way, &ask).await?;
        }
        lines.take();
        if round >= WARM_UP {
            let [without, fresh, reused] = took;
            all.push([without, fresh - without, reused - without]);
        }
    }
    let column =
        |number: usize| Numbers::of(all.iter().filter_map(|took| took.get(number)).copied().collect());
    let requests = rounds * visitors * EACH as usize;
    Ok(Crowd { visitors, without: column(0), adds: [column(1), column(2)], requests })
}

/// Everybody asks at the same time, again and again: microseconds of computing for a request.
async fn together(visitors: &mut Vec<Visitor>, ask: &Rc<Ask>) -> Result<f64, String> {
    let began = thread_time();
    let count = visitors.len();
    let mut crowd = JoinSet::new();
    for mut visitor in visitors.drain(..) {
        let ask = ask.clone();
        crowd.spawn_local(async move {
            for _ in 0..EACH {
                visitor.ask(&ask).await?;
            }
            Ok::<_, String>(visitor)
        });
    }
    while let Some(done) = crowd.join_next().await {
        visitors.push(done.map_err(|error| error.to_string())??);
    }
    let took = thread_time().saturating_sub(began);
    Ok(took.as_secs_f64() * 1e6 / (count as f64 * f64::from(EACH)))
}
