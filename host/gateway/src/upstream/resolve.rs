//! From names to addresses.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use limen_config::Resolver as Terms;

/// No more addresses than this are taken from one name.
const MOST: usize = 256;

/// Asks DNS, or `/etc/hosts`.
pub struct Resolver {
    inner: TokioResolver,
    terms: Terms,
}

/// What a name stands for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    pub found: Vec<T>,
    /// How long that may be believed.
    pub ttl: Duration,
}

/// A server of a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub priority: u16,
    pub weight: u16,
}

/// Addresses of a name, as far as somebody answered.
pub struct Addresses {
    /// None: no answer came, and nothing is known about them.
    pub v4: Option<Vec<IpAddr>>,
    pub v6: Option<Vec<IpAddr>>,
    pub ttl: Duration,
}

impl Resolver {
    pub fn new(terms: &Terms) -> Self {
        let builder = if terms.servers.is_empty() {
            TokioResolver::builder_tokio().unwrap_or_else(|error| {
                tracing::warn!("can't read /etc/resolv.conf, only /etc/hosts resolves names: {error}");
                TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
            })
        } else {
            let servers = terms.servers.iter().map(server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let mut builder = builder;
        let options = builder.options_mut();
        options.timeout = terms.timeout;
        options.use_hosts_file = ResolveHosts::Always;
        // Times to live are ours to count: an answer that is asked for again is asked for again.
        options.cache_size = 0;
        let inner = builder.build();
        // It fails only at what it does not do here (TLS).
        #[expect(clippy::expect_used, reason = "no input can make it fail")]
        Resolver { inner: inner.expect("a resolver without TLS"), terms: terms.clone() }
    }

    /// The addresses of a name, IPv4 and IPv6. An error if there are none, or nobody answered.
    pub async fn addresses(&self, name: &str) -> Result<Addresses, String> {
        let (v4, v6) = tokio::join!(self.ask(name, RecordType::A), self.ask(name, RecordType::AAAA));
        let ttl = [&v4, &v6].into_iter().flatten().filter(|answer| !answer.found.is_empty());
        let ttl = ttl.map(|answer| answer.ttl).min();
        let Some(ttl) = ttl else {
            return Err(match (v4, v6) {
                (Err(reason), _) | (_, Err(reason)) => reason,
                _ => "it has no addresses".to_owned(),
            });
        };
        let addresses = |answer: Result<Answer<RData>, String>| {
            let found = answer.ok()?.found.into_iter().filter_map(|data| data.ip_addr());
            Some(found.take(MOST).collect())
        };
        Ok(Addresses { v4: addresses(v4), v6: addresses(v6), ttl })
    }

    /// How long to wait before asking again, at least.
    pub fn min_ttl(&self) -> Duration {
        self.terms.min_ttl
    }

    /// The servers of a service.
    pub async fn servers(&self, name: &str) -> Result<Answer<Server>, String> {
        let Answer { found, ttl } = self.ask(name, RecordType::SRV).await?;
        let servers = found.into_iter().filter_map(|data| match data {
            // The root as target: decidedly not offered here (RFC 2782).
            RData::SRV(srv) if srv.target.is_root() || srv.port == 0 => None,
            RData::SRV(srv) => Some(Server {
                host: srv.target.to_ascii().trim_end_matches('.').to_ascii_lowercase(),
                port: srv.port,
                priority: srv.priority,
                weight: srv.weight,
            }),
            _ => None,
        });
        let found: Vec<Server> = servers.take(MOST).collect();
        if found.is_empty() { Err("nobody offers the service".to_owned()) } else { Ok(Answer { found, ttl }) }
    }

    /// The records of a type; none is an answer as well.
    async fn ask(&self, name: &str, kind: RecordType) -> Result<Answer<RData>, String> {
        match self.inner.lookup(name, kind).await {
            Ok(lookup) => {
                let records = || lookup.answers().iter().filter(|record| record.record_type() == kind);
                // A name that leads to another lives no longer than that does.
                let ttl = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
                let found = records().map(|record| record.data.clone()).collect();
                Ok(Answer { found, ttl: self.bounded(Duration::from_secs(ttl.into())) })
            }
            Err(error) if error.is_no_records_found() && !error.is_nx_domain() => {
                Ok(Answer { found: Vec::new(), ttl: self.terms.min_ttl })
            }
            Err(error) => Err(reason(&error)),
        }
    }

    fn bounded(&self, ttl: Duration) -> Duration {
        // Not `clamp`: which of the two is larger is the user's.
        ttl.min(self.terms.max_ttl).max(self.terms.min_ttl)
    }
}

/// Whether this machine could send anything there: nothing is sent. An address of a family that it has no
/// route for would only cost attempts (RFC 6724, section 5, rule 1).
pub fn has_route(ip: IpAddr) -> bool {
    let any: IpAddr = if ip.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((ip, 53))).is_ok()
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|connection| connection.port = address.port());
    NameServerConfig::new(address.ip(), true, connections)
}

fn reason(error: &NetError) -> String {
    if error.is_nx_domain() { "there is no such name".to_owned() } else { error.to_string() }
}
