//! Our own threads: each has a name, and none of them dies unnoticed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::{StartError, observe};

/// The exit status of a gateway of which a thread panicked, as of any Rust program that panics.
const PANICKED: i32 = 101;
/// What a stack has room for, in bytes: guests that are called on a worker's may use 512 KiB of it, and then call the
/// host.
const STACK: usize = 2 << 20;

/// Starts a thread that the gateway can't do without. A panic that reaches its bottom ends the process,
/// loudly: a gateway without one of its workers would leave the connections hanging that the kernel
/// goes on queueing for it, and whoever started us knows how to start us again.
pub fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, StartError> {
    let own_name = name.to_owned();
    let body = move || match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(_) => {
            tracing::error!("the thread {own_name} panicked, which is a bug in limen: the gateway ends");
            observe::log::flush();
            std::process::exit(PANICKED)
        }
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(body);
    thread.map_err(|error| StartError::Machine(format!("can't start the thread {name}: {error}")))
}

/// Panics since the start, also of tasks of which nothing else is heard.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many panics there were.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Makes panics lines of the log, with their place. What they cost beside that is said where they are
/// caught.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let what = panic.payload_as_str().unwrap_or("something that is no text");
        tracing::error!(thread = thread.name(), place, "panicked, which is a bug in limen: {what}");
        observe::log::flush();
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the module of workers promises: the task is all that a panic costs, and it is counted.
    #[test]
    fn a_panic_in_a_task_costs_that_task_alone() {
        log_panics();
        let before = panics();
        let worker = spawn("limen-test", || {
            let options = tokio::runtime::LocalOptions::default();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(options);
            runtime.unwrap().block_on(async {
                let other = tokio::task::spawn_local(async {
                    tokio::task::yield_now().await;
                    "served"
                });
                let panicking = tokio::task::spawn_local(async { panic!("on purpose") });
                (panicking.await.is_err(), other.await.unwrap())
            })
        });
        assert_eq!(worker.unwrap().join().unwrap(), (true, "served"));
        assert!(panics() > before);
    }
}
