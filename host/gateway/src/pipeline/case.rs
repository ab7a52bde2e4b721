//! One exchange and what its policies keep of it; and where that lies while streams go on beside it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use http::Request;
use limen_policy::{Exchange, Onward, Phase, Seat};
use smallvec::SmallVec;
use tokio::sync::Notify;

/// One exchange, and what its policies keep of it: all that a hook is called with.
#[derive(Default)]
pub struct Case {
    pub exchange: Box<Exchange>,
    /// One for each policy that has been asked.
    pub seats: SmallVec<[Place; 2]>,
    /// None until hooks may be called beside the exchange's own course: most never have one.
    desk: Option<Rc<Desk>>,
    /// This one only stands in: the real one is on the desk.
    is_away: bool,
    /// A copy that goes on behind the answer that a policy has given.
    onward: Option<Box<Case>>,
}

/// One policy in one exchange.
pub enum Place {
    /// It takes part, and keeps this.
    In(Seat),
    /// It failed: it is not asked again.
    Out,
}

/// Where a case lies for whoever has a hook to call, one at a time: the bodies on their way, the attempts at
/// an upstream, and the exchange's own course when it goes on.
pub struct Desk {
    case: RefCell<Option<Case>>,
    free: Notify,
    /// A hook beside the course has answered the exchange.
    answered: Cell<bool>,
    /// Wakes the exchange's own course.
    course: Cell<Option<Waker>>,
    /// The exchange has ended.
    is_closed: Cell<bool>,
    /// The head of the response is there: a request's chunk can't be answered any more.
    is_back: Cell<bool>,
    /// The last phase that is surely over.
    reached: Cell<Phase>,
    /// The policies that a body still goes through, once for each body.
    streams: RefCell<Vec<usize>>,
}

/// A case that somebody has taken from the desk; dropping this puts it back.
pub struct Turn {
    desk: Rc<Desk>,
    case: Option<Case>,
}

impl Case {
    pub fn new(exchange: Exchange) -> Self {
        // Each field by name: what `..Case::default()` would give up again is an exchange.
        Case {
            exchange: Box::new(exchange),
            seats: SmallVec::new(),
            desk: None,
            is_away: false,
            onward: None,
        }
    }

    /// Makes a copy that goes on behind the answer of this policy; those before it take no part.
    pub fn fork(&mut self, number: usize, onward: Onward) {
        let Onward { request, seat } = onward;
        let mut copy = Case::new(self.exchange.onward(request));
        copy.seats.resize_with(number, || Place::Out);
        copy.seats.push(Place::In(Some(seat)));
        self.onward = Some(Box::new(copy));
    }

    /// The copy that goes on, once.
    pub fn take_onward(&mut self) -> Option<Box<Case>> {
        self.onward.take()
    }

    /// Where it can be laid down.
    pub fn desk(&mut self) -> Rc<Desk> {
        self.desk.get_or_insert_with(Rc::default).clone()
    }

    /// The same, if there is one.
    pub fn has_desk(&self) -> Option<Rc<Desk>> {
        self.desk.clone()
    }

    pub fn is_away(&self) -> bool {
        self.is_away
    }

    /// Whether a body still goes through this policy.
    pub fn streams(&self, number: usize) -> bool {
        self.desk.as_ref().is_some_and(|desk| desk.streams.borrow().contains(&number))
    }

    /// This policy takes no part any more.
    pub fn leave_out(&mut self, number: usize) {
        if let Some(place) = self.seats.get_mut(number) {
            *place = Place::Out;
        }
    }

    /// Lays it on its desk, if it has one, and leaves what stands in for it.
    pub fn lay_down(&mut self) {
        let Some(desk) = self.desk.clone().filter(|_| !self.is_away) else { return };
        let Exchange { id, client, route, .. } = &*self.exchange;
        let named = Exchange::new(id.clone(), client.clone(), route.clone(), Request::new(()));
        let stand_in = Case { desk: Some(desk.clone()), is_away: true, ..Case::new(named) };
        desk.put(std::mem::replace(self, stand_in));
    }

    /// Takes it up again, once nobody else has it.
    pub async fn take_up(&mut self) {
        if !self.is_away {
            return;
        }
        if let Some(desk) = self.desk.clone()
            && let Some(mut turn) = desk.take().await
            && let Some(mut case) = turn.case.take()
        {
            // What went wrong meanwhile.
            case.exchange.refusal = case.exchange.refusal.take().or(self.exchange.refusal.take());
            *self = case;
        }
    }

    /// Waits for something while the case is on its desk; none if a hook answers meanwhile.
    pub async fn aside<T>(&mut self, waiting: impl Future<Output = T>) -> Option<T> {
        let desk = self.desk();
        self.lay_down();
        let output = {
            let mut waiting = pin!(waiting);
            poll_fn(|context| {
                let output = waiting.as_mut().poll(context);
                // It may have come to something, or to nothing, because a hook answered.
                if desk.answered.get() {
                    return Poll::Ready(None);
                }
                desk.course.set(Some(context.waker().clone()));
                output.map(Some)
            })
            .await
        };
        self.take_up().await;
        let answered = desk.answered.replace(false);
        output.filter(|_| !answered)
    }

    /// Takes it up for good: hooks beside the exchange's own course are called no more.
    pub async fn close(&mut self) {
        self.take_up().await;
        if let Some(desk) = &self.desk {
            desk.is_closed.set(true);
            desk.free.notify_waiters();
        }
    }
}

impl Desk {
    /// The case, once nobody else has it; none when the exchange has ended.
    pub async fn take(self: &Rc<Self>) -> Option<Turn> {
        loop {
            let free = self.free.notified();
            if self.is_closed.get() {
                return None;
            }
            let case = self.case.borrow_mut().take();
            if case.is_some() {
                return Some(Turn { desk: self.clone(), case });
            }
            free.await;
        }
    }

    fn put(&self, case: Case) {
        *self.case.borrow_mut() = Some(case);
        self.free.notify_one();
    }

    /// The answer is in the exchange: there is nothing to wait for.
    pub fn answer(&self) {
        self.answered.set(true);
        if let Some(course) = self.course.take() {
            course.wake();
        }
    }

    /// The head of the response is there.
    pub fn response_is_back(&self) {
        self.is_back.set(true);
        self.answered.set(false);
    }

    /// Whether the head of the response is there.
    pub fn is_back(&self) -> bool {
        self.is_back.get()
    }

    pub fn reach(&self, phase: Phase) {
        self.reached.set(phase);
    }

    pub fn reached(&self) -> Phase {
        self.reached.get()
    }

    /// A body goes through this policy.
    pub fn open(&self, number: usize) {
        self.streams.borrow_mut().push(number);
    }

    /// It goes through it no more.
    pub fn close(&self, number: usize) {
        let mut streams = self.streams.borrow_mut();
        if let Some(place) = streams.iter().position(|&open| open == number) {
            streams.swap_remove(place);
        }
    }
}

impl Default for Desk {
    fn default() -> Self {
        Desk {
            case: RefCell::default(),
            free: Notify::new(),
            answered: Cell::new(false),
            course: Cell::new(None),
            is_closed: Cell::new(false),
            is_back: Cell::new(false),
            reached: Cell::new(Phase::RequestTrailers),
            streams: RefCell::default(),
        }
    }
}

impl Turn {
    /// What was taken. (It is there as long as the turn is.)
    pub fn case(&mut self) -> &mut Case {
        self.case.get_or_insert_default()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(case) = self.case.take() {
            self.desk.put(case);
        }
    }
}
