//! When a period begins and ends, where people live.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde::Deserialize;

/// How long one counts until it begins anew.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Period {
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

/// From a moment to another, in minutes since 1970 (UTC): no zone of today changes within one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// The windows of a period in a time zone. The one that it is in is remembered: to look at it is one load.
#[derive(Debug)]
pub(super) struct Calendar {
    period: Period,
    zone: TimeZone,
    current: AtomicU64,
}

impl Calendar {
    pub(super) fn new(period: Period, zone: TimeZone) -> Self {
        Calendar { period, zone, current: AtomicU64::new(0) }
    }

    /// The window that it is in.
    pub(super) fn now(&self) -> Window {
        self.window(Timestamp::now()).unwrap_or_default()
    }

    /// The window of a moment; none: it is out of the calendar.
    pub(super) fn window(&self, now: Timestamp) -> Option<Window> {
        let packed = self.current.load(Ordering::Relaxed);
        let known = Window { start: (packed >> 32) as u32, end: packed as u32 };
        let minute = u32::try_from(now.as_second().div_euclid(60)).ok()?;
        if (known.start..known.end).contains(&minute) {
            return Some(known);
        }
        let found = self.find(now)?;
        self.current.store(u64::from(found.start) << 32 | u64::from(found.end), Ordering::Relaxed);
        Some(found)
    }

    fn find(&self, now: Timestamp) -> Option<Window> {
        let here = now.to_zoned(self.zone.clone());
        let midnight = |date: Date| date.to_zoned(self.zone.clone()).ok();
        let (start, end) = match self.period {
            Period::Minute => {
                let start = here.with().second(0).subsec_nanosecond(0).build().ok()?;
                let end = start.checked_add(1.minute()).ok()?;
                (start, end)
            }
            Period::Hour => {
                let start = here.with().minute(0).second(0).subsec_nanosecond(0).build().ok()?;
                let end = start.checked_add(1.hour()).ok()?;
                (start, end)
            }
            Period::Day => (midnight(here.date())?, midnight(here.date().tomorrow().ok()?)?),
            Period::Week => {
                let since = here.date().weekday().to_monday_zero_offset();
                let monday = here.date().checked_sub(i64::from(since).days()).ok()?;
                (midnight(monday)?, midnight(monday.checked_add(7.days()).ok()?)?)
            }
            Period::Month => {
                let first = here.date().first_of_month();
                (midnight(first)?, midnight(first.checked_add(1.month()).ok()?)?)
            }
        };
        let minute = |at: Zoned| u32::try_from(at.timestamp().as_second() / 60).ok();
        Some(Window { start: minute(start)?, end: minute(end)? })
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.period {
            Period::Minute => "minute",
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
        };
        write!(f, "{period} of {}", self.zone.iana_name().unwrap_or("no zone"))
    }
}

impl Window {
    /// How long it still lasts.
    pub(super) fn rest(self, now: Timestamp) -> Duration {
        let end = i64::from(self.end) * 60_000 - now.as_millisecond();
        Duration::from_millis(u64::try_from(end).unwrap_or(0))
    }

    /// How long it is.
    pub(super) fn length(self) -> Duration {
        Duration::from_secs(u64::from(self.end.saturating_sub(self.start)) * 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(period: Period, zone: &str, now: &str) -> (String, String) {
        let calendar = Calendar::new(period, TimeZone::get(zone).unwrap());
        let now: Timestamp = now.parse().unwrap();
        let window = calendar.window(now).unwrap();
        assert_eq!(calendar.window(now), Some(window), "the same again");
        let text = |minute: u32| Timestamp::from_second(i64::from(minute) * 60).unwrap().to_string();
        (text(window.start), text(window.end))
    }

    #[test]
    fn periods_begin_where_people_live() {
        for (period, zone, now, start, end) in [
            (Period::Minute, "UTC", "2026-03-04T05:06:07Z", "2026-03-04T05:06:00Z", "2026-03-04T05:07:00Z"),
            (
                Period::Hour,
                "Asia/Kolkata",
                "2026-03-04T05:06:07Z",
                "2026-03-04T04:30:00Z",
                "2026-03-04T05:30:00Z",
            ),
            (
                Period::Day,
                "Europe/Berlin",
                "2026-06-01T23:30:00Z",
                "2026-06-01T22:00:00Z",
                "2026-06-02T22:00:00Z",
            ),
            // A day of 23 hours, and one of 25.
            (
                Period::Day,
                "Europe/Berlin",
                "2026-03-29T12:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z",
            ),
            (
                Period::Day,
                "Europe/Berlin",
                "2026-10-25T12:00:00Z",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z",
            ),
            (Period::Week, "UTC", "2026-03-01T12:00:00Z", "2026-02-23T00:00:00Z", "2026-03-02T00:00:00Z"),
            (
                Period::Month,
                "America/New_York",
                "2026-03-01T04:59:59Z",
                "2026-02-01T05:00:00Z",
                "2026-03-01T05:00:00Z",
            ),
            (
                Period::Month,
                "America/New_York",
                "2026-03-31T12:00:00Z",
                "2026-03-01T05:00:00Z",
                "2026-04-01T04:00:00Z",
            ),
        ] {
            assert_eq!(window(period, zone, now), (start.to_owned(), end.to_owned()), "{period:?} {zone}");
        }
    }

    #[test]
    fn it_moves_on_and_says_how_long_it_lasts() {
        let calendar = Calendar::new(Period::Hour, TimeZone::UTC);
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let first = calendar.window(at("2026-03-04T05:59:59Z")).unwrap();
        assert_eq!(first.rest(at("2026-03-04T05:59:59.5Z")), Duration::from_millis(500));
        assert_eq!(first.length(), Duration::from_secs(3600));
        let second = calendar.window(at("2026-03-04T06:00:00Z")).unwrap();
        assert_eq!(second.start, first.end);
    }
}
