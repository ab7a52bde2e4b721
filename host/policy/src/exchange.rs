//! One request and its answer, as policies see them.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use regex::bytes::Regex;

use crate::edit::Journal;
use crate::hooks::Hooks;
use crate::{
    Bag, ClientCertificate, Consumer, Fetch, Outcome, Phase, Reply, Source, Subject, Tap, Thinned, Timing,
};

/// Heads, buffered bodies, property bag and plain facts. The gateway's own state around it (seats,
/// connections, streams) stays in the gateway.
#[derive(Default)]
pub struct Exchange {
    pub id: RequestId,
    pub client: Client,
    pub route: Arc<RouteFacts>,
    pub request: Request<()>,
    /// Whether a body follows the request's head, be it of one byte.
    pub has_request_body: bool,
    /// The whole request body, once a policy has asked for it.
    pub request_body: Option<Bytes>,
    /// Meaningful from [`Phase::Response`] on.
    pub response: Response<()>,
    /// The whole response body, once a policy has asked for it.
    pub response_body: Option<Bytes>,
    /// Where the body of a policy's own response comes from, if it is not in memory.
    pub response_source: Option<Box<dyn Source>>,
    /// Whether the response is the gateway's or a policy's own.
    pub response_is_local: bool,
    /// Why it is, as one word of a fixed list; empty if it is the upstream's.
    pub reason: &'static str,
    /// What went wrong, if that is why the gateway answered itself. For the log only.
    pub refusal: Option<Box<Refusal>>,
    /// A response that the policy being asked has staged.
    pub reply: Option<Reply>,
    /// Where the policy being asked about a response wants a copy of its body. It is the body as the policy
    /// meets it, whatever it answers instead.
    pub tap: Option<Box<dyn Tap>>,
    /// Whether a byte of the response is on its way: too late for another one.
    pub is_sent: bool,
    /// What the policy being asked is asked about, besides the heads.
    pub subject: Subject,
    pub bag: Bag,
    /// What policies decided but to let it go on; almost always nothing.
    pub decisions: Vec<Decision>,
    /// What policies did and how long it took; none if nobody wants to know.
    pub hooks: Option<Box<Hooks>>,
    /// How long components have computed for it.
    pub policy_time: Duration,
    /// The largest memory that an isolate of them had, in bytes.
    pub policy_memory: u64,
    /// In a box: nobody is named in most exchanges.
    pub consumer: Option<Box<Consumer>>,
    /// None: no policy of the route wants to know.
    pub timing: Option<Box<Timing>>,
    /// The target as it was when the route was found, if the route keeps it.
    matched: Option<PathAndQuery>,
    pub(crate) journal: Journal,
    pub(crate) phase: Phase,
    pub(crate) policy: usize,
}

/// A policy that ended the exchange, failed in it, or reports that it would have ended it.
#[derive(Debug)]
pub struct Decision {
    /// The policy's place on its route.
    pub policy: usize,
    pub outcome: Outcome,
    /// The exchange's then, or what it would have been; empty if it went on all the same.
    pub reason: &'static str,
}

/// What went wrong with an exchange, as the log is to tell it.
#[derive(Debug)]
pub struct Refusal {
    /// Whether it is the client's doing; what is not, somebody has to look after.
    pub by_client: bool,
    pub status: StatusCode,
    /// In words, with all that is known.
    pub why: String,
    /// The lines that its own one is among, if there may be many like it.
    pub lines: Option<Arc<Thinned>>,
}

/// Which of the two heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Request,
    Response,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Client {
    /// As far as trusted proxies tell it, else that of the peer. They seldom tell a port: then it is 0.
    pub address: SocketAddr,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Whether the peer is one of the trusted proxies, whose word on the client counts.
    pub is_proxied: bool,
    /// The last `X-Forwarded-Client-Cert` of such a proxy. (Upstreams get their own.)
    pub told_certificate: Option<Box<HeaderValue>>,
    pub tls: Option<Arc<TlsFacts>>,
}

/// What the TLS handshake said.
#[derive(Debug)]
pub struct TlsFacts {
    /// [`V1_2`](Self::V1_2) or [`V1_3`](Self::V1_3).
    pub version: &'static str,
    pub server_name: Option<String>,
    /// The client's certificate, if it showed one; it was verified then.
    pub certificate: Option<ClientCertificate>,
}

impl TlsFacts {
    pub const V1_2: &str = "TLSv1.2";
    pub const V1_3: &str = "TLSv1.3";
}

/// What policies may know of the route.
#[derive(Clone, Debug, Default)]
pub struct RouteFacts {
    pub name: String,
    /// None if that is decided for each request.
    pub upstream: Option<String>,
    pub parameters: Parameters,
    pub target: TargetMemory,
    /// Whether some policy wants to know when things happened.
    pub is_timed: bool,
    /// By whom policies call upstreams; none if none of them may.
    pub fetch: Option<Arc<dyn Fetch>>,
}

/// Where a route's parameters stand in a path.
#[derive(Clone, Debug)]
pub enum Parameters {
    /// A `{name}` is one segment.
    Segments(Vec<Parameter>),
    /// A name is a group of the expression that the path matched.
    Groups(Regex),
}

/// A `{name}` of the route's path, and the segment (counted from 0) that it stands for.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub name: String,
    pub segment: usize,
}

/// Whether anybody asks for the target as the client sent it, once policies may have changed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetMemory {
    #[default]
    Forgotten,
    Kept,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters::Segments(Vec::new())
    }
}

/// Names one exchange in the log and in the gateway's own answers: 32 hexadecimal digits, unique as
/// far as the 64 random bits that each worker starts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestId {
    pub worker: u64,
    pub number: u64,
    /// Another name, from somebody who may give one.
    pub given: Option<Arc<str>>,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.given {
            Some(given) => f.write_str(given),
            None => write!(f, "{:016x}{:016x}", self.worker, self.number),
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Client { address: nobody, peer: nobody, is_proxied: false, told_certificate: None, tls: None }
    }
}

impl Exchange {
    pub fn new(id: RequestId, client: Client, route: Arc<RouteFacts>, request: Request<()>) -> Self {
        let matched = match route.target {
            TargetMemory::Forgotten => None,
            TargetMemory::Kept => request.uri().path_and_query().cloned(),
        };
        let timing = route.is_timed.then(|| Box::new(Timing::begin()));
        Exchange { id, client, route, request, matched, timing, ..Exchange::default() }
    }

    /// What goes on behind an answer.
    pub fn onward(&self, request: Request<()>) -> Self {
        let Exchange { id, client, route, .. } = self;
        let copy = Exchange::new(id.clone(), client.clone(), route.clone(), request);
        let (bag, consumer, matched) = (self.bag.clone(), self.consumer.clone(), self.matched.clone());
        Exchange { bag, consumer, matched, ..copy }
    }

    /// Says who is asked next and at which phase; what came before is settled.
    pub fn enter(&mut self, phase: Phase, policy: usize) {
        self.phase = phase;
        self.policy = policy;
        self.reply = None;
        if let Some(hooks) = &mut self.hooks {
            hooks.enter(phase, policy);
        }
    }

    /// Counts that the policy being asked would have refused it, for this reason, and only reports so.
    pub fn would_refuse(&mut self, reason: &'static str) {
        self.decisions.push(Decision { policy: self.policy, outcome: Outcome::Report, reason });
    }

    /// The phase that was entered last.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    pub fn headers(&self, side: Side) -> &HeaderMap {
        match side {
            Side::Request => self.request.headers(),
            Side::Response => self.response.headers(),
        }
    }

    /// The host and port that the client asked for; empty if it sent none.
    pub fn authority(&self) -> &str {
        match self.request.uri().authority() {
            Some(authority) => authority.as_str(),
            None => text(self.request.headers(), "host").unwrap_or_default(),
        }
    }

    /// The first value of a query parameter, decoded.
    pub fn query_parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        let query = self.request.uri().query()?;
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// What stood for a parameter in the route's path, percent-decoded.
    pub fn path_parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        let path = self.matched.as_ref()?.path();
        let raw = match &self.route.parameters {
            Parameters::Segments(parameters) => {
                let segment = parameters.iter().find(|parameter| parameter.name == name)?.segment;
                path.strip_prefix('/')?.split('/').nth(segment)?
            }
            Parameters::Groups(regex) => {
                let group = regex.captures(path.as_bytes())?.name(name)?.range();
                path.get(group)?
            }
        };
        percent_encoding::percent_decode_str(raw).decode_utf8().ok()
    }

    /// The path as it was when the route was found, if the route keeps it.
    pub fn matched_path(&self) -> Option<&str> {
        self.matched.as_ref().map(PathAndQuery::path)
    }

    /// The first cookie of that name.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        cookie(self.request.headers(), name)
    }

    /// The length that a head says its body has.
    pub fn content_length(&self, side: Side) -> Option<u64> {
        text(self.headers(side), "content-length")?.parse().ok()
    }

    /// Puts another response in place of the one there, as the gateway's own.
    pub fn answer_locally(&mut self, head: Response<()>, body: Bytes, reason: &'static str) {
        self.response = head;
        self.response_body = Some(body);
        self.response_source = None;
        self.response_is_local = true;
        self.reason = reason;
    }
}

/// The first cookie of that name (RFC 6265, section 4.2), without surrounding quotes.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(http::header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(target: &str) -> Exchange {
        let route = RouteFacts {
            parameters: Parameters::Segments(vec![
                Parameter { name: "id".into(), segment: 1 },
                Parameter { name: "beyond".into(), segment: 9 },
            ]),
            target: TargetMemory::Kept,
            ..RouteFacts::default()
        };
        let request = Request::builder()
            .uri(target)
            .header("host", "api.example.com:8080")
            .header("cookie", "a=1; session=\"x y\"")
            .header("cookie", "b=2")
            .body(())
            .unwrap();
        Exchange::new(RequestId::default(), Client::default(), Arc::new(route), request)
    }

    #[test]
    fn getters_decode() {
        let exchange = exchange("/users/a%2Fb?q=1+2&e=%C3%A9&q=3");
        assert_eq!(exchange.path_parameter("id").unwrap(), "a/b");
        assert_eq!(exchange.path_parameter("beyond"), None);
        assert_eq!(exchange.path_parameter("nope"), None);
        assert_eq!(exchange.query_parameter("q").unwrap(), "1 2");
        assert_eq!(exchange.query_parameter("e").unwrap(), "é");
        assert_eq!(exchange.query_parameter("z"), None);
        assert_eq!(exchange.authority(), "api.example.com:8080");
        assert_eq!(exchange.cookie("session"), Some("x y"));
        assert_eq!(exchange.cookie("b"), Some("2"));
        assert_eq!(exchange.cookie("c"), None);
    }

    #[test]
    fn groups_are_parameters() {
        let mut exchange = exchange("/users/a%2Fb");
        let regex = Regex::new("/users/(?<name>[^/]+)(?<more>/.*)?").unwrap();
        exchange.route =
            Arc::new(RouteFacts { parameters: Parameters::Groups(regex), ..RouteFacts::default() });
        assert_eq!(exchange.path_parameter("name").unwrap(), "a/b");
        assert_eq!(exchange.path_parameter("more"), None);
        assert_eq!(exchange.path_parameter("nope"), None);
    }

    #[test]
    fn a_parameter_that_is_not_utf8_is_none() {
        assert_eq!(exchange("/users/%ff").path_parameter("id"), None);
    }
}
