//! Counts its ticks under `ticks` in the store `sessions` and keeps what `/fetched` of `origin` answers under
//! `answer`; a request is told both. Its settings can make it fail, or loop.

use limen::prelude::*;
use limen::{fetch, kv};

#[derive(Deserialize, JsonSchema)]
struct Config {
    #[serde(default)]
    naughty: String,
}

struct Ticks {
    config: Config,
    ticked: bool,
}

#[limen::policy]
impl Ticks {
    fn configure(config: Config) -> Result<Self> {
        Ok(Ticks { config, ticked: false })
    }

    fn on_request(&mut self, _: &mut Request) -> Result<Flow> {
        ensure!(!self.ticked, "an isolate that ticked serves an exchange");
        let store = kv::store("sessions");
        let of = |key| Ok::<_, kv::KvError>(store.get_text(key)?.unwrap_or_else(|| "none".into()));
        Ok(Reply::new(200).text(format!("{} {} {}", of("ticks")?, of("most")?, of("answer")?)).into())
    }

    fn on_tick(&mut self) -> Result<()> {
        ensure!(!self.ticked, "an isolate that ticked ticks again");
        self.ticked = true;
        let store = kv::store("sessions");
        let at_once = store.incr("at-once", 1)?;
        let most = store.get_text("most")?.and_then(|most| most.parse().ok()).unwrap_or(0);
        store.set("most", at_once.max(most).to_string())?;
        store.incr("ticks", 1)?;
        match &*self.config.naughty {
            "fail" => {
                store.incr("at-once", -1)?;
                bail!("told to fail")
            }
            "loop" => {
                store.incr("at-once", -1)?;
                loop {
                    std::hint::black_box(());
                }
            }
            _ => {}
        }
        let answer = fetch::get("origin", "/slow?ms=20").send()?;
        store.set("answer", answer.text()?)?;
        store.incr("at-once", -1)?;
        Ok(())
    }
}
