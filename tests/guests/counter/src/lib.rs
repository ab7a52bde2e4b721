//! A static that counts: how many requests this isolate has seen (`x-count`, in the response), and
//! whether what `configure` left in memory is there (`x-configured`).

use std::sync::atomic::{AtomicU64, Ordering};

use limen::prelude::*;

static REQUESTS: AtomicU64 = AtomicU64::new(0);
static CONFIGURED: AtomicU64 = AtomicU64::new(0);

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Given back in `x-configured`.
    #[serde(default = "default_mark")]
    mark: String,
}

fn default_mark() -> String {
    "yes".into()
}

struct Counter {
    mark: String,
}

#[limen::policy]
impl Counter {
    fn configure(config: Config) -> Result<Self> {
        CONFIGURED.fetch_add(1, Ordering::Relaxed);
        Ok(Counter { mark: config.mark })
    }

    fn on_request(&mut self, _request: &mut Request) -> Result<Flow> {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        Ok(Flow::Next)
    }

    fn on_response(&mut self, response: &mut Response) -> Result<Flow> {
        response.set_header("x-count", &REQUESTS.load(Ordering::Relaxed).to_string())?;
        let configured = if CONFIGURED.load(Ordering::Relaxed) == 1 { &*self.mark } else { "no" };
        response.set_header("x-configured", configured)?;
        Ok(Flow::Next)
    }
}
