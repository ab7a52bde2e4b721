//! What goes on behind an answer: a copy of the exchange, through the policies behind the one that has answered, to
//! the upstream and back. Nobody waits for it.

use std::future::poll_fn;
use std::rc::Rc;

use crate::body::RequestBody;
use crate::forward::{Time, Way};
use crate::gateway::{act, local};
use crate::observe::{End, Last, Notes, Told, Watch};
use crate::pipeline::{Case, Decision};
use crate::refusal;
use crate::worker::World;

/// Sends it on its way. `of` watches the client's own exchange; this one has a line of its own.
pub fn send(world: Rc<World>, route: Option<usize>, mut case: Box<Case>, of: Option<&Watch>) {
    let mut watch = None;
    if let (Some(of), Some(observers)) = (of, &world.observers) {
        let behind = of.behind(observers, &case.exchange);
        if world.calls_out() {
            behind.introduce(observers, case.exchange.request.headers_mut());
        }
        if behind.wants_hooks() {
            case.exchange.hooks = Some(Box::default());
        }
        watch = Some(behind);
    }
    let behind = Behind { world, number: route, case, watch, sent: 0, end: End::default() };
    tokio::task::spawn_local(go_on(behind));
}

/// What is under way behind an answer. Dropping it, however it ends, is what logs and counts it.
struct Behind {
    world: Rc<World>,
    number: Option<usize>,
    case: Box<Case>,
    watch: Option<Watch>,
    /// Bytes of the answer.
    sent: u64,
    end: End,
}

async fn go_on(mut behind: Behind) {
    let world = behind.world.clone();
    let Some(route) = behind.number.and_then(|number| world.snapshot.routes.get(number)) else { return };
    let Behind { case, watch, sent, end, .. } = &mut behind;
    let mut body = RequestBody::Empty;
    let mut answer = match route.pipeline.on_request(case, &mut body).await {
        Decision::Answered => local(&mut case.exchange),
        Decision::Forward => {
            let notes = Notes { watch: watch.as_ref(), track: None };
            let way = Way { time: route.timeout.request.map(Time::begin), asked: None };
            let acted = act(route, &world, case, &mut None, notes, &mut body, way).await;
            if case.is_away() {
                case.take_up().await;
            }
            acted.unwrap_or_else(|fault| {
                if !case.exchange.response_is_local {
                    refusal::respond(fault, &mut case.exchange);
                }
                local(&mut case.exchange)
            })
        }
    };
    route.pipeline.on_response(case, &mut answer).await;
    if let (Some(watch), Some(observers)) = (watch.as_ref(), &world.observers) {
        watch.answered(observers, &case.exchange.response);
    }
    case.lay_down();
    *end = End::Complete;
    // What nobody keeps nobody reads.
    while answer.is_tapped()
        && let Some(frame) = poll_fn(|context| answer.poll_frame(context)).await
    {
        match frame {
            Ok(frame) => *sent += frame.data_ref().map_or(0, |data| data.len() as u64),
            Err(error) => {
                *end = End::of(&error);
                refusal::broke_off(&error, &mut case.exchange);
                break;
            }
        }
    }
    answer.discard();
    case.close().await;
    route.pipeline.on_log(case).await;
}

impl Drop for Behind {
    fn drop(&mut self) {
        let Behind { world, number, case, watch, sent, end } = self;
        if let Some(route) = number.and_then(|number| world.snapshot.routes.get(number)) {
            route.pipeline.let_go(case);
        }
        let mut told = Told::Not;
        if let (Some(watch), Some(observers)) = (watch.take(), &world.observers) {
            let last = Last { exchange: &case.exchange, route: *number, sent: *sent, end: *end };
            told = watch.end(&world.snapshot, observers, &last);
        }
        if told == Told::Not {
            refusal::tell(&case.exchange);
        }
    }
}
