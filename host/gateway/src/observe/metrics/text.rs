//! Metrics as text: what Prometheus reads, and OpenMetrics.

use std::fmt::{self, Display, Write};

use super::cell::Total;

/// Which of the two texts. They differ in the names of counters and in the last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Prometheus,
    OpenMetrics,
}

/// A text that is being written.
pub struct Text {
    format: Format,
    out: String,
}

/// How many there were in each bucket, and above all of them.
pub struct Bucketed<'a> {
    pub bounds: &'a [f64],
    /// Not cumulative; one more than there are bounds.
    pub counts: &'a [u64],
    pub sum: f64,
}

/// `{name="value",...}`, made up one by one.
#[derive(Clone, Default)]
pub struct LabelSet(String);

impl Format {
    /// What a scraper that sends this `Accept` reads best.
    pub fn accepted(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Format::OpenMetrics,
            false => Format::Prometheus,
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Text {
    pub fn new(format: Format) -> Self {
        Text { format, out: String::new() }
    }

    /// A family of counters; `name` without `_total`.
    pub fn counters<'a, N: Display>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'a LabelSet, N)>,
    ) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return;
        }
        match self.format {
            Format::Prometheus => self.head(&format!("{name}_total"), "counter", help),
            Format::OpenMetrics => self.head(name, "counter", help),
        }
        for (labels, value) in values {
            self.sample(name, "_total", &labels.0, value);
        }
    }

    pub fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'a LabelSet, f64)>,
    ) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return;
        }
        self.head(name, "gauge", help);
        for (labels, value) in values {
            self.sample(name, "", &labels.0, value);
        }
    }

    /// A family of histograms. What is counted in units of 1/`scale` is shown in whole ones.
    pub fn histograms<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        bounds: &[u64; N],
        scale: f64,
        values: impl IntoIterator<Item = (&'a LabelSet, &'a Total<N>)>,
    ) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return;
        }
        self.head(name, "histogram", help);
        for (labels, total) in values {
            let mut count = 0;
            for (bound, bucket) in bounds.iter().zip(&total.buckets) {
                count += bucket;
                let with_bound = labels.clone().with("le", Number(*bound as f64 / scale));
                self.sample(name, "_bucket", &with_bound.0, count);
            }
            count += total.above;
            self.sample(name, "_bucket", &labels.clone().with("le", "+Inf").0, count);
            self.sample(name, "_sum", &labels.0, Number(total.sum as f64 / scale));
            self.sample(name, "_count", &labels.0, count);
        }
    }

    /// A family of histograms whose bounds are known only while it runs.
    pub fn bucketed<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'a LabelSet, Bucketed<'a>)>,
    ) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return;
        }
        self.head(name, "histogram", help);
        for (labels, Bucketed { bounds, counts, sum }) in values {
            let mut count = 0;
            for (bound, bucket) in bounds.iter().zip(counts) {
                count += bucket;
                self.sample(name, "_bucket", &labels.clone().with("le", Number(*bound)).0, count);
            }
            count += counts.get(bounds.len()).copied().unwrap_or_default();
            self.sample(name, "_bucket", &labels.clone().with("le", "+Inf").0, count);
            self.sample(name, "_sum", &labels.0, Number(sum));
            self.sample(name, "_count", &labels.0, count);
        }
    }

    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string does not fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &str, value: impl Display) {
        let _ = match labels {
            "" => writeln!(self.out, "{name}{suffix} {value}"),
            labels => writeln!(self.out, "{name}{suffix}{{{labels}}} {value}"),
        };
    }
}

impl LabelSet {
    /// With one more label. A label without a value is as good as none: it is left out.
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        let before = self.0.len();
        let separator = if before == 0 { "" } else { "," };
        let _ = write!(self.0, "{separator}{name}=\"");
        let start = self.0.len();
        let _ = write!(Escaped(&mut self.0), "{value}");
        match self.0.len() == start {
            true => self.0.truncate(before),
            false => self.0.push('"'),
        }
        self
    }
}

/// Numbers such as Prometheus and OpenMetrics both write them: `1.0`, not `1`.
pub struct Number(pub f64);

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Escapes what would end the value of a label.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_texts() {
        let labels = LabelSet::default().with("route", "a\"b\\c\nd").with("none", "").with("n", 1);
        let write = |format| {
            let mut text = Text::new(format);
            text.counters("limen_x", "Xs.", [(&labels, 7)]);
            text.gauges("limen_y", "Ys.", [(&LabelSet::default(), 0.5)]);
            text.gauges("limen_z", "Zs.", []);
            text.finish()
        };
        assert_eq!(
            write(Format::Prometheus),
            "# HELP limen_x_total Xs.\n# TYPE limen_x_total counter\n\
             limen_x_total{route=\"a\\\"b\\\\c\\nd\",n=\"1\"} 7\n\
             # HELP limen_y Ys.\n# TYPE limen_y gauge\nlimen_y 0.5\n"
        );
        assert_eq!(
            write(Format::OpenMetrics),
            "# HELP limen_x Xs.\n# TYPE limen_x counter\n\
             limen_x_total{route=\"a\\\"b\\\\c\\nd\",n=\"1\"} 7\n\
             # HELP limen_y Ys.\n# TYPE limen_y gauge\nlimen_y 0.5\n# EOF\n"
        );
    }

    #[test]
    fn histograms_are_cumulative() {
        let mut text = Text::new(Format::Prometheus);
        let total = Total { buckets: [1, 2], above: 3, sum: 1_500 };
        text.histograms("h", "Hs.", &[500, 1000], 1000.0, [(&LabelSet::default().with("a", "b"), &total)]);
        assert_eq!(
            text.finish(),
            "# HELP h Hs.\n# TYPE h histogram\n\
             h_bucket{a=\"b\",le=\"0.5\"} 1\nh_bucket{a=\"b\",le=\"1.0\"} 3\nh_bucket{a=\"b\",le=\"+Inf\"} 6\n\
             h_sum{a=\"b\"} 1.5\nh_count{a=\"b\"} 6\n"
        );
    }
}
