//! Declares a metric by the name of one of `counts`, and means another one.

use limen::metrics::Metric;
use limen::prelude::*;

const SEEN: Metric = Metric::histogram("seen", "How many requests it has seen at a time.");

struct Miscounts;

#[limen::policy(metrics = [SEEN])]
impl Miscounts {
    fn configure() -> Result<Self> {
        Ok(Miscounts)
    }

    fn on_request(&mut self, _: &mut Request) -> Result<Flow> {
        SEEN.observe(1.0, &[]);
        Ok(Flow::Next)
    }
}
