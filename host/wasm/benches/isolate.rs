//! What an exchange through one policy costs, without sockets: a fresh and a reused isolate, the
//! request hook and the response hook, with one exchange under way at a time and with 64 (as when
//! upstreams take their time: then the caches have forgotten an isolate when its response comes).
//!
//! `cargo bench -p limen-wasm -- target/wasm32-wasip2/release/rig.wasm`

#![allow(clippy::unwrap_used, reason = "a benchmark that meets the unexpected stops right there")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use limen_config::{
    CodeCache, Component, Grants, IsolateMode, OnError, Place, Plugin, PluginBreaker, PluginLimits,
};
use limen_policy::vault::Vault;
use limen_policy::{Answer, Exchange, Phase, Policy, Seat};
use limen_wasm::Registry;

fn main() {
    let component = std::env::args().skip(1).find(|argument| argument.ends_with(".wasm"));
    let Some(component) = component.map(PathBuf::from) else {
        // Run by `cargo test` as well, where there is nothing to measure.
        return println!("usage: cargo bench -p limen-wasm -- COMPONENT.wasm");
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    limen_wasm::set_worker(0);
    let registry = Registry::new(1, CodeCache { folder: None, size: 0 });
    let version = registry.plugin(std::fs::read(&component).unwrap()).unwrap();
    for isolate in [IsolateMode::Fresh, IsolateMode::Reused] {
        let plugin = Plugin {
            name: "bench".into(),
            component: Component::File(component.clone()),
            component_place: Place::file("bench"),
            is_described: true,
            sha256: None,
            isolate,
            grants: Grants { counters: true, ..Grants::default() },
            limits: PluginLimits {
                cpu: Duration::from_millis(50),
                cpu_total: Duration::from_secs(1),
                wall: Duration::from_secs(1),
                memory: 16 << 20,
                body: 1 << 20,
                isolates: 1024,
                share: 100,
                breaker: PluginBreaker { errors: 50, calls: 20, wasted: 10, open: Duration::from_secs(1) },
                log_lines: 100,
                log_bytes: 64 << 10,
                host_call_bytes: 4 << 20,
                fetches: 1,
            },
            on_error: OnError::Refuse,
            tick: None,
            place: Place::file("bench"),
        };
        let policy = registry
            .policy(&version, &plugin, &serde_json::json!({}), "bench", &Vault::default(), &[])
            .unwrap();
        for at_once in [1, 64] {
            let mut best = f64::MAX;
            for _ in 0..20 {
                best = best.min(runtime.block_on(exchanges(&policy, at_once)));
            }
            println!("{isolate:?}, {at_once} at once: {best:.2} us per exchange (best of 20 rounds)");
        }
    }
}

/// Microseconds per exchange.
async fn exchanges(policy: &dyn Policy, at_once: usize) -> f64 {
    const ROUNDS: u32 = 5_000;
    let mut under_way = VecDeque::new();
    let started = Instant::now();
    for _ in 0..ROUNDS {
        let mut exchange = Box::new(Exchange::default());
        let headers = exchange.request.headers_mut();
        headers.insert("host", "127.0.0.1:8080".parse().unwrap());
        headers.insert("user-agent", "bench".parse().unwrap());
        let mut seat = None;
        ask(policy, Phase::Request, &mut exchange, &mut seat).await;
        under_way.push_back((exchange, seat));
        if under_way.len() >= at_once
            && let Some((mut exchange, mut seat)) = under_way.pop_front()
        {
            ask(policy, Phase::Response, &mut exchange, &mut seat).await;
            policy.leave(seat);
        }
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
}

async fn ask(policy: &dyn Policy, phase: Phase, exchange: &mut Box<Exchange>, seat: &mut Seat) {
    exchange.enter(phase, 0);
    let verdict = match policy.call(phase, exchange, seat) {
        Answer::Ready(verdict) => verdict,
        Answer::Wait(future) => future.await,
    };
    black_box(verdict.unwrap());
    exchange.commit();
}
