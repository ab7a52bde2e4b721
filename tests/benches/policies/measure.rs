//! One look at a case, which shows that the policy does its work, and one run of load, which says what that costs.

use crate::cases::{Answered, Ask, Case, Gets};
use crate::nginx::Origin;
use crate::process::{BESIDE, Site, cpu, pinned_command};
use crate::tls::Tls;
use crate::words::Words;
use limen_tests::client::Request;
use limen_tests::{Answer, Client};
use std::path::PathBuf;
use tempfile::TempDir;

const CONNECTIONS: u64 = 64;

/// How many requests of a run the origin may see that are not of the run, or of one that it should see nothing of.
const STRAY: u64 = 2 * CONNECTIONS;

/// How many requests are let pass where there is room for one, before it is said that all are.
const TRIES: usize = 10;

/// Who asks cases, and what fills in their words.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    pub words: &'a Words,
    pub tls: &'a Tls,
}

impl Asker<'_> {
    /// Asks as the case asks, and as its other one does; `shows` is what this gateway's answer has besides.
    pub async fn check(self, site: &Site, case: &Case, shows: &str) -> Result<(), String> {
        if case.elsewhere {
            return Ok(());
        }
        let segment = case.segment();
        // The first answer may be the one that is kept.
        self.request(site, &segment, case, &case.ask).send().await;
        let answer = self.request(site, &segment, case, &case.ask).send().await;
        is_as(&answer, &case.gets).and_then(|()| has(&answer, shows))?;
        if let Some((other, gets)) = &case.other {
            let answer = self.request(site, &segment, case, other).send().await;
            is_as(&answer, gets).map_err(|wrong| format!("another request: {wrong}"))?;
        }
        Ok(())
    }

    /// Asks where there is room for one, until one request is refused. The answers are held meanwhile, for what
    /// counts those that are under way.
    pub async fn check_tight(self, site: &Site, case: &Case) -> Result<(), String> {
        let ask = Ask { path: "held", ..case.ask };
        let mut held = vec![];
        while held.len() < TRIES {
            let answer = self.request(site, &case.tight_segment(), case, &ask).open().await;
            match answer.status.as_u16() {
                200 => held.push(answer),
                429 => return Ok(()),
                other => return Err(format!("with room for one: {other} and not 429")),
            }
        }
        Err(format!("with room for one it lets {TRIES} pass"))
    }

    fn request(self, site: &Site, segment: &str, case: &Case, ask: &Ask) -> Request<'static> {
        let client = if case.tls { self.tls.client(ask.shows) } else { Client::http1() };
        let client = client.from_address(ask.from.parse().unwrap());
        let url = format!("{}/{segment}/{}", site.url, ask.path);
        let mut request = client.request(ask.method.parse().unwrap(), url);
        for (name, value) in ask.headers {
            request = request.header(name, &self.words.fill(value));
        }
        let body = ask.body.bytes();
        if body.is_empty() { request } else { request.body(body) }
    }
}

fn is_as(answer: &Answer, gets: &Gets) -> Result<(), String> {
    if answer.status != gets.status {
        return Err(format!("{} and not {}:\n{}", answer.status, gets.status, text(answer)));
    }
    gets.has.iter().try_for_each(|wanted| has(answer, wanted))?;
    match gets.lacks.iter().find(|unwanted| text(answer).contains(**unwanted)) {
        None => Ok(()),
        Some(unwanted) => Err(format!("{unwanted:?} is in it:\n{}", text(answer))),
    }
}

fn has(answer: &Answer, wanted: &str) -> Result<(), String> {
    let text = text(answer);
    if text.contains(wanted) { Ok(()) } else { Err(format!("{wanted:?} is not in it:\n{text}")) }
}

/// Its head, a line each, and its body, in small letters.
fn text(answer: &Answer) -> String {
    let head = answer
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    (head.collect::<String>() + &answer.text()).to_ascii_lowercase()
}

/// wrk, as often as it is needed.
pub struct Load {
    folder: TempDir,
    seconds: u64,
}

impl Load {
    pub fn new(seconds: u64) -> Load {
        Load { folder: TempDir::new().unwrap(), seconds }
    }

    /// Microseconds of the site's process for each request of the case, on the route with this first segment, which wrk
    /// asks for at this URL.
    pub fn run(
        &self,
        site: &Site,
        url: &str,
        segment: &str,
        case: &Case,
        words: &Words,
        origin: &Origin,
    ) -> Result<f64, String> {
        let mut command = pinned_command(BESIDE, "wrk");
        command.args([
            "-t1",
            &format!("-c{CONNECTIONS}"),
            &format!("-d{}s", self.seconds),
            "--timeout",
            "20s",
        ]);
        command.arg("-s").arg(self.script(&case.ask));
        for (name, value) in case.ask.headers {
            command.args(["-H", &format!("{name}: {}", words.fill(value))]);
        }
        command.arg(format!("{url}/{segment}/{}", case.ask.path));
        let (seen, spent) = (origin.requests(), cpu(site.pid));
        let output = command.output().unwrap();
        let (spent, seen) = (cpu(site.pid) - spent, origin.requests() - seen);
        let said = String::from_utf8_lossy(&output.stdout);
        let result = said.lines().find_map(|line| line.strip_prefix("answered "));
        let numbers: Vec<u64> = result.unwrap_or("").split(' ').filter_map(|it| it.parse().ok()).collect();
        let [answered, 0] = numbers[..] else {
            return Err(format!("under load: {said}{}", String::from_utf8_lossy(&output.stderr)));
        };
        let by_origin = segment == "plain" || case.answered == Answered::ByOrigin;
        if by_origin && seen < answered || !by_origin && seen > STRAY {
            return Err(format!("of {answered} requests the origin has seen {seen}"));
        }
        if answered == 0 {
            return Err("nothing was answered under load".to_owned());
        }
        Ok(spent as f64 / answered as f64 / 1000.0)
    }

    /// What wrk is told by a file: method and body; and what it is to tell.
    fn script(&self, ask: &Ask) -> PathBuf {
        let (script, body) = (self.folder.path().join("ask.lua"), self.folder.path().join("body"));
        std::fs::write(&body, ask.body.bytes()).unwrap();
        let has_body = if ask.body.bytes().is_empty() { "nil" } else { "io.open(BODY, 'rb'):read('*a')" };
        let text = format!(
            "wrk.method = '{}'\nwrk.body = {}\n
             done = function(it)
                 local e = it.errors
                 io.write(string.format('answered %d %d\\n', it.requests, e.connect + e.read + e.write + e.status + e.timeout))
             end\n",
            ask.method,
            has_body.replace("BODY", &format!("'{}'", body.display())),
        );
        std::fs::write(&script, text).unwrap();
        script
    }
}
