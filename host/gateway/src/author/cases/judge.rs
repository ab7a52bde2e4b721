//! What was expected of a step, and what came.

use http::HeaderMap;
use limen_config::suite::{Asked, At, Expect, Message, Request, Step, TextMatch};
use limen_config::{Errors, Place};

use super::super::stage::{Note, Outcome, Response, Seen};
use super::matching;

/// An expectation that was not met.
#[derive(Debug)]
pub struct Miss {
    pub place: Place,
    pub expected: String,
    pub found: String,
    /// Which time of how many, where a step is repeated.
    pub time: Option<(usize, usize)>,
}

impl Miss {
    pub fn new(place: &Place, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Miss { place: place.clone(), expected: expected.into(), found: found.into(), time: None }
    }

    /// The settings were to be taken.
    pub fn refused(place: &Place, errors: &Errors) -> Self {
        let place = errors.iter().next().map_or(place, |error| &error.place);
        Miss::new(place, "settings and grants that the policy takes", messages(errors))
    }

    /// The settings were to be refused.
    pub fn not_refused(refused: &At<TextMatch>) -> Self {
        Miss::new(&refused.place, "the settings are refused", "they are taken")
    }
}

fn messages(errors: &Errors) -> String {
    let told = |error: &limen_config::ConfigError| match &error.hint {
        Some(hint) => format!("{} ({hint})", error.message),
        None => error.message.clone(),
    };
    errors.iter().map(told).collect::<Vec<_>>().join("\n")
}

/// The settings were refused, and were to be.
pub fn refusal(refused: &At<TextMatch>, errors: &Errors) -> Vec<Miss> {
    let mut misses = Vec::new();
    text(refused, messages(errors).as_bytes(), &mut misses);
    misses
}

/// All that is not as it has to be.
pub fn step(step: &Step, outcome: &Outcome, log: &[String]) -> Vec<Miss> {
    let Step { expect, place, .. } = step;
    let mut misses = Vec::new();
    failure(expect, place, &outcome.notes, &mut misses);
    match &outcome.response {
        Some(Ok(found)) => response(expect, place, found, &mut misses),
        // That it breaks off before its head is one way to break off.
        Some(Err(_)) if expect.broken.as_ref().is_some_and(|broken| broken.value) => {}
        Some(Err(why)) => misses.push(Miss::new(place, "a response", why.as_str())),
        None => {}
    }
    hooks(expect, &outcome.notes, &mut misses);
    if let Some(At { place, value }) = &expect.consumer {
        let found = outcome.notes.iter().rev().find_map(|note| note.consumer.clone());
        if *value != found {
            misses.push(Miss::new(place, named(value.as_deref()), named(found.as_deref())));
        }
    }
    let none = Vec::new();
    for (name, seen) in &outcome.seen {
        for call in seen.iter().filter(|seen| !seen.answered) {
            let what = format!("{} {}", call.method, call.target);
            misses.push(Miss::new(
                place,
                format!("an answer of `{name}` in `fetch`"),
                format!("it was asked {what}"),
            ));
        }
    }
    if let Some(At { place, value }) = &expect.upstream {
        asked(value, place, outcome.seen.get(limen_config::suite::ORIGIN).unwrap_or(&none), &mut misses);
    }
    for (name, At { place, value }) in &expect.fetch {
        calls(value, place, outcome.seen.get(name).unwrap_or(&none), &mut misses);
    }
    for line in &expect.log {
        if let Some(miss) = logged(line, log) {
            misses.push(miss);
        }
    }
    misses.sort_by_key(|miss| (miss.place.line, miss.place.column));
    misses
}

/// A policy fails if that is expected, and only then.
fn failure(expect: &Expect, place: &Place, notes: &[Note], misses: &mut Vec<Miss>) {
    let found = notes.iter().find_map(|note| Some((note, note.failure.as_ref()?)));
    let told = |(note, (kind, reason)): &(&Note, &(limen_policy::FailureKind, String))| {
        let hook = note.phase.map_or("tick", |phase| phase.name());
        // What follows a trap is where in the component it was.
        let reason = reason.lines().next().unwrap_or_default();
        format!("{} in the {hook} hook: {reason}", kind.name())
    };
    match (&expect.failure, &found) {
        (None, None) => {}
        (None, Some(found)) => misses.push(Miss::new(place, "no failure of the policy", told(found))),
        (Some(wanted), None) => misses.push(Miss::new(&wanted.place, wanted.value, "no failure")),
        (Some(wanted), Some(found)) if wanted.value != found.1.0.name() => {
            misses.push(Miss::new(&wanted.place, wanted.value, told(found)));
        }
        (Some(_), Some(_)) => {}
    }
}

fn response(expect: &Expect, place: &Place, found: &Response, misses: &mut Vec<Miss>) {
    if let Some(At { place, value }) = &expect.status
        && *value != found.status
    {
        misses.push(Miss::new(place, value.as_str(), found.status.as_str()));
    }
    let wants_broken = expect.broken.as_ref().is_some_and(|broken| broken.value);
    match &found.read.broken {
        Some(why) if !wants_broken => {
            let found = format!("it breaks off after {} bytes ({why})", found.read.body.len());
            misses.push(Miss::new(place, "a whole response", found));
        }
        None if wants_broken => {
            let place = expect.broken.as_ref().map_or(place, |broken| &broken.place);
            misses.push(Miss::new(place, "a response that breaks off", "a whole one"));
        }
        _ => {}
    }
    message(&expect.message, &found.headers, &found.read.body, &found.read.trailers, misses);
}

fn message(wanted: &Message, headers: &HeaderMap, body: &[u8], trailers: &HeaderMap, misses: &mut Vec<Miss>) {
    let Message { headers: wanted_headers, body: wanted_body, json, has, trailers: wanted_trailers } = wanted;
    for (fields, found) in [(wanted_headers, headers), (wanted_trailers, trailers)] {
        for (name, At { place, value }) in fields {
            misses.extend(matching::header(value, found, name).map(|(e, f)| Miss::new(place, e, f)));
        }
    }
    if let Some(wanted) = wanted_body {
        text(wanted, body, misses);
    }
    if let Some(At { place, value }) = json {
        misses.extend(matching::json(value, body, false).map(|(e, f)| Miss::new(place, e, f)));
    }
    if let Some(At { place, value }) = has {
        misses.extend(matching::json(value, body, true).map(|(e, f)| Miss::new(place, e, f)));
    }
}

fn text(wanted: &At<TextMatch>, found: &[u8], misses: &mut Vec<Miss>) {
    misses.extend(matching::text(&wanted.value, found).map(|(e, f)| Miss::new(&wanted.place, e, f)));
}

/// The last one counts: those before were tried again.
fn asked(wanted: &Asked, place: &Place, seen: &[Seen], misses: &mut Vec<Miss>) {
    match (wanted, seen.last()) {
        (Asked::Nothing, Some(seen)) => {
            misses.push(Miss::new(place, "not asked", format!("asked {} {}", seen.method, seen.target)));
        }
        (Asked::Anything | Asked::This(_), None) => misses.push(Miss::new(place, "asked", "not asked")),
        (Asked::Nothing, None) | (Asked::Anything, Some(_)) => {}
        (Asked::This(wanted), Some(seen)) => request(wanted, seen, misses),
    }
}

fn calls(wanted: &[Asked], place: &Place, seen: &[Seen], misses: &mut Vec<Miss>) {
    if wanted.len() != seen.len() {
        let called: Vec<_> = seen.iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect();
        let found = format!("{} calls: {}", seen.len(), called.join(", "));
        return misses.push(Miss::new(
            place,
            format!("{} calls", wanted.len()),
            found.trim_end_matches(": "),
        ));
    }
    for (wanted, seen) in wanted.iter().zip(seen) {
        asked(wanted, place, std::slice::from_ref(seen), misses);
    }
}

fn request(wanted: &Request, seen: &Seen, misses: &mut Vec<Miss>) {
    let Request { method, target, message: parts } = wanted;
    if let Some(At { place, value }) = method
        && *value != seen.method
    {
        misses.push(Miss::new(place, value.as_str(), seen.method.as_str()));
    }
    if let Some(target) = target {
        text(target, seen.target.as_bytes(), misses);
    }
    message(parts, &seen.headers, &seen.read.body, &seen.read.trailers, misses);
}

/// The last call of a hook counts, where there are several.
fn hooks(expect: &Expect, notes: &[Note], misses: &mut Vec<Miss>) {
    for (phase, At { place, value }) in &expect.hooks {
        let of_phase = |note: &&Note| note.phase.is_some_and(|it| it.name() == phase);
        let found = notes.iter().rev().find(of_phase).map_or("none", |note| note.outcome);
        if *value != found {
            misses.push(Miss::new(place, *value, found));
        }
    }
}

/// What is in it some line has; what it lacks none has.
fn logged(wanted: &At<TextMatch>, log: &[String]) -> Option<Miss> {
    let At { place, value } = wanted;
    let fits = |line: &&String| matching::text(value, line.as_bytes()).is_none();
    let only_lacks = value.contains.is_empty() && value.matches.is_none() && value.is.is_none();
    let well = match only_lacks {
        true => log.iter().all(|line| fits(&line)),
        false => log.iter().any(|line| fits(&line)),
    };
    let said = if log.is_empty() { "no line".to_owned() } else { log.join("\n") };
    (!well).then(|| Miss::new(place, matching::described(value), said))
}

fn named(consumer: Option<&str>) -> String {
    consumer.map_or_else(|| "nobody".to_owned(), |id| format!("{id:?}"))
}
