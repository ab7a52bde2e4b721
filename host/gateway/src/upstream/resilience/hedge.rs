//! A request to more than one endpoint, because the first is slow: the first good answer wins.

use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use limen_config::Hedge;
use tokio::time::sleep;

use super::super::attempt::{Course, Failed};
use super::budget::Spending;
use super::permit::Permit;
use super::{Answer, Exchange};

type Outcome = Result<Answer, Box<Failed>>;

/// One of those that are under way. Dropping it cancels it.
struct Runner<'a> {
    running: Pin<Box<dyn Future<Output = Outcome> + 'a>>,
    /// Of its own, beside that of the exchange.
    permit: Option<Permit>,
    course: usize,
}

#[allow(clippy::large_enum_variant, reason = "looked at once, where it is made")]
enum Event {
    Ended(usize, Outcome),
    Late,
}

/// Which endpoints were asked is in `course` afterwards.
pub async fn race(exchange: &Exchange<'_>, terms: &Hedge, course: &Course) -> Outcome {
    let further: Vec<Course> = (0..terms.max).map(|_| course.beside()).collect();
    let courses: Vec<&Course> = std::iter::once(course).chain(&further).collect();
    let first = Runner { running: Box::pin(exchange.one_try(course)), permit: None, course: 0 };
    let mut runners = vec![first];
    let mut started = 1;
    let mut late = Box::pin(sleep(terms.after));
    // The best of those that were not good.
    let mut poor: Option<Outcome> = None;
    let outcome = loop {
        let event = std::future::poll_fn(|context| {
            for (place, runner) in runners.iter_mut().enumerate() {
                if let Poll::Ready(outcome) = runner.running.as_mut().poll(context) {
                    return Poll::Ready(Event::Ended(place, outcome));
                }
            }
            if started < courses.len() {
                late.as_mut().poll(context).map(|()| Event::Late)
            } else {
                Poll::Pending
            }
        });
        match event.await {
            Event::Late => {
                if let Some(next) = courses.get(started)
                    && let Some(permit) = may_start(exchange, &courses)
                {
                    next.avoid(&courses);
                    runners.push(Runner {
                        running: Box::pin(exchange.one_try(next)),
                        permit,
                        course: started,
                    });
                    started += 1;
                }
                late = Box::pin(sleep(terms.after));
            }
            Event::Ended(place, mut outcome) => {
                let Runner { running: _, permit, course } = runners.swap_remove(place);
                let good = is_good(&outcome);
                if good && course > 0 {
                    exchange.upstream.counts().hedge_won();
                }
                if let (Ok(answer), Some(permit)) = (&mut outcome, permit) {
                    answer.body.hold(permit);
                }
                if good {
                    break outcome;
                }
                let better = match poor.take() {
                    Some(Ok(before)) => Ok(before),
                    _ => outcome,
                };
                if runners.is_empty() {
                    break better;
                }
                poor = Some(better);
            }
        }
    };
    drop(runners);
    course.avoid(&courses);
    outcome
}

/// Whether waiting for others can make it no better.
fn is_good(outcome: &Outcome) -> bool {
    match outcome {
        Ok(answer) => !answer.head.status().is_server_error(),
        Err(failed) => failed.trouble.is_none(),
    }
}

/// Whether one more may be sent, and with which permit.
fn may_start(exchange: &Exchange<'_>, courses: &[&Course]) -> Option<Option<Permit>> {
    let Exchange { upstream, on, original, .. } = exchange;
    if !original.can_fork(&on.retries) || Course::asked(courses).len() >= upstream.here().set.endpoints.len()
    {
        return None;
    }
    let permit = match &on.permits {
        None => None,
        Some(permits) => Some(permits.try_acquire()?),
    };
    match on.budget.spend(Instant::now()) {
        Spending::Granted => upstream.counts().hedged(),
        Spending::Refused => {
            upstream.counts().retry_refused();
            return None;
        }
    }
    Some(permit)
}
