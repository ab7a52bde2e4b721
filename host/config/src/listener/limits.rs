//! `limits` of a listener

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::section::{Section, section};
use crate::units::{KIB, MIB};
use crate::value::{duration, integer, size};

section! {
    /// `[listener.limits]`: what clients may use up. What goes beyond is refused, counted and told in the
    /// log (at most ten lines a second and listener; then how many more there were).
    #[derive(Copy, PartialEq, Eq)]
    pub struct ListenerLimits(section) {
        /// `connections`: open at a time, over all workers; one more is closed at once. 1 to 1000000;
        /// default 32768. (The gateway raises its limit of open files to what the system allows; a
        /// connection and its upstream's are two. Measured with a thousand at a time, an idle one takes
        /// 40KiB of memory, 50KiB under TLS, with HTTP/1.1 as with HTTP/2; one whose upload waits for a slow
        /// upstream takes 400KiB, 550KiB with HTTP/2, however long the body is; of many such uploads on one
        /// HTTP/2 connection, each takes 180KiB. What the kernel keeps for sockets is not in that.)
        pub connections: usize = section.or("connections", integer(CONNECTIONS), 32_768),

        /// `connections_per_client`: the same for one client address (of IPv6, for one /64). 1 to 1000000;
        /// default half of `connections`, so that no single one can use up all. Lower it where clients
        /// don't share addresses; not behind a load balancer, where all do.
        pub connections_per_client: usize = per_client(section, connections),

        /// `handshake`: until the TLS handshake is done. 100ms to 10m; default 10s.
        pub handshake: Duration = section.or("handshake", duration(TIME), Duration::from_secs(10)),

        /// `head`: from the first byte of a request until its head is complete, and for the first one
        /// after the connection stands. A client that is slower gets 408 if it has begun, and is let go.
        /// 100ms to 10m; default 30s.
        pub head: Duration = section.or("head", duration(TIME), Duration::from_secs(30)),

        /// `keep_alive`: how long a connection may wait for its next request. 100ms to 24h; default 75s.
        pub keep_alive: Duration = section.or("keep_alive", duration(LONG_TIME), Duration::from_secs(75)),

        /// `send`: how long a client may take nothing of what there is for it: neither of the connection
        /// nor, with HTTP/2, of one stream. The connection, or the stream, is then reset. 100ms to 24h;
        /// default 60s.
        pub send: Duration = section.or("send", duration(LONG_TIME), Duration::from_secs(60)),

        /// `head_size`: of a request's head, in bytes; a longer one is answered with 431. With HTTP/2 each
        /// header counts 32 more than its name and value. 4KiB to 1MiB; default 64KiB.
        pub head_size: u64 = section.or("head_size", size(4 * KIB..=MIB), 64 * KIB),

        /// `headers`: how many a request may have; more are answered with 431. 1 to 1000; default 100.
        pub headers: usize = section.or("headers", integer(1..=1000), 100),

        /// `target`: the length of a request's path and query, in bytes; a longer one is answered with 414.
        /// 64 to 65534; default 8KiB.
        pub target: u64 = section.or("target", size(64..=65_534), 8 * KIB),

        /// `streams`: requests under way at a time on one HTTP/2 connection. 1 to 10000; default 128.
        pub streams: usize = section.or("streams", integer(1..=10_000), 128),

        /// `stream_window`: what an HTTP/2 client may send of one request's body before anybody has read
        /// it: memory that slow uploads take, and as much as a quick one sends in one round trip (at 50ms,
        /// 256KiB are 5MB/s). 64KiB to 16MiB; default 256KiB.
        pub stream_window: u64 = section.or("stream_window", size(64 * KIB..=16 * MIB), 256 * KIB),

        /// `connection_window`: the same of all requests of a connection together. 64KiB to 64MiB; default
        /// 1MiB.
        pub connection_window: u64 = section.or("connection_window", size(64 * KIB..=64 * MIB), MIB),

        /// `frame_size`: of the largest HTTP/2 frame that a client may send. 16KiB to 1MiB; default 16KiB.
        pub frame_size: u64 = section.or("frame_size", size(16 * KIB..=MIB), 16 * KIB),
    }
}

const CONNECTIONS: RangeInclusive<usize> = 1..=1_000_000;
const TIME: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);
const LONG_TIME: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(24 * 3600);

fn per_client(section: &Section<'_>, connections: Option<usize>) -> Option<usize> {
    let given = section.optional("connections_per_client", integer(CONNECTIONS))?;
    given.or_else(|| Some(connections?.div_ceil(2)))
}
