//! One look at a case, which shows that the policy does its work, and one run of load, which says what that costs.

use crate::cases::{Answered, Ask, Case, Gets};
use crate::nginx::Origin;
use crate::process::{BESIDE, Site, cpu, pinned_command};
use crate::words::Words;
use limen_tests::{Answer, Client};
use std::path::PathBuf;
use tempfile::TempDir;

const CONNECTIONS: u64 = 64;

/// How many requests of a run the origin may see that are not of the run, or of one that it should see nothing of.
const STRAY: u64 = 2 * CONNECTIONS;

/// Asks as the case asks, and as its other one does; `shows` is what this gateway's answer has besides.
pub async fn check(who: &str, site: &Site, case: &Case, shows: &str, words: &Words) -> Result<(), String> {
    if case.elsewhere {
        return Ok(());
    }
    // The first answer may be the one that is kept.
    ask(site, case, &case.ask, words).await;
    let answer = ask(site, case, &case.ask, words).await;
    let shown = is_as(&answer, &case.gets).and_then(|()| has(&answer, shows));
    shown.map_err(|wrong| format!("{who}: {wrong}"))?;
    if let Some((other, gets)) = &case.other {
        let answer = ask(site, case, other, words).await;
        is_as(&answer, gets).map_err(|wrong| format!("{who}, another request: {wrong}"))?;
    }
    Ok(())
}

async fn ask(site: &Site, case: &Case, ask: &Ask, words: &Words) -> Answer {
    let url = format!("{}/{}/{}", site.url, case.segment(), ask.path);
    let client = Client::http1().from_address(ask.from.parse().unwrap());
    let mut request = client.request(ask.method.parse().unwrap(), url);
    for (name, value) in ask.headers {
        request = request.header(name, &words.fill(value));
    }
    let body = ask.body.bytes();
    let request = if body.is_empty() { request } else { request.body(body) };
    request.send().await
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

    /// Microseconds of the site's process for each request of the case, on the route with this first segment.
    pub fn run(
        &self,
        site: &Site,
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
        command.arg(format!("{}/{segment}/{}", site.url, case.ask.path));
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
