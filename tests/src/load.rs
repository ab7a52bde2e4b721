//! Requests without pause, from another thread, while a test changes things: who was served, and with what.

use crate::client::{Answer, Client, Connection, causes};
use crate::eventually::within;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// How many requests are made on a connection before the next is opened: new connections are part of the load.
const PER_CONNECTION: usize = 100;
const FAILURES_KEPT: usize = 20;

/// A running load; it ends when dropped.
pub struct Load {
    stop: Arc<AtomicBool>,
    report: watch::Receiver<Report>,
    thread: Option<JoinHandle<()>>,
}

/// What a load has met.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Answers with a status of success.
    pub succeeded: u64,
    /// Other answers, and requests without one.
    pub failed: u64,
    /// The statuses of those other answers, and how often each was met.
    pub statuses: BTreeMap<u16, u64>,
    /// The first few failures, in words.
    pub failures: Vec<String>,
    /// The distinct answers among the successes, and how often each was met.
    pub answers: BTreeMap<String, u64>,
}

impl Load {
    /// Asks for `url` on this many connections at a time. Answers differ if their bodies do.
    pub fn start(client: &Client, url: &str, connections: usize) -> Load {
        Load::start_with(client, url, connections, |answer| answer.text())
    }

    /// The same with a connection for each request.
    pub fn of_connections(client: &Client, url: &str, connections: usize) -> Load {
        Load::launch(client, url, connections, 1, Duration::ZERO, |answer| answer.text())
    }

    /// The same, but `essence` says what of an answer tells it from others.
    pub fn start_with(
        client: &Client,
        url: &str,
        connections: usize,
        essence: impl Fn(&Answer) -> String + Send + Sync + 'static,
    ) -> Load {
        Load::launch(client, url, connections, PER_CONNECTION, Duration::ZERO, essence)
    }

    /// The same with a pause before each request.
    pub fn paced(
        client: &Client,
        url: &str,
        connections: usize,
        pause: Duration,
        essence: impl Fn(&Answer) -> String + Send + Sync + 'static,
    ) -> Load {
        Load::launch(client, url, connections, PER_CONNECTION, pause, essence)
    }

    fn launch(
        client: &Client,
        url: &str,
        connections: usize,
        per_connection: usize,
        pause: Duration,
        essence: impl Fn(&Answer) -> String + Send + Sync + 'static,
    ) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, report) = watch::channel(Report::default());
        let worker = Arc::new(Worker {
            client: client.clone(),
            per_connection,
            pause,
            url: url.to_owned(),
            path: url.parse::<http::Uri>().unwrap().path_and_query().unwrap().to_string(),
            essence: Box::new(essence),
            report: sender,
            stop: stop.clone(),
        });
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let workers: Vec<_> = (0..connections).map(|_| tokio::spawn(worker.clone().run())).collect();
                for worker in workers {
                    worker.await.unwrap();
                }
            });
        });
        Load { stop, report, thread: Some(thread) }
    }

    /// What has been met until now.
    pub fn report(&self) -> Report {
        self.report.borrow().clone()
    }

    /// Waits until the report is so, and returns it: `load.wait_for(|it| it.answers.contains_key("v2"))`.
    pub async fn wait_for(&self, wanted: impl Fn(&Report) -> bool) -> Report {
        let mut report = self.report.clone();
        let found = within("the load to meet something", report.wait_for(|it| wanted(it))).await;
        found.expect("the load has ended").clone()
    }

    /// Waits for this many further requests.
    pub async fn wait_for_more(&self, requests: u64) -> Report {
        let enough = self.report.borrow().requests() + requests;
        self.wait_for(|it| it.requests() >= enough).await
    }

    /// Ends it, once the requests under way have been answered.
    pub fn stop(mut self) -> Report {
        self.end();
        self.report()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Report {
    pub fn requests(&self) -> u64 {
        self.succeeded + self.failed
    }

    /// Panics, naming some, if there were failures.
    pub fn assert_no_failures(&self) {
        let Report { failed, failures, .. } = self;
        assert!(*failed == 0, "{failed} of {} requests failed: {failures:#?}", self.requests());
    }
}

struct Worker {
    client: Client,
    per_connection: usize,
    pause: Duration,
    url: String,
    path: String,
    essence: Box<dyn Fn(&Answer) -> String + Send + Sync>,
    report: watch::Sender<Report>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    async fn run(self: Arc<Self>) {
        while !self.stop.load(Ordering::Relaxed) {
            match self.client.connect(&self.url).await {
                Ok(connection) => self.ask_on(connection).await,
                Err(error) => self.failed(format!("no connection: {}", causes(&*error))).await,
            }
        }
    }

    async fn ask_on(&self, mut connection: Connection) {
        for _ in 0..self.per_connection {
            if self.stop.load(Ordering::Relaxed) || connection.is_closed() {
                return;
            }
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
            match connection.get(&self.path).try_send().await {
                Ok(answer) if answer.status.is_success() => {
                    self.succeeded(&answer);
                    if answer.header("connection") == Some("close") {
                        return;
                    }
                }
                Ok(answer) => {
                    let status = answer.status.as_u16();
                    self.report.send_modify(|it| *it.statuses.entry(status).or_default() += 1);
                    self.failed(format!("{status}: {}", answer.text())).await;
                }
                Err(error) => return self.failed(format!("no answer: {}", causes(&*error))).await,
            }
        }
    }

    fn succeeded(&self, answer: &Answer) {
        let essence = (self.essence)(answer);
        self.report.send_modify(|it| {
            it.succeeded += 1;
            *it.answers.entry(essence).or_default() += 1;
        });
    }

    async fn failed(&self, why: String) {
        self.report.send_modify(|it| {
            it.failed += 1;
            if it.failures.len() < FAILURES_KEPT {
                it.failures.push(why);
            }
        });
        tokio::task::yield_now().await; // a connection refused at once must not keep the others from running
    }
}
