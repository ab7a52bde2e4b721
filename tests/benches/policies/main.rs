//! What each built-in policy adds to a request, beside Envoy's filter that does the same, and what an answer from the
//! cache costs beside nginx's `proxy_cache`.
//!
//! ```sh
//! cargo build --release --workspace                       # the `limen` that is measured
//! ENVOY=path/to/envoy cargo bench --workspace --bench policies
//! cargo bench --workspace --bench policies -- jwt cors --rounds 9 --secs 3
//! ```
//!
//! It needs Linux with two cores, and `nginx`, `wrk` and `taskset` on the `PATH`; Envoy is `$ENVOY` or `envoy` on the
//! `PATH`, and without it its columns are left out. Names choose cases, all that begin with one of them. `--json` prints
//! the table for machines. The machine should have nothing else to do.
//!
//! All of them are real processes with one worker: what is measured is alone on the first core, nginx as the origin and
//! wrk with 64 connections share the second. A figure is the CPU time, in microseconds, that all threads of a gateway
//! have used during a run, by the requests that wrk has seen answered. What a policy adds is the difference between two
//! runs, one after the other, of the same request on a route with the policy and on one without; of all rounds it is
//! the median, and `±` half of the range in which the middle half of them lies. Such figures have a `+`. Where a
//! gateway answers by itself there is nothing to compare with, and the figure is all of the request. A ratio above 1
//! says that the other one is cheaper.
//!
//! wrk shows no certificates: where they are needed, a second nginx beside it takes its requests in clear, and asks for
//! them over TLS, on connections that stay open.
//!
//! Before a case is measured, each gateway is asked for what shows that the policy does its work, and for what shows
//! that it does not do it to everybody. What counts requests is tried with the same settings and room for one, where
//! one of several has to be refused. During a run every request has to be answered without an error, by whom it
//! should be: the origin counts. Else the case fails, by name, and so does the benchmark.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that meets the unexpected stops right there"
)]

mod cases;
mod envoy;
mod limen;
mod measure;
mod nginx;
mod options;
mod process;
mod table;
mod tls;
mod words;

use cases::{Answered, By, Case};
use envoy::Envoy;
use limen::Limen;
use measure::{Asker, Load};
use nginx::{Cache, Front, Origin};
use options::Options;
use process::Site;
use std::process::ExitCode;
use table::{Row, Table};
use tls::Tls;
use words::Words;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // `cargo test` runs it as well, where there is nothing to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let options = Options::read();
    process::require(&["nginx", "wrk", "taskset"]);
    Bench::start(options).await.measure().await
}

/// All that runs, for as long as it is measured.
struct Bench {
    cases: Vec<&'static Case>,
    origin: Origin,
    /// With a route for each case.
    limen: Limen,
    /// With a route without policies and no other.
    bare: Limen,
    envoy: Option<Envoy>,
    cache: Cache,
    /// Between wrk and those that speak TLS, where there are such cases.
    front: Option<Front>,
    tls: Tls,
    load: Load,
    words: Words,
    options: Options,
}

impl Bench {
    async fn start(options: Options) -> Bench {
        let cases = options.cases();
        let (origin, tls) = (Origin::start().await, Tls::new());
        let limen = Limen::start(&origin, &cases, &tls).await;
        let bare = Limen::start(&origin, &[], &tls).await;
        // The gateway makes keys only where a route asks for them.
        let has_keys = cases.iter().any(|case| case.name == "api-key");
        let words = Words::new(if has_keys { limen.key().await } else { String::new() });
        let envoy = Envoy::start(&origin, &cases, &words, &tls).await;
        let cache = Cache::start(&origin).await;
        let load = Load::new(options.seconds);
        let mut bench =
            Bench { cases, origin, limen, bare, envoy, cache, front: None, tls, load, words, options };
        bench.front = Front::start(bench.sites(), &bench.tls).await;
        bench
    }

    async fn measure(self) -> ExitCode {
        let mut rows = self.rows();
        for row in &mut rows {
            row.failure = self.check(row).await.err();
        }
        for round in 1..=self.options.rounds {
            eprintln!("round {round} of {}", self.options.rounds);
            for row in rows.iter_mut().filter(|row| row.failure.is_none()) {
                row.failure = self.turn(row).err();
            }
        }
        Table(&rows).print(self.options.json);
        if rows.iter().any(|row| row.failure.is_some()) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    /// One for each case and peer that is here, and for each case that has none.
    fn rows(&self) -> Vec<Row> {
        let mut rows = vec![];
        for case in &self.cases {
            let before = rows.len();
            let peers = case.peers.iter().enumerate();
            let here = peers.filter(|(_, peer)| peer.by == By::Nginx || self.envoy.is_some());
            rows.extend(here.map(|(number, _)| Row::new(case, Some(number))));
            if rows.len() == before {
                rows.push(Row::new(case, None));
            }
        }
        rows
    }

    fn peer(&self, row: &Row) -> Option<Site> {
        let number = row.peer?;
        match row.case.peers[number].by {
            By::Nginx => Some(self.cache.site()),
            By::Envoy => Some(self.envoy.as_ref()?.site(row.case, number)),
        }
    }

    /// All that is measured, but for what has no policy at all.
    fn sites(&self) -> impl Iterator<Item = Site> {
        let rows = self.rows().into_iter();
        rows.flat_map(|row| {
            let plain = self.envoy.as_ref().map(|envoy| envoy.plain(row.case));
            [Some(self.limen.site(row.case)), plain, self.peer(&row)].into_iter().flatten()
        })
    }

    async fn check(&self, row: &Row) -> Result<(), String> {
        let (case, limen) = (row.case, self.limen.site(row.case));
        let asker = Asker { words: &self.words, tls: &self.tls };
        let by = |who: &'static str| move |wrong: String| format!("{who}: {wrong}");
        asker.check(&limen, case, case.shows).await.map_err(by("limen"))?;
        if case.room.is_some() {
            asker.check_tight(&limen, case).await.map_err(by("limen"))?;
        }
        let (Some(site), Some(number)) = (self.peer(row), row.peer) else { return Ok(()) };
        let peer = &case.peers[number];
        asker.check(&site, case, peer.shows).await.map_err(by(peer.by.name()))?;
        if let (Some(envoy), true) = (&self.envoy, case.room.is_some()) {
            asker.check_tight(&envoy.tight_site(case, number), case).await.map_err(by(peer.by.name()))?;
        }
        Ok(())
    }

    /// Measures each side once.
    fn turn(&self, row: &mut Row) -> Result<(), String> {
        let (case, limen) = (row.case, self.limen.site(row.case));
        if case.elsewhere {
            row.limen
                .push(self.run(case, &limen, "plain")? - self.run(case, &self.bare.site(case), "plain")?);
            return Ok(());
        }
        row.limen.push(self.figure(case, &limen, &limen)?);
        if let Some(site) = self.peer(row) {
            let plain = self.envoy.as_ref().map_or_else(|| site.clone(), |envoy| envoy.plain(case));
            row.other.push(self.figure(case, &plain, &site)?);
        }
        Ok(())
    }

    /// What the case adds to a plain request, or is, where there is no origin to ask without it.
    fn figure(&self, case: &Case, plain: &Site, with: &Site) -> Result<f64, String> {
        match case.answered {
            Answered::ByGateway => self.run(case, with, &case.segment()),
            Answered::ByOrigin => {
                let plain = self.run(case, plain, "plain")?;
                Ok(self.run(case, with, &case.segment())? - plain)
            }
        }
    }

    fn run(&self, case: &Case, site: &Site, segment: &str) -> Result<f64, String> {
        let front = self.front.as_ref().and_then(|front| front.of(&site.url));
        let url = front.as_ref().unwrap_or(&site.url);
        self.load.run(site, url, segment, case, &self.words, &self.origin)
    }
}
