//! Trying again: what for, how often, and after which pause.

use std::time::{Duration, Instant};

use limen_config::{Backoff, Trouble};

use super::super::attempt::{Course, Failed};
use super::breaker::Outcome;
use super::budget::Spending;
use super::{Answer, Exchange, hedge};

/// Sends the request until there is a good answer, or what there is has to do.
pub async fn until_answered(exchange: &Exchange<'_>) -> Result<Answer, Box<Failed>> {
    let Exchange { upstream, on, original, .. } = exchange;
    let retries = &on.retries;
    if retries.max > 0 || upstream.shared.terms.hedge.is_some() {
        on.budget.earn(upstream.number, Instant::now());
    }
    let course = Course::new(upstream.shared.terms.timeout.connect);
    let mut again = 0;
    loop {
        let admission = match &on.breaker {
            None => None,
            Some(breaker) => Some(breaker.admit(Instant::now()).map_err(|open| exchange.turned_away(open))?),
        };
        let mut outcome = match &upstream.shared.terms.hedge {
            None => exchange.one_try(&course).await,
            Some(hedge) => Box::pin(hedge::race(exchange, hedge, &course)).await,
        };
        let trouble = original.ended(&mut outcome);
        if let (Some(admission), Some(verdict)) = (admission, judge(&outcome)) {
            admission.tell(upstream.number, Instant::now(), verdict);
        }
        let Some(trouble) = trouble else { return outcome };
        let wanted = again < retries.max && retries.on.iter().any(|on| on.covers(trouble));
        let late = trouble == Trouble::Connect && course.time_left().is_zero();
        if !wanted || late || !original.may_repeat(retries) || exchange.is_turned_away().is_some() {
            return outcome;
        }
        if on.budget.spend(Instant::now()) == Spending::Refused {
            upstream.counts().retry_refused();
            return outcome;
        }
        again += 1;
        upstream.counts().retried();
        if let Ok(answer) = outcome {
            answer.body.discard();
        }
        tokio::time::sleep(pause(retries.backoff, again, fastrand::f64())).await;
        course.again();
    }
}

/// What a circuit breaker is told: nothing of what the client or a limit of ours is to blame for.
fn judge(outcome: &Result<Answer, Box<Failed>>) -> Option<Outcome> {
    match outcome {
        Ok(answer) if answer.head.status().is_server_error() => Some(Outcome::Bad),
        Ok(_) => Some(Outcome::Good),
        Err(failed) => match failed.trouble {
            None | Some(Trouble::Overload) => None,
            Some(_) => Some(Outcome::Bad),
        },
    }
}

/// A random time up to a bound that doubles with each try; `random` is from 0 to 1.
fn pause(terms: Backoff, again: usize, random: f64) -> Duration {
    let doubled = terms.base.saturating_mul(1 << again.saturating_sub(1).min(20));
    doubled.min(terms.max).mul_f64(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_most() {
        let terms = Backoff { base: Duration::from_millis(25), max: Duration::from_millis(90) };
        let longest: Vec<_> = (1..=4).map(|again| pause(terms, again, 1.0).as_millis()).collect();
        assert_eq!(longest, [25, 50, 90, 90]);
        assert_eq!(pause(terms, 2, 0.5), Duration::from_millis(25));
        assert_eq!(pause(terms, 100, 0.0), Duration::ZERO);
    }
}
