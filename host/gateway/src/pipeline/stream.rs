//! A body that goes through one policy, piece by piece: the next one is read when this one was taken.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use limen_config::OnError;
use limen_policy::{Chunk, Failure, Phase, Side, Subject, Verdict};
use tokio::task::yield_now;

use super::{Case, Desk, Policies};
use crate::body::{Filtered, Outlet, Refused, Rest};
use crate::head::hop_by_hop;

/// The most bytes that a policy is given at a time.
const CHUNK: usize = 64 << 10;

/// One policy on the way of one body.
pub struct Stream {
    policies: Policies,
    number: usize,
    desk: Rc<Desk>,
    side: Side,
    /// Whether it is asked about pieces.
    chunks: bool,
    /// Whether it is asked about trailers.
    trailers: bool,
    /// Whether what went on is something else than what came.
    changed: bool,
    /// Whether something went on.
    sent: bool,
    open: Option<Open>,
}

/// As long as this lives, the policy may be asked about the body.
struct Open {
    desk: Rc<Desk>,
    number: usize,
}

/// Why it is asked no more.
enum Ended {
    /// It lets the rest go by itself.
    Alone,
    /// There is no more.
    All,
    /// The answer is in the exchange.
    Answered,
    /// It failed when it was too late for an answer.
    Reset,
}

impl Stream {
    /// One that is asked about trailers, if the policy has the hook.
    pub fn new(policies: &Policies, number: usize, case: &mut Case, side: Side) -> Self {
        let desk = case.desk();
        desk.open(number);
        let open = Some(Open { desk: desk.clone(), number });
        let phases = policies.get(number).map(|attached| attached.policy.phases()).unwrap_or_default();
        let trailers = phases.has(trailers_of(side));
        let (policies, chunks, changed, sent) = (policies.clone(), false, false, false);
        Stream { policies, number, desk, side, chunks, trailers, changed, sent, open }
    }

    pub fn asked_about_chunks(self) -> Self {
        Stream { chunks: true, ..self }
    }

    /// Nobody waits to see whether it has another answer.
    pub fn with_its_head_sent(self) -> Self {
        Stream { sent: true, ..self }
    }

    /// The body as it is behind this policy.
    pub fn through<B>(self, body: B) -> Filtered<B>
    where
        B: Body<Data = Bytes, Error: From<Refused>> + Unpin + 'static,
    {
        Filtered::new(|outlet| Box::pin(self.pump(body, outlet)))
    }

    async fn pump<B>(mut self, mut body: B, outlet: Outlet) -> Rest<B>
    where
        B: Body<Data = Bytes, Error: From<Refused>> + Unpin,
    {
        let ended = loop {
            let frame = match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.transpose() {
                Ok(frame) => frame,
                Err(error) => return Rest::Broken(error),
            };
            if let Err(ended) = self.frame(frame, body.is_end_stream(), &outlet).await {
                break ended;
            }
        };
        self.release().await;
        match ended {
            Ended::Alone => Rest::Pass(body),
            Ended::All => Rest::End,
            Ended::Answered => Rest::Answered,
            Ended::Reset => Rest::Broken(Refused.into()),
        }
    }

    /// Asks about what came, and passes on what is to go on.
    async fn frame(
        &mut self,
        frame: Option<Frame<Bytes>>,
        is_last: bool,
        outlet: &Outlet,
    ) -> Result<(), Ended> {
        let Some(frame) = frame else {
            self.piece(Bytes::new(), true, outlet).await?;
            return Err(Ended::All);
        };
        match frame.into_data() {
            Ok(data) if data.is_empty() && !is_last => {}
            Ok(mut data) => {
                while data.len() > CHUNK && self.chunks {
                    self.piece(data.split_to(CHUNK), false, outlet).await?;
                    // A hook that takes less than a tick keeps the worker to itself; so would a row of them.
                    yield_now().await;
                }
                self.piece(data, is_last, outlet).await?;
            }
            Err(frame) => {
                self.piece(Bytes::new(), true, outlet).await?;
                if let Ok(trailers) = frame.into_trailers() {
                    self.end_with(trailers, outlet).await?;
                }
                return Err(Ended::All);
            }
        }
        if self.chunks || self.trailers { Ok(()) } else { Err(Ended::Alone) }
    }

    async fn piece(&mut self, data: Bytes, last: bool, outlet: &Outlet) -> Result<(), Ended> {
        let goes_on = match self.chunks {
            true => self.ask(data, last).await?,
            false => data,
        };
        if !goes_on.is_empty() {
            self.give(Frame::data(goes_on), outlet).await;
        }
        Ok(())
    }

    /// What goes on in the place of a piece.
    async fn ask(&mut self, data: Bytes, last: bool) -> Result<Bytes, Ended> {
        let chunk = Chunk { data: data.clone(), last, emitted: Vec::new() };
        let phase = match self.side {
            Side::Request => Phase::RequestChunk,
            Side::Response => Phase::ResponseChunk,
        };
        let (verdict, subject) = self.consult(phase, Subject::Chunk(Box::new(chunk)), !self.changed).await?;
        self.chunks &= !last;
        match (verdict, subject) {
            (Some(Verdict::Emitted), Subject::Chunk(chunk)) => {
                self.changed = true;
                Ok(Bytes::from(chunk.emitted))
            }
            (Some(Verdict::Drop), _) => {
                self.changed |= !data.is_empty();
                Ok(Bytes::new())
            }
            (Some(Verdict::PassRest) | None, _) => {
                self.chunks = false;
                Ok(data)
            }
            _ => Ok(data),
        }
    }

    /// The last of it: trailers go on as the policy leaves them.
    async fn end_with(&mut self, mut trailers: HeaderMap, outlet: &Outlet) -> Result<(), Ended> {
        if self.trailers {
            let subject = Subject::Trailers(Box::new(trailers));
            let (_, subject) = self.consult(trailers_of(self.side), subject, true).await?;
            let Subject::Trailers(edited) = subject else { return Err(Ended::Reset) };
            trailers = *edited;
            hop_by_hop::strip_trailers(&mut trailers);
        }
        if !trailers.is_empty() {
            self.give(Frame::trailers(trailers), outlet).await;
        }
        Ok(())
    }

    async fn give(&mut self, frame: Frame<Bytes>, outlet: &Outlet) {
        self.sent = true;
        outlet.give(frame).await;
    }

    /// Asks the policy; no verdict if it takes no part any more. `may_skip` tells whether what is to come
    /// makes sense without it.
    async fn consult(
        &mut self,
        phase: Phase,
        subject: Subject,
        may_skip: bool,
    ) -> Result<(Option<Verdict>, Subject), Ended> {
        let Some(mut turn) = self.desk.take().await else { return Err(Ended::Reset) };
        let case = turn.case();
        case.exchange.subject = subject;
        let is_sent = match self.side {
            Side::Request => self.desk.is_back(),
            Side::Response => self.sent,
        };
        case.exchange.is_sent = is_sent;
        let verdict = self.policies.consult(self.number, phase, case).await;
        case.exchange.is_sent = false;
        let subject = std::mem::take(&mut case.exchange.subject);
        match verdict {
            Ok(Some(Verdict::Reply)) => Err(self.answered()),
            Ok(verdict) => Ok((verdict, subject)),
            Err(failure) => self.failed(case, failure, may_skip, is_sent).map(|()| (None, subject)),
        }
    }

    /// Does what the operator wrote for failures, as far as it can still be done.
    fn failed(&self, case: &mut Case, failure: Failure, may_skip: bool, is_sent: bool) -> Result<(), Ended> {
        let (policies, number) = (&self.policies, self.number);
        let attached = policies.get(number);
        // The head says already what one that recodes would have made of it.
        let skips = attached.is_some_and(|it| it.on_error == OnError::Skip && !it.policy.recodes());
        if may_skip && skips {
            policies.gave_up(number, case, &failure, "skipped");
            return Ok(());
        }
        if is_sent {
            policies.gave_up(number, case, &failure, "the stream is reset");
            return Err(Ended::Reset);
        }
        policies.refused(number, case, failure);
        Err(self.answered())
    }

    fn answered(&self) -> Ended {
        if self.side == Side::Request {
            self.desk.answer();
        }
        Ended::Answered
    }

    /// Lets the policy go, if no hook is left for it.
    async fn release(&mut self) {
        self.open = None;
        if let Some(mut turn) = self.desk.take().await {
            self.policies.release(self.number, self.desk.reached(), turn.case());
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.desk.close(self.number);
    }
}

fn trailers_of(side: Side) -> Phase {
    match side {
        Side::Request => Phase::RequestTrailers,
        Side::Response => Phase::ResponseTrailers,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use http::Request;
    use http_body_util::{BodyExt, Full};
    use limen_policy::{Answer, Client, Exchange, Phases, Policy, Seat};

    use super::super::{Attached, Place};
    use super::*;

    /// It notes how often its neighbour had a turn before each piece.
    struct Notes {
        turns: Arc<AtomicUsize>,
        seen: Arc<Mutex<Vec<usize>>>,
    }

    impl Policy for Notes {
        fn phases(&self) -> Phases {
            Phases::default().with(Phase::RequestChunk)
        }

        fn call<'a>(&'a self, _: Phase, _: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
            self.seen.lock().unwrap().push(self.turns.load(Ordering::Relaxed));
            Answer::Ready(Ok(Verdict::Next))
        }
    }

    #[tokio::test]
    async fn others_of_the_worker_have_their_turn_between_the_pieces_of_one_frame() {
        const PIECES: usize = 5;
        let (turns, seen) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<usize>>>::default());
        let policy = Box::new(Notes { turns: turns.clone(), seen: seen.clone() });
        let attached =
            Attached { name: "a".to_owned(), policy, on_error: OnError::Refuse, lines: Arc::default() };
        let request = Request::new(());
        let mut case =
            Case::new(Exchange::new(Default::default(), Client::default(), Arc::default(), request));
        case.seats.push(Place::In(None));
        let policies = Policies::new(vec![attached]);
        let stream = Stream::new(&policies, 0, &mut case, Side::Request).asked_about_chunks();
        case.lay_down();
        let neighbour = tokio::spawn(async move {
            loop {
                turns.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        });
        let frame = Full::from(vec![0; PIECES * CHUNK]).map_err(|never| -> Refused { match never {} });
        let behind = stream.through(frame).collect().await.unwrap();
        neighbour.abort();
        assert_eq!(behind.to_bytes().len(), PIECES * CHUNK);
        let seen = seen.lock().unwrap();
        assert!(seen.len() >= PIECES && seen[..PIECES].is_sorted_by(|one, next| one < next), "{seen:?}");
    }
}
