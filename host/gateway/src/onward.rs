//! What goes on behind an answer: a copy of the exchange, through the policies behind the one that has answered, to
//! the upstream and back. Nobody waits for it.

use std::future::poll_fn;
use std::rc::Rc;

use crate::body::RequestBody;
use crate::forward::{Time, Way};
use crate::gateway::{act, local};
use crate::observe::Notes;
use crate::pipeline::{Case, Decision};
use crate::refusal;
use crate::worker::World;

/// Sends it on its way. The client's own exchange, which the log tells, is another one.
pub fn send(world: Rc<World>, route: Option<usize>, case: Box<Case>) {
    tokio::task::spawn_local(go_on(world, route, case));
}

async fn go_on(world: Rc<World>, route: Option<usize>, mut case: Box<Case>) {
    let Some(route) = route.and_then(|number| world.snapshot.routes.get(number)) else { return };
    let mut body = RequestBody::Empty;
    let mut answer = match route.pipeline.on_request(&mut case, &mut body).await {
        Decision::Answered => local(&mut case.exchange),
        Decision::Forward => {
            let notes = Notes { watch: None, track: None };
            let way = Way { time: route.timeout.request.map(Time::begin), asked: None };
            let acted = act(route, &world, &mut case, &mut None, notes, body, way).await;
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
    route.pipeline.on_response(&mut case, &mut answer).await;
    case.lay_down();
    while let Some(Ok(_)) = poll_fn(|context| answer.poll_frame(context)).await {}
    case.close().await;
    route.pipeline.on_log(&mut case).await;
    refusal::tell(&case.exchange);
}
