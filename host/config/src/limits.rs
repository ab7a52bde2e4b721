//! `limits` of a plugin

use std::time::Duration;

use crate::section::{Section, section};
use crate::units::{GIB, KIB, MIB, show_duration};
use crate::value::{duration, integer, size};

section! {
    /// `limits = { cpu = "5ms", wall = "1s", memory = "16MiB", body = "1MiB" }`: what a plugin may
    /// use up. What goes beyond ends the plugin's work on that exchange; `on_error` says what then.
    #[derive(Copy, PartialEq, Eq, Hash)]
    pub struct PluginLimits(section) {
        /// `cpu`: computing time of one hook. 1ms to 10s; default 5ms. A hook that computes lets other requests
        /// have their turn each millisecond. For that it needs a stack of its own, which plugins are spared that are given
        /// 10ms at most and never wait (for `fetch`, `kv` or `jwt`): one of their hooks may keep its worker for so long,
        /// and the thousand after it give others their turn too.
        pub cpu: Duration = section.or("cpu", duration(CPU), Duration::from_millis(5)),

        /// `wall`: time of one hook on the clock, waiting included. At least `cpu`, at most 10m;
        /// default 1s.
        pub wall: Duration = wall(section, cpu),

        /// `cpu_total`: computing time of all hooks of one exchange together. At least `cpu`, at most
        /// 10m; default 1s, or `cpu` where that is more.
        pub cpu_total: Duration = cpu_total(section, cpu),

        /// `memory`: what one isolate may hold. 1MiB to 1GiB; default 16MiB.
        pub memory: u64 = section.or("memory", size(MIB..=GIB), 16 * MIB),

        /// `body`: the largest body that is buffered for the plugin. 0 to 1GiB; default 1MiB.
        pub body: u64 = section.or("body", size(0..=GIB), MIB),

        /// `host_call_bytes`: what one call of the gateway may copy out of the plugin, all its texts and
        /// lists together. 64KiB to 1GiB; default 4MiB. A `body` may always be as long as it is allowed to be.
        pub host_call_bytes: u64 = section.or("host_call_bytes", size(64 * KIB..=GIB), 4 * MIB),

        /// `fetches`: calls to upstreams that the plugin may have under way at the same time, in the
        /// whole gateway. 1 to 65536; default 256.
        pub fetches: usize = section.or("fetches", integer(1..=65_536), 256),

        /// `isolates`: how many isolates of the plugin may be in use at a time, 1 to 4096; each worker
        /// has its part of them, and ticks have one more. An exchange has one from its first hook to its last.
        /// Default 1024; all plugins together have 4096.
        pub isolates: usize = section.or("isolates", integer(1..=4096), 1024),

        /// `share`: how many percent of each second of a worker the plugin may compute, 1 to 100. Beyond
        /// that it is not asked until the second is over, also when nobody else wants the time. Default
        /// 100: what its calls waste the breaker bounds, and others get their turn each millisecond.
        pub share: usize = section.or("share", integer(1..=100), 100),

        /// `breaker`: when it is left alone because it fails too often.
        pub breaker: PluginBreaker = section.table("breaker", PluginBreaker::read),

        /// `log_lines`: lines that the plugin may write to the log per second, 0 to 100000. What goes
        /// beyond is dropped and counted. A hook writes 32 at most. Default 100. Why it failed is no line of
        /// its own: the gateway tells that, of each policy ten times a second at most (`left_out` counts the
        /// others), and cuts it after 1 KiB.
        pub log_lines: usize = section.or("log_lines", integer(0..=100_000), 100),

        /// `log_bytes`: the same in bytes, 0 to 1GiB. A hook writes 16KiB at most. Default 64KiB.
        pub log_bytes: u64 = section.or("log_bytes", size(0..=GIB), 64 * KIB),
    }
}

section! {
    /// `breaker = { errors = 50, calls = 20 }`: a plugin that fails too often is not asked for a while, and
    /// `on_error` says what clients get meanwhile. What counts is traps, limits that were hit and
    /// answers that break the contract; not that it gives up itself. Each worker judges for itself, and
    /// so does the thread of ticks. Then one exchange tries whether it is better. The log hook is judged by
    /// itself: one that fails too often is not called for a while, and nobody is refused for it.
    #[derive(Copy, PartialEq, Eq, Hash)]
    pub struct PluginBreaker(section) {
        /// `errors`: it opens when so many percent of the last `calls` failed, 1 to 100. Default 50.
        pub errors: usize = section.or("errors", integer(1..=100), 50),

        /// `calls`: how many of the last hooks are looked at, 1 to 64. Default 20.
        pub calls: usize = section.or("calls", integer(1..=64), 20),

        /// `wasted`: it opens as well when calls that failed, two or more, have computed for so many
        /// percent of a second, 1 to 100. Default 10.
        pub wasted: usize = section.or("wasted", integer(1..=100), 10),

        /// `open`: how long it stays open, 10ms to 1h. Default 1s. If it is not better then, twice as
        /// long, and so on up to ten times.
        pub open: Duration = section.or("open", duration(OPEN), Duration::from_secs(1)),
    }
}

const CPU: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);
const WALL: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);

const OPEN: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

fn cpu_total(section: &Section<'_>, cpu: Option<Duration>) -> Option<Duration> {
    let Some(value) = section.get("cpu_total") else { return Some(cpu?.max(Duration::from_secs(1))) };
    let (total, cpu) = (duration(WALL)(&value)?, cpu?);
    if total >= cpu {
        return Some(total);
    }
    let [total, cpu] = [total, cpu].map(show_duration);
    let error = value.error(format!("a `cpu_total` limit below the `cpu` limit: {total}"));
    value.fail(
        error
            .expected(format!("at least {cpu}, the time of one hook"))
            .hint(format!("cpu_total = \"{cpu}\"")),
    )
}

fn wall(section: &Section<'_>, cpu: Option<Duration>) -> Option<Duration> {
    let default = Duration::from_secs(1);
    let (wall, cpu) = (section.or("wall", duration(WALL), default)?, cpu?);
    if wall >= cpu {
        return Some(wall);
    }
    let [cpu, default] = [cpu, default].map(show_duration);
    match section.get("wall") {
        Some(value) => value.fail(
            value
                .error(format!("a `wall` limit below the `cpu` limit: {}", show_duration(wall)))
                .expected(format!("at least {cpu}, the time the plugin may compute"))
                .hint(format!("wall = \"{cpu}\"")),
        ),
        None => {
            let value = section.get("cpu")?;
            let error = value.error(format!("a `cpu` limit above the `wall` limit: {cpu}"));
            value.fail(
                error
                    .expected(format!("at most {default}, the default of `wall`"))
                    .hint(format!("add `wall = \"{cpu}\"`")),
            )
        }
    }
}
