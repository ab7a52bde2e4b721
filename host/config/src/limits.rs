//! `limits` of a plugin

use std::time::Duration;

use crate::section::{Section, section};
use crate::units::{GIB, MIB, show_duration};
use crate::value::{duration, size};

section! {
    /// `limits = { cpu = "5ms", wall = "1s", memory = "16MiB", body = "1MiB" }`: what a plugin may
    /// use up. What goes beyond ends the plugin's work on that exchange; `on_error` says what then.
    #[derive(Copy, PartialEq, Eq, Hash)]
    pub struct PluginLimits(section) {
        /// `cpu`: computing time of one hook. 1ms to 10s; default 5ms.
        pub cpu: Duration = section.or("cpu", duration(CPU), Duration::from_millis(5)),

        /// `wall`: time of one hook on the clock, waiting included. At least `cpu`, at most 10m;
        /// default 1s.
        pub wall: Duration = wall(section, cpu),

        /// `memory`: what one isolate may hold. 1MiB to 1GiB; default 16MiB.
        pub memory: u64 = section.or("memory", size(MIB..=GIB), 16 * MIB),

        /// `body`: the largest body that is buffered for the plugin. 0 to 1GiB; default 1MiB.
        pub body: u64 = section.or("body", size(0..=GIB), MIB),
    }
}

const CPU: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);
const WALL: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);

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
