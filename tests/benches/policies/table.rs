//! What was found, for readers and for machines.

use crate::cases::{Answered, Case};
use serde_json::json;

/// A case beside one of its peers, or alone.
pub struct Row {
    pub case: &'static Case,
    /// Which of the case's peers.
    pub peer: Option<usize>,
    /// Microseconds, of each round.
    pub limen: Vec<f64>,
    pub other: Vec<f64>,
    pub failure: Option<String>,
}

pub struct Table<'a>(pub &'a [Row]);

impl Row {
    pub fn new(case: &'static Case, peer: Option<usize>) -> Row {
        Row { case, peer, limen: vec![], other: vec![], failure: None }
    }

    fn peer_name(&self) -> String {
        let peer = self.peer.map(|number| &self.case.peers[number]);
        peer.map_or_else(|| "-".to_owned(), |peer| format!("{}: {}", peer.by.name(), peer.name))
    }

    /// As the table has it: with a sign what is a difference.
    fn figure(&self, rounds: &[f64]) -> String {
        match (Spread::of(rounds), self.case.answered) {
            (None, _) => "-".to_owned(),
            (Some(Spread { median, around }), Answered::ByOrigin) => format!("{median:+.2} ±{around:.2}"),
            (Some(Spread { median, around }), Answered::ByGateway) => format!("{median:.2} ±{around:.2}"),
        }
    }

    fn ratio(&self) -> Option<f64> {
        let (ours, theirs) = (Spread::of(&self.limen)?, Spread::of(&self.other)?);
        // Of what can't be told from nothing there is no ratio.
        (theirs.median > theirs.around).then(|| ours.median.max(0.0) / theirs.median)
    }
}

impl Table<'_> {
    pub fn print(&self, json: bool) {
        if json {
            self.print_json()
        } else {
            self.print_text()
        }
        for row in self.0 {
            if let Some(failure) = &row.failure {
                eprintln!("FAILED: {} ({}): {failure}", row.case.name, row.peer_name());
            }
        }
    }

    fn print_text(&self) {
        println!(
            "{:<28}  {:>16}  {:>16}  {:>5}  beside",
            "us of CPU for each request", "limen", "other", "ratio"
        );
        for row in self.0.iter().filter(|row| row.failure.is_none()) {
            let ratio = row.ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
            let (limen, other) = (row.figure(&row.limen), row.figure(&row.other));
            println!("{:<28}  {limen:>16}  {other:>16}  {ratio:>5}  {}", row.case.name, row.peer_name());
        }
    }

    fn print_json(&self) {
        let rows = self.0.iter().map(|row| {
            json!({
                "case": row.case.name,
                "beside": row.peer_name(),
                "adds": row.case.answered == Answered::ByOrigin,
                "limen_us": row.limen,
                "other_us": row.other,
                "ratio": row.ratio(),
                "failure": row.failure,
            })
        });
        println!("{:#}", rows.collect::<serde_json::Value>());
    }
}

/// The median, and half of the range in which the middle half lies.
struct Spread {
    median: f64,
    around: f64,
}

impl Spread {
    fn of(rounds: &[f64]) -> Option<Spread> {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        (!sorted.is_empty()).then(|| Spread { median: at(0.5), around: (at(0.75) - at(0.25)) / 2.0 })
    }
}
