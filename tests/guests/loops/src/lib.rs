//! Loops for ever in `on_request` for `x-naughty: loop`, or for every request when its settings say so.

use limen::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Loop for every request, not only for those that ask for it.
    #[serde(default)]
    always: bool,
}

struct Loops {
    always: bool,
}

#[limen::policy]
impl Loops {
    fn configure(config: Config) -> Result<Self> {
        Ok(Loops { always: config.always })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        if self.always || request.header_equals("x-naughty", "loop") {
            spin();
        }
        Ok(Flow::Next)
    }
}

/// A loop that the compiler can neither end nor leave out.
fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
