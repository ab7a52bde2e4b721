//! How long a client may take for what it does now.
//!
//! The [`Clock`] is told what moves: bytes that come in, writes that stand still, requests that begin
//! and end; a few plain numbers, and no timer. The [`Watch`] looks at it whenever the connection has done
//! what it could, and has one timer, which is moved only where a limit comes nearer: a connection that is
//! used all the time never meets it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use limen_config::ListenerLimits;
use tokio::time::Sleep;

/// What moves on a connection. Only its own worker touches it: the atomics are there because hyper
/// wants sockets that could be sent to another thread.
#[derive(Default)]
pub struct Clock {
    /// Requests under way.
    busy: AtomicU32,
    /// Requests that have begun, ever.
    begun: AtomicU32,
    /// Bytes that came before the first request; no more than are counted.
    early: AtomicU32,
    /// Whether some came since the last request.
    reading: AtomicBool,
    /// The client takes no more.
    blocked: AtomicBool,
    /// How often it took something.
    taken: AtomicU32,
    /// Nobody waits for the client any more.
    given_up: AtomicBool,
    /// The client sends what brings nothing.
    flooded: AtomicBool,
}

/// A request under way, as long as it is held.
pub struct InFlight(Arc<Clock>);

/// Which limits the bytes of a connection are measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// A limit that was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// Nothing came.
    Silent,
    /// The head came too slowly.
    Head,
    /// No further request came.
    Idle,
    /// The client took nothing.
    Send,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before the first byte.
    First,
    Head,
    Idle,
    Busy,
}

/// Enough for the preface of HTTP/2 and the head of the frame that has to follow (RFC 9113, section 3.4).
const PREFACE: u32 = 24 + 9;

impl Clock {
    /// A request begins.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.busy.store(self.busy.load(Relaxed) + 1, Relaxed);
        self.begun.store(self.begun.load(Relaxed).wrapping_add(1), Relaxed);
        self.reading.store(false, Relaxed);
        InFlight(self.clone())
    }

    /// So many bytes came.
    pub fn read(&self, length: usize) {
        if self.busy.load(Relaxed) == 0 {
            self.reading.store(true, Relaxed);
            let early = self.early.load(Relaxed);
            if early < PREFACE {
                self.early.store(early.saturating_add(u32::try_from(length).unwrap_or(u32::MAX)), Relaxed);
            }
        }
    }

    /// What was to be written was taken, or has to wait for the client.
    pub fn wrote(&self, blocked: bool) {
        if blocked {
            self.blocked.store(true, Relaxed);
        } else if self.blocked.load(Relaxed) {
            self.blocked.store(false, Relaxed);
            self.taken.store(self.taken.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }

    /// Whether something that was to be written waits for the client.
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    /// The client is to be reset: it takes nothing.
    pub fn give_up(&self) {
        self.given_up.store(true, Relaxed);
    }

    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Relaxed)
    }

    /// The client has sent too much of what brings nothing. (hyper keeps no errors of ours.)
    pub fn flood(&self) {
        self.flooded.store(true, Relaxed);
    }

    pub fn is_flooded(&self) -> bool {
        self.flooded.load(Relaxed)
    }

    fn phase(&self, protocol: Protocol) -> Phase {
        if self.busy.load(Relaxed) > 0 {
            return Phase::Busy;
        }
        let (reading, early) = (self.reading.load(Relaxed), self.early.load(Relaxed));
        match protocol {
            // Where no request is under way, frames about the connection may come at any time.
            Protocol::Http2 if early >= PREFACE => Phase::Idle,
            _ if reading => Phase::Head,
            _ if self.begun.load(Relaxed) > 0 => Phase::Idle,
            _ => Phase::First,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.busy.store(self.0.busy.load(Relaxed).saturating_sub(1), Relaxed);
    }
}

/// Says when a client has taken too long.
pub struct Watch {
    clock: Arc<Clock>,
    protocol: Protocol,
    head: Duration,
    keep_alive: Duration,
    send: Duration,
    /// What it did at the last look, since when, and which request it was then.
    phase: Phase,
    request: u32,
    since: Instant,
    /// How often the client had taken something when it was first seen to take no more, and when.
    blocked: Option<(u32, Instant)>,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Watch {
    pub fn new(clock: Arc<Clock>, protocol: Protocol, limits: &ListenerLimits, now: Instant) -> Self {
        Watch {
            clock,
            protocol,
            head: limits.head,
            keep_alive: limits.keep_alive,
            send: limits.send,
            phase: Phase::First,
            request: 0,
            since: now,
            blocked: None,
            timer: None,
        }
    }

    /// When which limit is passed, unless something moves before.
    fn look(&mut self, now: impl Fn() -> Instant) -> Option<(Instant, Expired)> {
        let (phase, request) = (self.clock.phase(self.protocol), self.clock.begun.load(Relaxed));
        if phase == Phase::Busy {
            // What comes after it is another phase, even if no look falls between this and that.
            self.phase = phase;
        } else if (phase, request) != (self.phase, self.request) {
            (self.phase, self.request, self.since) = (phase, request, now());
        }
        let progress = match phase {
            Phase::First => Some((self.since + self.head, Expired::Silent)),
            Phase::Head => Some((self.since + self.head, Expired::Head)),
            Phase::Idle => Some((self.since + self.keep_alive, Expired::Idle)),
            Phase::Busy => None,
        };
        let taken = self.clock.taken.load(Relaxed);
        self.blocked = match self.blocked {
            _ if !self.clock.blocked.load(Relaxed) => None,
            Some((then, since)) if then == taken => Some((then, since)),
            _ => Some((taken, now())),
        };
        let send = self.blocked.map(|(_, since)| (since + self.send, Expired::Send));
        match (progress, send) {
            (Some(progress), Some(send)) => Some(if send.0 < progress.0 { send } else { progress }),
            (progress, send) => progress.or(send),
        }
    }

    /// Ends when a limit is passed. To be polled after the connection has done what it could.
    pub async fn expired(&mut self) -> Expired {
        std::future::poll_fn(|context| self.poll_expired(context)).await
    }

    fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<Expired> {
        loop {
            let Some((deadline, expired)) = self.look(Instant::now) else { return Poll::Pending };
            let timer = match &mut self.timer {
                Some((set, timer)) => {
                    if deadline < *set {
                        timer.as_mut().reset(deadline.into());
                        *set = deadline;
                    }
                    timer
                }
                none => {
                    let timer = Box::pin(tokio::time::sleep_until(deadline.into()));
                    &mut none.insert((deadline, timer)).1
                }
            };
            ready!(timer.as_mut().poll(context));
            if Instant::now() >= deadline {
                self.timer = None;
                return Poll::Ready(expired);
            }
            // It was set for what is over: now for what is.
            timer.as_mut().reset(deadline.into());
            if let Some((set, _)) = &mut self.timer {
                *set = deadline;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(30);
    const KEEP_ALIVE: Duration = Duration::from_secs(75);
    const SEND: Duration = Duration::from_secs(60);

    struct Timeline {
        clock: Arc<Clock>,
        watch: Watch,
        start: Instant,
    }

    impl Timeline {
        fn new(protocol: Protocol) -> Self {
            let (clock, start) = (Arc::<Clock>::default(), Instant::now());
            let watch = Watch {
                clock: clock.clone(),
                protocol,
                head: HEAD,
                keep_alive: KEEP_ALIVE,
                send: SEND,
                phase: Phase::First,
                request: 0,
                since: start,
                blocked: None,
                timer: None,
            };
            Timeline { clock, watch, start }
        }

        /// Which limit is passed when, in seconds, as seen at this second.
        fn at(&mut self, second: u64) -> Option<(u64, Expired)> {
            let now = self.start + Duration::from_secs(second);
            let found = self.watch.look(|| now);
            found.map(|(deadline, expired)| (deadline.duration_since(self.start).as_secs(), expired))
        }
    }

    #[test]
    fn a_silent_client_is_not_waited_for() {
        let mut http1 = Timeline::new(Protocol::Http1);
        assert_eq!(http1.at(0), Some((30, Expired::Silent)));
        assert_eq!(http1.at(29), Some((30, Expired::Silent)));
    }

    #[test]
    fn a_head_has_its_time_from_its_first_byte_whatever_trickles_in() {
        let mut http1 = Timeline::new(Protocol::Http1);
        for second in [5, 10, 34] {
            http1.clock.read(1);
            assert_eq!(http1.at(second), Some((35, Expired::Head)));
        }
    }

    #[test]
    fn what_a_request_takes_is_not_the_clients_fault() {
        let mut http1 = Timeline::new(Protocol::Http1);
        http1.clock.read(100);
        let request = http1.clock.begin();
        assert_eq!(http1.at(1), None);
        http1.clock.read(1000);
        assert_eq!(http1.at(1000), None);
        drop(request);
        assert_eq!(http1.at(1000), Some((1075, Expired::Idle)));
        assert_eq!(http1.at(1050), Some((1075, Expired::Idle)));
        http1.clock.read(1);
        assert_eq!(http1.at(1051), Some((1081, Expired::Head)));
        // Begun and ended between two looks.
        drop(http1.clock.begin());
        assert_eq!(http1.at(1060), Some((1135, Expired::Idle)));
        drop(http1.clock.begin());
        assert_eq!(http1.at(1070), Some((1145, Expired::Idle)));
    }

    #[test]
    fn half_a_preface_is_not_enough_and_pings_are_no_requests() {
        let mut http2 = Timeline::new(Protocol::Http2);
        http2.clock.read(20);
        assert_eq!(http2.at(1), Some((31, Expired::Head)));
        http2.clock.read(13);
        assert_eq!(http2.at(2), Some((77, Expired::Idle)));
        http2.clock.read(17);
        assert_eq!(http2.at(70), Some((77, Expired::Idle)));
        let (one, two) = (http2.clock.begin(), http2.clock.begin());
        drop(one);
        assert_eq!(http2.at(80), None);
        drop(two);
        assert_eq!(http2.at(81), Some((156, Expired::Idle)));
    }

    #[test]
    fn a_client_that_takes_something_now_and_then_is_waited_for() {
        let mut http1 = Timeline::new(Protocol::Http1);
        let _request = http1.clock.begin();
        http1.clock.wrote(true);
        assert_eq!(http1.at(10), Some((70, Expired::Send)));
        http1.clock.wrote(true);
        assert_eq!(http1.at(60), Some((70, Expired::Send)));
        http1.clock.wrote(false);
        http1.clock.wrote(true);
        assert_eq!(http1.at(65), Some((125, Expired::Send)));
        http1.clock.wrote(false);
        assert_eq!(http1.at(66), None);
    }
}
