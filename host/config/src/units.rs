//! Durations and sizes: a number and a unit.

use std::time::Duration;

const DURATIONS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

const SIZES: &[(&str, u64)] = &[
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

/// What is wrong with a number with a unit.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    pub message: String,
    pub hint: Option<String>,
}

/// "250us", "5ms", "1.5s", "2m", "1h".
pub fn duration(text: &str) -> Result<Duration, Malformed> {
    let nanos = quantity(text, "duration", "s", DURATIONS)?;
    Ok(Duration::from_nanos(nanos))
}

/// "512", "64KiB", "10kB", "1GiB", in bytes.
pub fn size(text: &str) -> Result<u64, Malformed> {
    quantity(text, "size", "MiB", SIZES)
}

fn quantity(text: &str, what: &str, usual: &str, units: &[(&str, u64)]) -> Result<u64, Malformed> {
    let malformed = |message: String, hint: Option<String>| Malformed { message, hint };
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let unit = unit.trim_start_matches(' ');
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err(malformed(format!("not a {what}: `{text}`"), None));
    }
    let Some(&(_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        if unit.is_empty() {
            return Err(malformed(
                format!("a {what} without a unit: `{text}`"),
                Some(format!("did you mean \"{number}{usual}\"?")),
            ));
        }
        let near = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit) || starts_alike(name, unit));
        let hint = near.map(|(name, _)| format!("did you mean \"{number}{name}\"?"));
        return Err(malformed(format!("a {what} with an unknown unit: `{unit}`"), hint));
    };
    let too_large = || malformed(format!("too large a {what}: `{text}`"), None);
    let whole: u128 = whole.parse().map_err(|_| too_large())?;
    // Nanoseconds and bytes are whole, so nine places are as many as can matter.
    let places: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let billionths: u128 = places.parse().map_err(|_| too_large())?;
    let total = whole
        .checked_mul(u128::from(factor))
        .and_then(|total| total.checked_add(billionths * u128::from(factor) / 1_000_000_000))
        .ok_or_else(too_large)?;
    u64::try_from(total).map_err(|_| too_large())
}

/// "16M" may well mean "16MiB", "2sec" "2s" and "5min" "5m".
fn starts_alike(name: &str, unit: &str) -> bool {
    let (name, unit) = (name.to_lowercase(), unit.to_lowercase());
    let binary = name.len() != 2 || !name.ends_with('b');
    !name.is_empty()
        && binary
        && (name.starts_with(&unit) || (name.len() == 1 && name != "b" && unit.starts_with(&name)))
}

/// The shortest way to write a duration: 5ms, 90s, 2m.
pub fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let unit = DURATIONS
        .iter()
        .rev()
        .find(|(name, factor)| *name != "µs" && nanos.is_multiple_of(u128::from(*factor)));
    match unit {
        Some((name, factor)) if nanos > 0 => format!("{}{name}", nanos / u128::from(*factor)),
        _ => "0s".to_owned(),
    }
}

/// The shortest way to write a size: 512B, 64KiB, 1GiB.
pub(crate) fn show_size(size: u64) -> String {
    match [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")]
        .iter()
        .find(|(factor, _)| size > 0 && size.is_multiple_of(*factor))
    {
        Some((factor, name)) => format!("{}{name}", size / factor),
        None => format!("{size}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, micros) in [
            ("250us", 250),
            ("250µs", 250),
            ("5ms", 5_000),
            ("1.5s", 1_500_000),
            ("0.25ms", 250),
            ("2m", 120_000_000),
            ("1h", 3_600_000_000),
            ("0s", 0),
            ("10 s", 10_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for bad in [
            "",
            "s",
            "5",
            "-5s",
            "1..5s",
            ".5s",
            "5.s",
            "5 parsecs",
            "1e3s",
            "99999999999999h",
            "٣s",
            "5s5",
            "1,5s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("512", 512),
            ("0", 0),
            ("10kB", 10_000),
            ("64KiB", 65_536),
            ("1.5GiB", 3 << 29),
            ("16 MiB", 16 << 20),
            ("7B", 7),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in [
            "",
            "MiB",
            "16M",
            "16mib",
            "-1",
            "1e3",
            "99999999999GiB",
            "99999999999999999999999999999999999999999999",
        ] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_near_unit_is_suggested() {
        for (result, hint) in [
            (size("16M").map(|_| ()), "16MiB"),
            (size("16mib").map(|_| ()), "16MiB"),
            (size("16K").map(|_| ()), "16KiB"),
            (duration("5").map(|_| ()), "5s"),
            (duration("5min").map(|_| ()), "5m"),
            (duration("5sec").map(|_| ()), "5s"),
            (duration("5MS").map(|_| ()), "5ms"),
        ] {
            assert_eq!(result.unwrap_err().hint, Some(format!("did you mean \"{hint}\"?")));
        }
    }

    #[test]
    fn shown_as_they_would_be_written() {
        for text in ["250us", "5ms", "90s", "2m", "1h", "1500ms", "0s"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        for text in ["512B", "64KiB", "1GiB", "1000B", "0B"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
    }
}
