//! What went on at a listener, counted.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};

/// Counted since the start of the process, over all workers and reloads.
#[derive(Default)]
pub struct Counters {
    pub(super) open: AtomicUsize,
    pub(super) accepted: AtomicU64,
    pub(super) full_handshakes: AtomicU64,
    pub(super) resumed_handshakes: AtomicU64,
    pub(super) tls12: AtomicU64,
    pub(super) tls13: AtomicU64,
    pub(super) http1: AtomicU64,
    pub(super) http2: AtomicU64,
    pub(super) idle: AtomicU64,
    troubles: [AtomicU64; Trouble::ALL.len()],
}

/// Why a connection, or one of its streams, was refused or let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// `limits.connections` are open.
    Connections,
    /// `limits.connections_per_client` are open.
    ConnectionsPerClient,
    /// The TLS handshake failed.
    Handshake,
    /// It was not done within `limits.handshake`.
    SlowHandshake,
    /// A request's head, or the first one's beginning, did not come within `limits.head`.
    SlowHead,
    /// The client took nothing for `limits.send`.
    SlowReader,
    /// A request's head is longer than `limits.head_size`, or has more than `limits.headers`.
    LargeHead,
    /// What came is no HTTP.
    Malformed,
    /// HTTP/2 frames that cost work and bring nothing: resets, pings, settings.
    Flood,
}

impl Trouble {
    pub const ALL: [Trouble; 9] = [
        Trouble::Connections,
        Trouble::ConnectionsPerClient,
        Trouble::Handshake,
        Trouble::SlowHandshake,
        Trouble::SlowHead,
        Trouble::SlowReader,
        Trouble::LargeHead,
        Trouble::Malformed,
        Trouble::Flood,
    ];

    /// For metrics and the log.
    pub fn name(self) -> &'static str {
        match self {
            Trouble::Connections => "connections",
            Trouble::ConnectionsPerClient => "connections-per-client",
            Trouble::Handshake => "handshake",
            Trouble::SlowHandshake => "slow-handshake",
            Trouble::SlowHead => "slow-head",
            Trouble::SlowReader => "slow-reader",
            Trouble::LargeHead => "large-head",
            Trouble::Malformed => "malformed",
            Trouble::Flood => "flood",
        }
    }
}

impl Counters {
    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Connections that were let in.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// TLS handshakes that went all the way.
    pub fn full_handshakes(&self) -> u64 {
        self.full_handshakes.load(Relaxed)
    }

    /// TLS handshakes by which a client resumed a session.
    pub fn resumed_handshakes(&self) -> u64 {
        self.resumed_handshakes.load(Relaxed)
    }

    /// Connections of TLS 1.2.
    pub fn tls12(&self) -> u64 {
        self.tls12.load(Relaxed)
    }

    /// Connections of TLS 1.3.
    pub fn tls13(&self) -> u64 {
        self.tls13.load(Relaxed)
    }

    /// Connections of HTTP/1.1 and 1.0.
    pub fn http1(&self) -> u64 {
        self.http1.load(Relaxed)
    }

    /// Connections of HTTP/2.
    pub fn http2(&self) -> u64 {
        self.http2.load(Relaxed)
    }

    /// Connections that were closed because no request came for `limits.keep_alive`.
    pub fn idle(&self) -> u64 {
        self.idle.load(Relaxed)
    }

    /// Connections, or streams, that were refused or let go for this reason.
    pub fn troubles(&self, trouble: Trouble) -> u64 {
        self.troubles.get(trouble as usize).map_or(0, |count| count.load(Relaxed))
    }

    pub(super) fn count(&self, trouble: Trouble) {
        if let Some(count) = self.troubles.get(trouble as usize) {
            count.fetch_add(1, Relaxed);
        }
    }
}
