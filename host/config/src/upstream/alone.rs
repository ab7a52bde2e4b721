//! Upstreams that no section says anything of.

use std::path::Path;

use super::Upstream;
use crate::ConfigError;
use crate::section::{Section, Sink};
use crate::source::{Document, Text};

impl Upstream {
    /// The server at an address like "https://id.example.com", with all that a section says which has nothing but its
    /// `endpoints`. `roots` is a file of certificates, relative to the folder, that are trusted instead of the system's.
    pub fn alone(address: &str, roots: Option<&str>, folder: &Path) -> Result<Upstream, Unfit> {
        let name = match roots {
            None => address.to_owned(),
            Some(roots) => format!("{address} ({})", folder.join(roots).display()),
        };
        let quoted = |text: &str| serde_json::Value::from(text.replace("${", "$${")).to_string();
        let roots = roots.map(|roots| format!("tls = {{ roots = {} }}\n", quoted(roots))).unwrap_or_default();
        let text = format!("endpoints = [{}]\nhost = \"endpoint\"\n{roots}", quoted(address));
        let text = Text::made(&folder.join("upstream"), text).map_err(Unfit::new)?;
        let (document, mistakes) = Document::parse(&text);
        let sink = Sink::default();
        let read = Upstream::read(&Section::root(&document, &sink), &name);
        let mut mistakes = sink.into_errors(mistakes, std::iter::once(&document.source)).into_iter();
        match (read, mistakes.next()) {
            (Some(upstream), None) => Ok(upstream),
            (_, mistake) => Err(mistake.map_or_else(|| Unfit::new("not an address"), Unfit::from)),
        }
    }
}

/// Why no upstream is at an address, for whoever has given that.
#[derive(Debug)]
pub struct Unfit {
    pub message: String,
    /// What helps.
    pub hint: Option<String>,
}

impl Unfit {
    fn new(message: impl Into<String>) -> Self {
        Unfit { message: message.into(), hint: None }
    }
}

impl From<ConfigError> for Unfit {
    /// The file that it is in is made, and nobody's.
    fn from(mistake: ConfigError) -> Self {
        let expected = mistake.expected.map(|expected| format!("expected {expected}"));
        Unfit { message: mistake.message, hint: mistake.hint.or(expected) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scheme, UpstreamHost};

    #[test]
    fn an_address_is_enough() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let idp = Upstream::alone("https://id.example.com:8443", Some("Cargo.toml"), here).unwrap();
        assert_eq!((idp.endpoints[0].scheme, idp.endpoints[0].port), (Scheme::Https, 8443));
        assert_eq!((idp.tls.roots.unwrap(), idp.host), (here.join("Cargo.toml"), UpstreamHost::Endpoint));
        assert!(idp.name.starts_with("https://id.example.com:8443 ("), "{}", idp.name);
        assert_eq!(Upstream::alone("http://[::1]", None, here).unwrap().name, "http://[::1]");
        let scheme = Upstream::alone("ftp://a", None, here).unwrap_err();
        assert!(scheme.hint.is_some_and(|hint| hint.contains("https")), "{}", scheme.message);
        for (address, roots, said) in [
            ("https://a/path", None, "a path"),
            ("https://u:p@a", None, "user and password"),
            ("https://", None, "host"),
            ("https://a", Some("nowhere.pem"), "nowhere.pem"),
            ("https://${HOME}", None, "host"),
        ] {
            let told = Upstream::alone(address, roots, here).unwrap_err();
            assert!(told.message.contains(said), "{address}: {told:?}");
        }
    }
}
