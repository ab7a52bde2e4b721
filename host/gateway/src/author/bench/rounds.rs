//! Requests through the gateway, one after the other over a connection, with the policy and without it.
//!
//! Client, gateway and upstream share a thread, whose computing time is taken at the ends of each round. What
//! a policy adds is the difference of two rounds that follow each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use limen_config::suite::{Ask, Played};
use limen_config::{Config, IsolateMode, Target};
use limen_policy::Phase;
use limen_wasm::{Reset, process_time, thread_time};

use super::crowd::{self, Crowd};
use super::numbers::Numbers;
use super::timer::{Timer, Times};
use crate::StartError;
use crate::author::stage::{Lines, Scene, Stage, Visitor};
use crate::worker::alive;

/// Requests in one round.
const REQUESTS: u32 = 50;
/// Rounds that don't count: until caches and pools are as they stay.
const WARM_UP: usize = 10;
/// How often it is told how far it is.
const TELL_EVERY: usize = 20;

/// What was measured; times of requests are in microseconds, those of hooks in nanoseconds.
pub struct Rounds {
    /// Of the settings, and with them of the memory that isolates start from; computing time of all cores.
    pub configure: Duration,
    /// A request without the policy.
    pub without: Numbers,
    /// What fresh, and what reused isolates add to that.
    pub adds: [Numbers; 2],
    /// The same while many requests are under way.
    pub crowd: Crowd,
    /// In the order of an exchange.
    pub hooks: Vec<Hook>,
    /// Calls of the gateway by the policy, for one request.
    pub host_calls: f64,
    /// The largest memory of an isolate, in bytes.
    pub memory: u64,
    /// How isolates become fresh again, and where their memory comes from.
    pub reset: Option<Reset>,
    pub no_image: Option<String>,
    pub requests: usize,
    pub status: StatusCode,
    /// Another one that came, and how often.
    pub other_status: Option<(StatusCode, usize)>,
    /// Failures of the policy in fresh and in reused isolates.
    pub failures: [u64; 2],
    /// On the clock, and computing.
    clock: Duration,
    cpu: Duration,
}

/// One hook of the policy, or what is done with an isolate after the last.
pub struct Hook {
    pub name: &'static str,
    /// How often it is called for a request.
    pub per_request: f64,
    /// What a call takes with fresh and with reused isolates.
    pub took: [Numbers; 2],
}

/// The routes that are asked in turn: each is alone at a listener of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Without,
    With(IsolateMode),
    Timed(IsolateMode),
}

const WAYS: [Way; 5] = [
    Way::Without,
    Way::With(IsolateMode::Fresh),
    Way::With(IsolateMode::Reused),
    Way::Timed(IsolateMode::Fresh),
    Way::Timed(IsolateMode::Reused),
];

/// While it measures, which takes some seconds, how far it is is `told`: between two rounds, so that it is in none.
pub fn measure(
    stage: &Stage,
    played: &Played,
    rounds: usize,
    lines: &Lines,
    told: &dyn Fn(&str),
) -> Result<Rounds, StartError> {
    let Some(step) = played.case.steps.first() else {
        return Err(StartError::Machine("the case has no step".to_owned()));
    };
    let times: [Arc<Times>; 2] = Default::default();
    let dress = |route: usize, policy| match WAYS.get(route) {
        Some(Way::Timed(IsolateMode::Fresh)) => Box::new(Timer::new(policy, times[0].clone())) as Box<_>,
        Some(Way::Timed(IsolateMode::Reused)) => Box::new(Timer::new(policy, times[1].clone())) as Box<_>,
        _ => policy,
    };
    let config =
        five_ways(&played.config).ok_or_else(|| StartError::Machine("the case has no route".into()))?;
    let began = process_time();
    let case = &played.case;
    let scene = stage.raise(config, case.http2, &case.place, dress).map_err(StartError::Config)?;
    let configure = process_time().saturating_sub(began);

    let isolates = played.config.plugins.values().map(|plugin| plugin.limits.isolates).min();
    let isolates = isolates.unwrap_or(usize::MAX);
    let counted = scene.play(async |playing| {
        let mut count = Count::default();
        playing.fill(case).await;
        playing.cast(step);
        let mut visitors = Vec::new();
        for number in 0..WAYS.len() {
            visitors.push(playing.enter(&step.request, number, alive().0).await?);
        }
        for round in 0..WARM_UP + rounds {
            if round % TELL_EVERY == 0 {
                told(&format!(
                    "measuring, one request after the other: round {round} of {}",
                    WARM_UP + rounds
                ));
            }
            if round == WARM_UP {
                count = Count { status: count.status, calls: host_calls(&scene), ..Count::default() };
                times.iter().for_each(|times| drop(times.take()));
            }
            let mut took = [0.0; WAYS.len()];
            for ((way, visitor), took) in WAYS.iter().zip(&mut visitors).zip(&mut took) {
                *took = count.round(*way, visitor, &step.request).await?;
            }
            let [without, fresh, reused, ..] = took;
            count.took.push([without, fresh - without, reused - without]);
            // What upstreams and the log have kept is for tests.
            playing.cast(step);
            lines.take();
        }
        count.calls = host_calls(&scene) - count.calls;
        let crowd = crowd::measure(playing, step, rounds, isolates, lines, told).await?;
        Ok::<_, String>((count, crowd))
    })?;
    let (count, crowd) =
        counted.map_err(|what| StartError::Machine(format!("could not measure it: {what}")))?;
    let requests = rounds * REQUESTS as usize;
    let hooks = hooks(times.each_ref().map(|times| times.take()), requests);
    let column = |number: usize| {
        Numbers::of(count.took.iter().filter_map(|took| took.get(number)).copied().collect::<Vec<_>>())
    };
    let (reset, no_image) = scene.isolates();
    // Four of the ways have the policy.
    let exchanges = (requests * (WAYS.len() - 1)).max(1) as f64;
    Ok(Rounds {
        configure,
        without: column(0),
        adds: [column(1), column(2)],
        crowd,
        hooks,
        host_calls: count.calls as f64 / exchanges,
        memory: scene.totals(IsolateMode::Fresh).memory_peak,
        reset,
        no_image,
        requests,
        status: count.status.unwrap_or_default(),
        other_status: count.other,
        failures: [IsolateMode::Fresh, IsolateMode::Reused].map(|mode| failures(&scene, mode)),
        clock: count.clock,
        cpu: count.cpu,
    })
}

impl Rounds {
    /// How much longer it took on the clock than the work was.
    pub fn busy(&self) -> f64 {
        self.clock.as_secs_f64() / self.cpu.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// What the rounds come to.
#[derive(Default)]
struct Count {
    /// Microseconds for a request: without the policy, and what fresh and reused isolates add.
    took: Vec<[f64; 3]>,
    status: Option<StatusCode>,
    other: Option<(StatusCode, usize)>,
    clock: Duration,
    cpu: Duration,
    /// Calls of the gateway: before the rounds that count, then in them.
    calls: u64,
}

impl Count {
    /// Microseconds for a request.
    async fn round(&mut self, way: Way, visitor: &mut Visitor, ask: &Ask) -> Result<f64, String> {
        let (clock, cpu) = (Instant::now(), thread_time());
        for _ in 0..REQUESTS {
            let status = visitor.ask(ask).await?.status;
            if way == Way::Without {
                continue; // which the policy may well answer otherwise
            }
            match (self.status.get_or_insert(status), &mut self.other) {
                (usual, _) if *usual == status => {}
                (_, Some((_, count))) => *count += 1,
                (_, none) => *none = Some((status, 1)),
            }
        }
        let took = thread_time().saturating_sub(cpu);
        self.clock += clock.elapsed();
        self.cpu += took;
        Ok(took.as_secs_f64() * 1e6 / f64::from(REQUESTS))
    }
}

/// What each hook took with fresh and with reused isolates.
fn hooks([fresh, mut reused]: [BTreeMap<&'static str, Vec<f64>>; 2], requests: usize) -> Vec<Hook> {
    let mut hooks: Vec<_> = fresh.into_iter().collect();
    // What is no phase comes after all of them.
    let place = |name: &str| Phase::ALL.iter().position(|phase| phase.name() == name).unwrap_or(usize::MAX);
    hooks.sort_by_key(|(name, _)| place(name));
    let hooks = hooks.into_iter().map(|(name, times)| {
        let per_request = times.len() as f64 / requests.max(1) as f64;
        let other = reused.remove(name).unwrap_or_default();
        Hook { name, per_request, took: [Numbers::of(times), Numbers::of(other)] }
    });
    hooks.collect()
}

fn host_calls(scene: &Scene) -> u64 {
    [IsolateMode::Fresh, IsolateMode::Reused].iter().map(|mode| scene.totals(*mode).host_calls).sum()
}

fn failures(scene: &Scene, mode: IsolateMode) -> u64 {
    scene.totals(mode).failures.iter().sum()
}

/// The route of the case once for each way.
fn five_ways(config: &Config) -> Option<Config> {
    let mut config = config.clone();
    let (listener, route) = (config.listeners.pop()?, config.routes.pop()?);
    let plugin = config.plugins.values().next()?.clone();
    let name = |mode| match mode {
        IsolateMode::Fresh => plugin.name.clone(),
        IsolateMode::Reused => format!("{}-reused", plugin.name),
    };
    for mode in [IsolateMode::Fresh, IsolateMode::Reused] {
        let plugin = limen_config::Plugin { name: name(mode), isolate: mode, ..plugin.clone() };
        config.plugins.insert(plugin.name.clone(), plugin);
    }
    for (number, way) in WAYS.into_iter().enumerate() {
        let mut listener = listener.clone();
        listener.name = number.to_string();
        let mut route = route.clone();
        route.name = number.to_string();
        route.listeners = vec![number];
        match way {
            Way::Without => route.policies.clear(),
            Way::With(mode) | Way::Timed(mode) => {
                let policies = route.policies.iter_mut();
                policies.for_each(|attached| attached.target = Target::Plugin(name(mode)));
            }
        }
        config.listeners.push(listener);
        config.routes.push(route);
    }
    Some(config)
}
