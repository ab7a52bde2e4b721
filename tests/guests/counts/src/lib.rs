//! Counts requests by the header `x-kind`, and how large the header `x-size` says they are; and what it has
//! never declared.

use limen::metrics::Metric;
use limen::prelude::*;

const SEEN: Metric = Metric::counter("seen", "Requests that it has seen.").labels(&["kind"]);
const SIZE: Metric =
    Metric::histogram("size", "How large they say they are.").unit("bytes").buckets(&[10.0, 100.0]);
const UNDECLARED: Metric = Metric::counter("unheard_of", "Not declared.");

struct Counts;

#[limen::policy(metrics = [SEEN, SIZE])]
impl Counts {
    fn configure() -> Result<Self> {
        // Nobody counts here.
        SEEN.add(1000, &[]);
        Ok(Counts)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        SEEN.add(1, &[("kind", &request.header("x-kind").unwrap_or_default())]);
        if let Some(size) = request.header("x-size").and_then(|size| size.parse().ok()) {
            SIZE.observe(size, &[]);
        }
        if request.has_header("x-undeclared") {
            UNDECLARED.add(1, &[]);
            SEEN.add(1, &[("colour", "red")]);
        }
        Ok(Flow::Next)
    }
}
