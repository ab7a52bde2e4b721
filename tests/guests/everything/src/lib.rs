//! Uses every capability and has every hook, so that what it was built to stays loadable for ever
//! (`tests/released/`). The path says what it tells; `/pass` goes to the upstream and back.

use std::time::Duration;

use limen::counters::Limit;
use limen::metrics::Metric;
use limen::prelude::*;
use limen::{
    bag, cache, client, client_certificate, clock, config, consumer, counters, crypto, fetch, jwt, kv,
    random, route, secrets, timing,
};

const ASKED: Metric = Metric::counter("asked", "Requests that it has seen.").labels(&["path"]);

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Said in requests and answers.
    mark: String,
}

struct Everything {
    mark: String,
    attempts: u32,
}

#[limen::policy(metrics = [ASKED])]
impl Everything {
    fn configure(config: Config) -> Result<Self> {
        ensure!(!config.mark.is_empty(), "an empty mark");
        Ok(Everything { mark: config.mark, attempts: 0 })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let path = request.path();
        ASKED.add(1, &[("path", &path)]);
        let told = match &*path {
            "/pass" | "/pass/raw" | "/pass/body" | "/pass/chunks" => {
                request.set_header("x-mark", &self.mark)?;
                request.set_query(Some("changed=1"))?;
                bag::put("mark", &self.mark)?;
                consumer::set("ada")?;
                consumer::set_attribute("plan", "gold")?;
                return Ok(match &*path {
                    "/pass/body" => Flow::WantBody,
                    "/pass/chunks" => Flow::WantChunks,
                    _ => Flow::Next,
                });
            }
            "/fail" => bail!("told to fail"),
            "/head" => format!(
                "{} {:?} {:?} {:?} {} {}",
                request.method_text(),
                request.version(),
                request.query_param("q"),
                request.cookie("c"),
                request.header_equals("x-a", "1"),
                request.headers().count() > 1
            ),
            "/place" => format!(
                "{} {:?} {} {:?} {} {:?} {}",
                route::name(),
                route::upstream(),
                route::request_id().len(),
                config::text("/mark"),
                client::ip(),
                client::tls_version(),
                client_certificate::dns_names().len()
            ),
            "/shared" => {
                let store = kv::store("things");
                store.set("k", "1")?;
                ensure!(cache::put("k", "cached", Duration::from_secs(60)), "the cache");
                let limit = Limit::per_minute(60).burst(1);
                format!(
                    "{} {:?} {} {:?} {}",
                    store.incr("k", 41)?,
                    store.get_text("gone")?,
                    String::from_utf8_lossy(&cache::get("k").unwrap_or_default()),
                    counters::get("never"),
                    limit.take("k", 1).allowed
                )
            }
            "/denied" => {
                format!("{:?} {:?}", kv::store("none").get("k"), fetch::get("none", "/").send().err())
            }
            "/call" => {
                let answers = fetch::send_all(&[fetch::get("origin", "/one"), fetch::get("origin", "/two")]);
                let statuses = answers.into_iter().map(|answer| answer.map(|answer| answer.status()));
                format!("{:?}", statuses.collect::<Vec<_>>())
            }
            "/secrets" => format!(
                "{} {:?} {:?}",
                hex(&secrets::hmac_sha256("signing", "hello")?),
                secrets::hmac_sha256_verify("signing", "hello", b"?"),
                secrets::reveal("shown")
            ),
            "/crypto" => format!("{} {}", hex(&crypto::sha256("hello")), crypto::equal("a", "b")),
            "/token" => match jwt::verify("idp", &request.header("x-token").unwrap_or_default()) {
                Ok(claims) => claims,
                Err(error) => format!("{error:?}"),
            },
            "/chance" => {
                format!("{} {}", clock::unix_seconds() > 1_700_000_000, random::id().len())
            }
            "/ticked" => String::from_utf8_lossy(&cache::get("ticked").unwrap_or_default()).into_owned(),
            _ => return Ok(Reply::new(404).into()),
        };
        Ok(Reply::new(200).header("x-mark", self.mark.clone()).text(told).into())
    }

    fn on_request_body(&mut self, _: &mut Request, body: &mut RequestBody) -> Result<Flow> {
        body.replace(body.bytes().to_ascii_uppercase())?;
        Ok(Flow::Next)
    }

    fn on_request_chunk(&mut self, chunk: &Chunk) -> Result<ChunkFlow> {
        Ok(ChunkFlow::Emit(chunk.to_ascii_uppercase()))
    }

    fn on_request_trailers(&mut self, trailers: &mut Trailers) -> Result<Flow> {
        info!("request trailer: {}", trailers.get("x-sum").unwrap_or_default());
        Ok(Flow::Next)
    }

    fn on_upstream(&mut self, request: &mut Request, attempt: &Attempt) -> Result<Flow> {
        self.attempts += 1;
        request.set_header("x-attempt", &attempt.number().to_string())?;
        Ok(Flow::Next)
    }

    fn on_response(&mut self, request: &Request, response: &mut Response) -> Result<Flow> {
        let path = request.path();
        if response.is_local() || !path.starts_with("/pass") {
            return Ok(Flow::Next);
        }
        let way = format!(
            "{} {} {} {}",
            self.attempts,
            timing::attempts(),
            timing::endpoint().is_some(),
            timing::upstream().is_some_and(|took| took <= timing::since_received())
        );
        response.set_header("x-way", &way)?;
        let who = format!("{:?} {:?} {:?}", bag::get("mark"), consumer::id(), consumer::attribute("plan"));
        response.set_header("x-who", &who)?;
        response.set_status(203)?;
        Ok(match &*path {
            "/pass/body" => Flow::WantBody,
            "/pass/chunks" => Flow::WantChunks,
            _ => Flow::Next,
        })
    }

    fn on_response_body(&mut self, _: &mut Response, body: &mut ResponseBody) -> Result<Flow> {
        let text = body.text()?;
        body.replace(format!("{text}end of body\n").as_bytes())?;
        Ok(Flow::Next)
    }

    fn on_response_chunk(&mut self, chunk: &Chunk) -> Result<ChunkFlow> {
        Ok(match chunk.is_last() {
            true => ChunkFlow::Emit([chunk.bytes(), b"end of chunks\n"].concat()),
            false => ChunkFlow::Pass,
        })
    }

    fn on_response_trailers(&mut self, trailers: &mut Trailers) -> Result<Flow> {
        trailers.set("x-seen", "1")?;
        Ok(Flow::Next)
    }

    fn on_log(&mut self, request: &Request, response: &Response) {
        info!("ended {} with {}", request.path(), response.status());
    }

    fn on_tick(&mut self) -> Result<()> {
        cache::put("ticked", self.mark.as_bytes(), Duration::from_secs(60));
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
