//! Version after version while requests and streams go on: nobody fails, and nothing of the old ones stays.

use crate::common::{PATIENT, config, plugin, route};
use crate::swap::{Loads, all, component, live};
use limen_tests::{Client, Gateway, Origin, PATIENCE, eventually};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How many there are; `LIMEN_SWAPS=1000` tries as many as that, which takes a quarter of an hour.
const SWAPS: usize = 100;
/// From here on memory is not to grow, by more than so many percent.
const SETTLED: usize = 50;
const GROWTH: u64 = 5;
/// Bytes of compiled code that are kept on disk: fewer than all versions have together.
const KEPT: u64 = 16 << 20;
/// Streams that are open at any time.
const STREAMS: usize = 8;

fn swaps() -> usize {
    std::env::var("LIMEN_SWAPS").map_or(SWAPS, |number| number.parse().unwrap())
}

/// A component that no other is the same as: a custom section at its end (its id, its length, its name and
/// what it says) changes nothing but its digest, so that it is compiled and configured anew.
fn distinct(swap: usize) -> Vec<u8> {
    let mut component = component(version(swap));
    let content = [b"\x04swap", swap.to_string().as_bytes()].concat();
    component.extend_from_slice(&[0, u8::try_from(content.len()).unwrap()]);
    component.extend_from_slice(&content);
    component
}

fn version(swap: usize) -> u32 {
    u32::try_from(swap % 4 + 1).unwrap()
}

/// What the gateway's process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    memory: u64,
    /// Places that it may execute: code of versions, and its own.
    code: usize,
    files: usize,
}

impl Held {
    fn by(gateway: &Gateway) -> Held {
        let of_process = |name| format!("/proc/{}/{name}", gateway.pid());
        let maps = fs::read_to_string(of_process("maps")).unwrap();
        let code = maps.lines().filter(|line| line.split(' ').nth(1).unwrap().contains('x')).count();
        let files = fs::read_dir(of_process("fd")).unwrap().count();
        Held { memory: gateway.rss_bytes(), code, files }
    }

    /// As soon as this is so; at the end of all patience, whatever it is then.
    async fn once(gateway: &Gateway, is_so: impl Fn(&Held) -> bool) -> Held {
        let until = Instant::now() + PATIENCE;
        loop {
            let held = Held::by(gateway);
            if is_so(&held) || Instant::now() >= until {
                return held;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// No more than before, but for what a version has (its code, and that with its memory as `configure` left it)
    /// and the connections of requests.
    fn is_about(&self, before: &Held) -> bool {
        self.memory <= before.memory + before.memory / 100 * GROWTH
            && self.code <= before.code + 2
            && self.files <= before.files + 8
    }
}

/// Answers that stream for two seconds each, some at a time, one after another.
struct Streams {
    stop: Arc<AtomicBool>,
    whole: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Streams {
    fn start(gateway: &Gateway) -> Streams {
        let (stop, whole) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let tasks = (0..STREAMS).map(|number| {
            let client = if number % 2 == 0 { Client::http1() } else { Client::http2() };
            let (stop, whole, url) = (stop.clone(), whole.clone(), gateway.url("/drip?seconds=2"));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.get(url.clone()).send().await;
                    assert_eq!(answer.header("x-version"), answer.header("x-version-request"));
                    assert_eq!(answer.text().lines().count(), 20, "a stream was cut short");
                    whole.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let tasks = tasks.collect();
        Streams { stop, whole, tasks }
    }

    /// Waits until all that are open now have ended: they hold the versions that they began with.
    async fn renewed(&self) {
        let enough = self.whole.load(Ordering::Relaxed) + 2 * STREAMS;
        eventually("other streams", async || (self.whole.load(Ordering::Relaxed) >= enough).then_some(()))
            .await;
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn many_swaps_lose_no_request_and_no_stream_and_leave_nothing_behind() {
    let origin = Origin::start();
    let rest = [plugin("version", PathBuf::from("version.wasm"), PATIENT), route("/**", r#""version""#)];
    let cache = format!("[gateway]\ncode_cache = {{ folder = 'code', size = {KEPT} }}\n");
    let config = format!("{cache}{}", config(&origin, &rest.join("\n")));
    let gateway = Gateway::with(config).file("version.wasm", distinct(0)).start().await;

    let mut oldest = Client::http1().get(gateway.url("/drip?seconds=36000")).open().await;
    let loads = Loads::start_paced(&gateway, "/", Duration::from_millis(5));
    let streams = Streams::start(&gateway);
    let mut settled = None;
    for swap in 1..=swaps() {
        gateway.forget_log();
        gateway.replace_file("version.wasm", distinct(swap));
        live(&gateway).await;
        loads.meet(&all(version(swap))).await;
        if swap == SETTLED {
            streams.renewed().await;
            settled = Some(Held::by(&gateway));
        }
    }
    streams.renewed().await;
    let settled = settled.expect("more swaps than that");
    // What requests hold while they are under way comes and goes: what stays was left behind.
    let held = Held::once(&gateway, |held| held.is_about(&settled)).await;
    println!("after swap {SETTLED}: {settled:?}; after swap {}: {held:?}", swaps());
    assert!(held.is_about(&settled), "something of old versions: {settled:?} became {held:?}");

    let kept: Vec<u64> = fs::read_dir(gateway.path("code"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    let (files, bytes) = (kept.len(), kept.iter().sum::<u64>());
    assert!(files > 0 && files < swaps() && bytes <= KEPT, "{files} files of {bytes} bytes");

    assert!(oldest.piece().await.unwrap().is_some(), "the oldest stream goes on");
    loads.stop(&[1, 2, 3, 4].map(all));
    streams.stop().await;
}
