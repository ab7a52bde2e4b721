//! Waiting: for events, with a deadline that only a broken thing meets.

use std::time::Duration;

/// How long anything may take. Generous, since two cores may be compiling something meanwhile: a test
/// that passes never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer; panics when [`PATIENCE`] ends, naming what was awaited.
///
/// For what sends no event: where there is one, wait for that. A plain condition is
/// `eventually("...", async || condition().then_some(()))`.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = probe().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(what, asking).await
}

/// Awaits, and panics when [`PATIENCE`] ends, naming what was awaited.
pub async fn within<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, awaited).await {
        Ok(done) => done,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}
