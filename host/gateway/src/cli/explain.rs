use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use limen_gateway::{Question, StartError};

/// Say which route a request would take, and why not another one
///
/// Reads the configuration and asks nobody. All routes at the request's host and path are told, the
/// most specific first.
#[derive(clap::Args)]
pub struct Explain {
    /// Like GET
    method: Method,
    /// The URL, or its path alone
    url: Uri,
    /// A header, like "x-beta: 1"; more than once for more of them
    #[arg(short = 'H', long = "header", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The client's address
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    client: IpAddr,
    /// The name of the listener; otherwise all answer
    #[arg(long)]
    listener: Option<String>,
    /// The configuration
    #[arg(long, default_value = "limen.toml")]
    config: PathBuf,
}

impl Explain {
    pub fn main(self) -> Result<(), StartError> {
        let Explain { method, url: target, headers, client, listener, config } = self;
        let headers = headers.into_iter().fold(HeaderMap::new(), |mut all, (name, value)| {
            all.append(name, value);
            all
        });
        let question = Question { method, target, headers, client, listener };
        super::say(&limen_gateway::explain(&config, question)?);
        Ok(())
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a name, a colon and a value are needed")?;
    let name = name.trim().parse().map_err(|_| "not the name of a header".to_owned())?;
    let value = value.trim().parse().map_err(|_| "not the value of a header".to_owned())?;
    Ok((name, value))
}
