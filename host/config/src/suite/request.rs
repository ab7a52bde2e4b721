//! `request` of a step

use std::net::IpAddr;
use std::path::PathBuf;

use http::{HeaderName, HeaderValue, Method};
use toml::de::DeValue;

use super::content::{Content, fields};
use crate::route::method;
use crate::section::section;
use crate::value::{Value, readable_file, string};

section! {
    /// `request = { target = "/orders?page=2", headers = { authorization = "Bearer x" } }`: what the client asks for.
    pub struct Ask(section) {
        /// `method`: like "PUT". Default "GET", and "POST" with a body.
        pub method: Option<Method> = section.optional("method", method),

        /// `target`: path and query. Default "/".
        pub target: String = section.or("target", target, "/".to_owned()),

        /// `headers`: names and values; an array is several headers of that name. `host` is "policy.test" unless it is here.
        pub headers: Vec<(HeaderName, HeaderValue)> = fields(section, "headers"),

        /// `body`: the body: a text; an array of texts, which are sent as pieces; or `{ text = "x", repeat = 100000, pieces =
        /// 4096 }`, where `text` can be `hex` or `file` (its path, relative to the file of cases), `repeat` is how often it is sent
        /// (at most 64 MiB in all), and `pieces` of how many bytes each. Or `json`: a value that is sent as JSON, with its
        /// `content-type`. Default: none.
        pub content: Content = Content::read(section),

        /// `trailers`: what follows the body.
        pub trailers: Vec<(HeaderName, HeaderValue)> = fields(section, "trailers"),

        /// `client`: the address that it comes from. Default "127.0.0.1".
        pub client: Option<IpAddr> = section.optional("client", address),

        /// `certificate`: the path of a file with the certificate (PEM) that the client showed, relative to the file of
        /// cases. Default: it showed none, and the connection is in clear text.
        pub certificate: Option<PathBuf> = section.optional("certificate", readable_file),

        /// `consumer`: whom a policy before this one has named: "ada", or `{ id = "ada", attributes = { plan = "gold" } }`.
        /// Default: nobody.
        pub consumer: Option<ConsumerText> = section.optional("consumer", ConsumerText::read_any),
    }
}

section! {
    /// `consumer = { id = "ada", attributes = { plan = "gold" } }`
    pub struct ConsumerText(section) {
        /// `id` (required): what it is called.
        pub id: String = section.required("id", string),

        /// `attributes`: what else is known of it, names and values.
        pub attributes: Vec<(String, String)> =
            super::entries(section, "attributes", |name, value| Some((name.to_owned(), string(value)?))),
    }
}

impl ConsumerText {
    fn read_any(value: &Value<'_>) -> Option<ConsumerText> {
        match value.inner {
            DeValue::Table(_) => ConsumerText::read(&value.section()?),
            _ => Some(ConsumerText { id: string(value)?, attributes: Vec::new() }),
        }
    }
}

fn target(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "a path and perhaps a query, like \"/orders?page=2\"";
    let text = value.text(EXPECTED)?;
    let well = text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok();
    if well { Some(text) } else { value.fail(value.error("not a target").expected(EXPECTED)) }
}

fn address(value: &Value<'_>) -> Option<IpAddr> {
    const EXPECTED: &str = "an IP address, like \"203.0.113.7\"";
    match value.text(EXPECTED)?.parse() {
        Ok(address) => Some(address),
        Err(_) => value.fail(value.error("not an address").expected(EXPECTED)),
    }
}
