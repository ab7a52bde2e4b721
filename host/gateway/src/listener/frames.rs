//! Floods of HTTP/2 frames that cost work and bring nothing.
//!
//! h2 bounds what such frames make it remember (CONTINUATION, empty DATA, resets of streams that nobody
//! has seen yet); what it doesn't bound is how often a client may have it work: requests that are
//! reset at once (CVE-2023-44487), pings, settings. So each connection has an account: such frames take
//! from it, and requests, bodies and time put something in. Nobody else than an attacker meets its end.

use std::time::Instant;

/// What the account holds at first, and at most.
const FULL: u32 = 1000;
/// What a second puts in.
const PER_SECOND: u32 = 50;
/// What a stream that is reset takes: more than opening one brings. (From half of the requests reset on,
/// the account gets emptier, as in Envoy.)
const RESET: u32 = 2;

/// RFC 9113, section 4.1.
const HEADER: usize = 9;
const PREFACE: u32 = 24;

/// RFC 9113, section 6.
mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
}

/// The frames that a client sends, looked at as they come in.
pub struct Frames {
    /// What is left of the frame (or the preface) under way.
    rest: u32,
    header: [u8; HEADER],
    known: usize,
    account: u32,
    filled: Instant,
}

/// The account is empty.
#[derive(Debug)]
pub struct Flood;

impl Frames {
    pub fn new(now: Instant) -> Self {
        Frames { rest: PREFACE, header: [0; HEADER], known: 0, account: FULL, filled: now }
    }

    /// Looks at what came in.
    pub fn take(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) -> Result<(), Flood> {
        loop {
            let skipped = (self.rest as usize).min(bytes.len());
            bytes = bytes.get(skipped..).unwrap_or_default();
            self.rest -= skipped as u32;
            if bytes.is_empty() {
                return Ok(());
            }
            let wanted = HEADER - self.known;
            let (part, after) = bytes.split_at_checked(wanted).unwrap_or((bytes, &[]));
            if let Some(place) = self.header.get_mut(self.known..self.known + part.len()) {
                place.copy_from_slice(part);
            }
            self.known += part.len();
            bytes = after;
            if self.known == HEADER {
                self.known = 0;
                self.frame(&now)?;
            }
        }
    }

    fn frame(&mut self, now: &impl Fn() -> Instant) -> Result<(), Flood> {
        let [a, b, c, kind, ..] = self.header;
        self.rest = u32::from_be_bytes([0, a, b, c]);
        match kind {
            kind::HEADERS => self.put(1),
            kind::DATA if self.rest > 0 => self.put(1),
            kind::RST_STREAM => return self.pay(RESET, now),
            kind::DATA | kind::PRIORITY | kind::SETTINGS | kind::PING => return self.pay(1, now),
            _ => {}
        }
        Ok(())
    }

    fn put(&mut self, amount: u32) {
        self.account = self.account.saturating_add(amount).min(FULL);
    }

    fn pay(&mut self, price: u32, now: &impl Fn() -> Instant) -> Result<(), Flood> {
        if self.account < price {
            let now = now();
            let seconds = now.saturating_duration_since(self.filled).as_secs();
            self.put(u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(PER_SECOND));
            self.filled = now;
        }
        self.account = self.account.checked_sub(price).ok_or(Flood)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![0, (payload >> 8) as u8, payload as u8, kind, 0, 0, 0, 0, 1];
        frame.resize(HEADER + payload, 0xAA);
        frame
    }

    fn connection(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        std::iter::once(preface).chain(frames).flatten().collect()
    }

    fn take(bytes: &[u8], piece: usize) -> bool {
        let now = Instant::now();
        let mut frames = Frames::new(now);
        bytes.chunks(piece).all(|piece| frames.take(piece, || now).is_ok())
    }

    #[test]
    fn floods_are_seen_in_whatever_pieces_they_come() {
        for (kind, payload) in [(kind::PING, 8), (kind::SETTINGS, 0), (kind::PRIORITY, 5), (kind::DATA, 0)] {
            for piece in [1, 7, 9, 4096] {
                let flood = connection((0..=FULL).map(|_| frame(kind, payload)));
                assert!(!take(&flood, piece), "{kind} in pieces of {piece}");
                let fewer = connection((0..FULL).map(|_| frame(kind, payload)));
                assert!(take(&fewer, piece), "{kind} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn requests_that_are_all_reset_are_a_flood() {
        let rapid = |requests| {
            connection((0..requests).flat_map(|_| [frame(kind::HEADERS, 40), frame(kind::RST_STREAM, 4)]))
        };
        assert!(take(&rapid(900), 4096));
        assert!(!take(&rapid(1100), 4096));
    }

    #[test]
    fn who_resets_some_requests_or_pings_while_sending_may_go_on() {
        let some = |_| [frame(kind::HEADERS, 40), frame(kind::HEADERS, 40), frame(kind::RST_STREAM, 4)];
        assert!(take(&connection((0..10_000).flat_map(some)), 4096));
        let upload = |_| [frame(kind::DATA, 1000), frame(kind::PING, 8)];
        assert!(take(&connection((0..10_000).flat_map(upload)), 4096));
    }

    #[test]
    fn time_fills_the_account_again() {
        let start = Instant::now();
        let mut frames = Frames::new(start);
        let flood = connection((0..FULL).map(|_| frame(kind::PING, 8)));
        assert!(frames.take(&flood, || start).is_ok());
        let more: Vec<u8> = (0..PER_SECOND).flat_map(|_| frame(kind::PING, 8)).collect();
        let later = start + Duration::from_secs(1);
        assert!(frames.take(&more, || later).is_ok());
        assert!(frames.take(&more, || later).is_err());
    }
}
