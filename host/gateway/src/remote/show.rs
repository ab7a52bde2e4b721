//! What a running gateway says of itself, as lines for people.

use std::fmt::Write;

use serde_json::Value;

/// The answer of `/status`.
pub fn status(status: &Value) -> String {
    let mut text = format!(
        "limen {}: {}, process {}, up for {}\n",
        word(status, "version"),
        word(status, "stage"),
        number(status, "process"),
        span(number(status, "uptime_seconds")),
    );
    let _ = writeln!(
        text,
        "{}: generation {}, {} routes{}",
        word(status, "file"),
        number(status, "generation"),
        number(status, "routes"),
        last_reload(status.get("reloads")),
    );
    section(&mut text, "listeners", list(status, "listeners").iter().map(listener).collect());
    let mut upstreams = Vec::new();
    for upstream in list(status, "upstreams") {
        upstreams.push(of_upstream(upstream));
        upstreams.extend(list(upstream, "endpoints").iter().map(endpoint));
    }
    section(&mut text, "upstreams", upstreams);
    section(&mut text, "plugins", list(status, "plugins").iter().map(plugin).collect());
    let last = status.get("reloads").and_then(|reloads| reloads.get("last")).unwrap_or(&Value::Null);
    let kept_back = list(last, "kept_back").iter();
    let kept_back =
        kept_back.map(|it| Row::new(1, [word(it, "plugin"), word(it, "live"), word(it, "because")]));
    section(&mut text, "on their last good version", kept_back.collect());
    let left_out = list(status, "left_out").iter();
    let left_out = left_out.map(|it| Row::new(1, [word(it, "file"), String::new(), word(it, "because")]));
    section(&mut text, "left out of the plugins", left_out.collect());
    text.trim_end().to_owned()
}

/// The answer of `POST /reload`.
pub fn reload(outcome: &Value) -> String {
    let mut text = String::new();
    let took = number(outcome, "took_ms");
    if outcome.get("ok").and_then(Value::as_bool) == Some(true) {
        let but = but_for(list(outcome, "kept_back").len());
        let _ = writeln!(text, "the configuration is live{but} ({took} ms)");
    } else {
        let _ = writeln!(text, "the new configuration is refused, the running one serves on ({took} ms)");
    }
    for kept in list(outcome, "kept_back") {
        let (plugin, live) = (word(kept, "plugin"), word(kept, "live"));
        let _ = writeln!(text, "plugin `{plugin}` stays on {live}: {}", word(kept, "because"));
    }
    for error in list(outcome, "errors") {
        let place = match (number(error, "line"), number(error, "column")) {
            (0, _) => word(error, "file"),
            (line, column) => format!("{}:{line}:{column}", word(error, "file")),
        };
        let _ = writeln!(text, "{place}: {}", word(error, "message"));
        for more in ["expected", "hint"] {
            let said = word(error, more);
            if !said.is_empty() {
                let _ = writeln!(text, "  {more}: {said}");
            }
        }
    }
    text.trim_end().to_owned()
}

/// The answer of `POST /caches/purge`.
pub fn purged(purged: &Value) -> String {
    let mut text = format!("forgotten: {} responses\n", number(purged, "purged"));
    let caches = list(purged, "caches").iter();
    let row = |cache| Row::new(1, [word(cache, "name"), number(cache, "purged").to_string(), String::new()]);
    section(&mut text, "caches", caches.map(row).collect());
    text.trim_end().to_owned()
}

fn last_reload(reloads: Option<&Value>) -> String {
    let Some(last) = reloads.and_then(|reloads| reloads.get("last")).filter(|last| !last.is_null()) else {
        return String::new();
    };
    match last.get("ok").and_then(Value::as_bool) {
        Some(true) => format!(", reloaded at {}{}", word(last, "at"), but_for(list(last, "kept_back").len())),
        _ => {
            let errors = match list(last, "errors").len() {
                1 => "one error".to_owned(),
                many => format!("{many} errors"),
            };
            format!("; a reload at {} was refused ({errors}: see `limen check`)", word(last, "at"))
        }
    }
}

/// How many plugins are not of the version that the files have.
fn but_for(kept_back: usize) -> String {
    match kept_back {
        0 => String::new(),
        1 => ", but one plugin stays on its last good version".to_owned(),
        many => format!(", but {many} plugins stay on their last good versions"),
    }
}

fn listener(listener: &Value) -> Row {
    let scheme = if listener.get("tls").and_then(Value::as_bool) == Some(true) { "https" } else { "http" };
    let address = match word(listener, "address") {
        closed if closed.is_empty() => "closed".to_owned(),
        address => format!("{scheme}://{address}"),
    };
    let open = number(listener, "open_connections");
    Row::new(1, [word(listener, "name"), address, format!("{open} connections")])
}

fn of_upstream(upstream: &Value) -> Row {
    let (healthy, all) = (number(upstream, "healthy"), list(upstream, "endpoints").len());
    let mut load = format!("{} under way", number(upstream, "in_flight"));
    if number(upstream, "waiting") > 0 {
        let _ = write!(load, ", {} waiting", number(upstream, "waiting"));
    }
    let breaker = word(upstream, "breaker");
    if !breaker.is_empty() {
        let _ = write!(load, ", breaker {breaker}");
    }
    Row::new(1, [word(upstream, "name"), format!("{healthy} of {all} healthy"), load])
}

fn endpoint(endpoint: &Value) -> Row {
    let mut condition = word(endpoint, "condition");
    let because = word(endpoint, "because");
    if !because.is_empty() {
        let _ = write!(condition, " ({because})");
    }
    let load = format!("{} under way", number(endpoint, "in_flight"));
    Row::new(2, [word(endpoint, "address"), condition, load])
}

fn plugin(plugin: &Value) -> Row {
    let mut notes = Vec::new();
    match number(plugin, "held_back_workers") {
        0 => {}
        1 => notes.push("held back by 1 worker".to_owned()),
        workers => notes.push(format!("held back by {workers} workers")),
    }
    let because = word(plugin, "no_image_because");
    if !because.is_empty() {
        notes.push(format!("no image: {because}"));
    }
    Row::new(1, [word(plugin, "name"), word(plugin, "version"), notes.join(", ")])
}

/// A line of a table.
struct Row {
    depth: usize,
    cells: [String; 3],
}

impl Row {
    fn new(depth: usize, cells: [String; 3]) -> Self {
        Row { depth, cells }
    }
}

fn section(text: &mut String, title: &str, rows: Vec<Row>) {
    if rows.is_empty() {
        return;
    }
    let first = |row: &Row| row.depth * 2 + row.cells[0].chars().count();
    let second = |row: &Row| row.cells[1].chars().count();
    let widths = (rows.iter().map(first).max().unwrap_or(0), rows.iter().map(second).max().unwrap_or(0));
    let _ = writeln!(text, "{title}");
    for Row { depth, cells: [name, middle, last] } in &rows {
        let (indent, width) = (depth * 2, widths.0 - depth * 2);
        let line =
            format!("{:indent$}{name:width$}  {middle:middle_width$}  {last}", "", middle_width = widths.1);
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

/// Text, fit for a terminal; empty if there is none.
pub fn word(value: &Value, key: &str) -> String {
    visible(value.get(key).and_then(Value::as_str).unwrap_or_default())
}

/// What others say must not reach a terminal as a command.
pub fn visible(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// `3d 4h`, `2h 5m`, `17s`: the two largest units.
fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut left = seconds;
    let parts = units.into_iter().filter_map(|(size, unit)| {
        let count = left / size;
        left %= size;
        (count > 0).then(|| format!("{count}{unit}"))
    });
    let parts: Vec<_> = parts.take(2).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn spans() {
        for (seconds, text) in [(0, "0s"), (17, "17s"), (7_500, "2h 5m"), (86_400 * 3 + 5, "3d 5s")] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn what_an_endpoint_says_is_no_command_to_a_terminal() {
        let status = json!({ "upstreams": [{ "name": "u", "healthy": 0, "endpoints": [
            { "address": "10.0.0.1:1", "condition": "unhealthy", "because": "\u{1b}[2J" },
        ] }] });
        let shown = super::status(&status);
        assert!(shown.contains("10.0.0.1:1  unhealthy ( [2J)"), "{shown}");
    }
}
