//! What crosses between a policy and the gateway: counted in requests of their own, in a gateway that looks at all that
//! its calls are given and answer. Nothing is timed there.

use std::path::Path;
use std::sync::Arc;

use limen_config::suite::Played;

use super::timer::{Timer, Times};
use crate::StartError;
use crate::author::stage::Stage;
use crate::worker::alive;

/// So many are counted, and the first few are not: what they find in stores and caches others do.
const REQUESTS: u32 = 20;
const WARM_UP: u32 = 5;

/// Bytes of texts and lists, for one request; pieces of bodies that hooks are given are among them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crossed {
    pub to_policy: f64,
    pub from_policy: f64,
}

pub fn count(component: &Path, played: &Played) -> Result<Crossed, StartError> {
    let stage = Stage::counting_bytes(component)?;
    let times = Arc::<Times>::default();
    let around = |_, policy| Box::new(Timer::new(policy, times.clone())) as Box<_>;
    let case = &played.case;
    let Some(step) = case.steps.first() else { return Ok(Crossed::default()) };
    let scene =
        stage.raise(played.config.clone(), case.http2, &case.place, around).map_err(StartError::Config)?;
    let counted = scene.play(async |playing| {
        playing.fill(case).await;
        let mut visitor = playing.enter(&step.request, 0, alive().0).await?;
        let mut pieces = 0;
        for request in 0..WARM_UP + REQUESTS {
            if request == WARM_UP {
                limen_wasm::Crossed::take();
                pieces = times.pieces();
            }
            playing.cast(step);
            visitor.ask(&step.request).await?;
        }
        Ok::<_, String>((limen_wasm::Crossed::take(), times.pieces() - pieces))
    })?;
    let (crossed, pieces) =
        counted.map_err(|what| StartError::Machine(format!("could not measure it: {what}")))?;
    let each = |bytes: u64| bytes as f64 / f64::from(REQUESTS);
    Ok(Crossed { to_policy: each(crossed.to_guest + pieces), from_policy: each(crossed.from_guest) })
}
