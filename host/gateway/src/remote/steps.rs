//! What goes on in a reload, for whoever looks on: one line that is renewed on a terminal, else a line for each step.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::show::{visible, word};
use crate::screen::Line;

/// How often a download is told of where lines stay.
const TELL_EVERY: Duration = Duration::from_secs(5);

pub struct Steps<W: Write> {
    line: Line<W>,
    /// By the names of plugins.
    downloads: BTreeMap<String, Download>,
}

struct Download {
    from: String,
    received: u64,
    size: Option<u64>,
    told: Instant,
}

impl<W: Write> Steps<W> {
    pub fn new(line: Line<W>) -> Self {
        Steps { line, downloads: BTreeMap::new() }
    }

    /// One more, as a gateway tells it. What is not known is left out: the gateway may be newer.
    pub fn told(&mut self, step: &Value) {
        let plugin = word(step, "plugin");
        let what = word(step, "step");
        if what == "downloading" {
            return self.downloading(plugin, step);
        }
        self.downloads.clear();
        match &*what {
            "compiling" => self.line.say(&format!("compiling {plugin}")),
            "configuring" => self.line.say(&format!("configuring {plugin} for {}", word(step, "route"))),
            "again" => self.line.say("the files have changed again: loading what they say now"),
            _ => {}
        }
    }

    fn downloading(&mut self, plugin: String, step: &Value) {
        let number = |key| step.get(key).and_then(Value::as_u64);
        let (received, size) = (number("received").unwrap_or(0), number("size"));
        let known = self.downloads.get(&plugin);
        let is_soon = known.is_some_and(|known| known.told.elapsed() < TELL_EVERY);
        let is_over = size == Some(received);
        let told = known.filter(|_| is_soon).map_or_else(Instant::now, |known| known.told);
        let download = Download { from: short(&word(step, "from")), received, size, told };
        let own = download.to_string();
        self.downloads.insert(plugin, download);
        match self.line.is_terminal {
            true => self.line.say(&all(&self.downloads)),
            false if is_over || !is_soon => self.line.say(&own),
            false => {}
        }
    }
}

impl std::fmt::Display for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Download { from, received, size, told: _ } = self;
        write!(f, "downloading {from}")?;
        match size {
            Some(size) => write!(f, " ({})", amount(*received, *size)),
            None => Ok(()), // its manifest is yet to come
        }
    }
}

/// All that are under way, in one line.
fn all(downloads: &BTreeMap<String, Download>) -> String {
    if downloads.len() == 1 {
        return downloads.values().map(Download::to_string).collect();
    }
    let names: Vec<_> = downloads.keys().map(String::as_str).collect();
    let received = downloads.values().map(|it| it.received).sum();
    // Of those whose manifest has come.
    let known = match downloads.values().filter_map(|it| it.size).sum() {
        0 => String::new(),
        size => format!(" ({})", amount(received, size)),
    };
    format!("downloading {} components{known}: {}", names.len(), names.join(", "))
}

/// `2.1 of 5.0 MiB`.
fn amount(received: u64, size: u64) -> String {
    let (unit, name) = if size < 1 << 20 { (1 << 10, "KiB") } else { (1 << 20, "MiB") };
    let of = |bytes: u64| bytes as f64 / f64::from(unit);
    format!("{:.1} of {:.1} {name}", of(received), of(size))
}

/// A reference as people know it: by its tag, and if it has none by the beginning of its digest.
fn short(reference: &str) -> String {
    const DIGITS: usize = "sha256:".len() + 12;
    let Some((name, digest)) = reference.split_once('@') else { return visible(reference) };
    let has_tag = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    match has_tag {
        true => name.to_owned(),
        false => format!("{name}@{}", digest.chars().take(DIGITS).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(steps: &[Value], is_terminal: bool) -> String {
        let mut out = Vec::new();
        let mut shown = Steps::new(Line::new(&mut out, is_terminal));
        steps.iter().for_each(|step| shown.told(step));
        drop(shown);
        String::from_utf8(out).unwrap()
    }

    fn download(plugin: &str, received: u64, size: Option<u64>) -> Value {
        let from = format!("registry.example.com/policies/{plugin}:1.0@sha256:{}", "a".repeat(64));
        let mut step = json!({ "step": "downloading", "plugin": plugin, "from": from, "received": received });
        if let Some(size) = size {
            step["size"] = size.into();
        }
        step
    }

    #[test]
    fn lines_stay_where_nobody_renews_them() {
        let steps = [
            download("region", 0, None),
            download("region", 2_202_010, Some(5 << 20)),
            download("region", 5 << 20, Some(5 << 20)),
            json!({ "step": "compiling", "plugin": "region\u{1b}[2J" }),
            json!({ "step": "configuring", "plugin": "region", "route": "/v1/**" }),
            json!({ "step": "of a newer gateway" }),
            json!({ "step": "again" }),
        ];
        let expected = "downloading registry.example.com/policies/region:1.0\n\
                        downloading registry.example.com/policies/region:1.0 (5.0 of 5.0 MiB)\n\
                        compiling region [2J\nconfiguring region for /v1/**\n\
                        the files have changed again: loading what they say now\n";
        assert_eq!(told(&steps, false), expected, "what came is told every few seconds, and at last");
    }

    #[test]
    fn a_terminal_has_one_line_for_all() {
        let steps = [
            download("region", 0, None),
            download("geo", 0, None),
            download("region", 2_202_010, Some(5 << 20)),
        ];
        let shown = told(&steps, true);
        for line in [
            "downloading registry.example.com/policies/region:1.0",
            "downloading 2 components: geo, region",
            "downloading 2 components (2.1 of 5.0 MiB): geo, region",
        ] {
            assert!(shown.contains(&format!("{line}\x1b")), "{line}: {shown:?}");
        }
        assert!(!shown.contains('\n'), "{shown:?}");
    }

    #[test]
    fn what_has_no_tag_is_known_by_its_digest() {
        let digest = format!("sha256:{}", "0123456789".repeat(6));
        assert_eq!(short(&format!("localhost:5000/a/b@{digest}")), "localhost:5000/a/b@sha256:012345678901");
        assert_eq!(short(&format!("localhost:5000/a/b:1@{digest}")), "localhost:5000/a/b:1");
    }
}
