//! Takes memory without end for `x-naughty: eat`, so many mebibytes for `x-eat`, and in `configure` as much as its settings say.

use limen::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Mebibytes that `configure` takes and keeps.
    #[serde(default)]
    kept: usize,
}

struct EatsMemory {
    kept: Vec<Vec<u8>>,
}

#[limen::policy]
impl EatsMemory {
    fn configure(config: Config) -> Result<Self> {
        Ok(EatsMemory { kept: (0..config.kept).map(|_| meal()).collect() })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        request.set_header("x-kept", &self.kept.iter().map(Vec::len).sum::<usize>().to_string())?;
        let wanted = request.header("x-eat").and_then(|wanted| wanted.parse().ok()).unwrap_or(0);
        let mut meals: Vec<Vec<u8>> = (0..wanted).map(|_| meal()).collect();
        while request.header_equals("x-naughty", "eat") {
            meals.push(meal());
        }
        Ok(Flow::Next)
    }
}

/// A mebibyte that the compiler cannot leave out.
fn meal() -> Vec<u8> {
    std::hint::black_box(vec![1; 1024 * 1024])
}
