//! Whom a request is counted for.

use std::borrow::Cow;
use std::hash::Hasher;
use std::net::{IpAddr, Ipv6Addr};

use aws_lc_rs::digest::{Context, SHA256};
use limen_store::KeyHasher;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use crate::native::denial::Denial;
use crate::native::expression::Text;
use crate::native::settings::Name;
use crate::{Exchange, Side};

/// What a request is told apart by.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::native) enum Part {
    /// The client's address; of IPv6 its first 64 bits, for whoever has one of them has them all.
    Address,
    /// The consumer's name.
    Consumer,
    /// The route's name.
    Route,
    /// The first value of a header.
    Header(Name),
    /// The first value of a query parameter.
    Query(String),
    /// A claim of the consumer's token that is a string, a number or a boolean.
    Claim(String),
    /// An attribute of the consumer.
    Attribute(String),
    /// What an expression comes to; one that comes to nothing is as one that is missing.
    Expression(Text),
}

/// What becomes of a request that lacks a part.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::native) enum Missing {
    /// Its address stands in for the part.
    #[default]
    Address,
    /// All that lack it are counted together.
    Shared,
    /// It is not counted, and passes.
    Pass,
    /// It is refused.
    Refuse,
}

/// Several parts that are one key.
#[derive(Clone, Debug)]
pub(in crate::native) struct By {
    pub(in crate::native) parts: Vec<Part>,
    pub(in crate::native) missing: Missing,
}

/// There is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::native) enum NoKey {
    Pass,
    Refuse,
}

impl NoKey {
    /// 403: it is not known whom to count it for.
    pub(in crate::native) fn denial() -> Denial {
        Denial::forbidden("It is not known who asks.", "the request lacks what it is counted by")
    }
}

impl By {
    /// Writes the key of a request to a hasher, so that no two keys are written alike.
    pub(in crate::native) fn write(&self, exchange: &Exchange, to: &mut impl Hasher) -> Result<(), NoKey> {
        for part in &self.parts {
            if part.write(exchange, to) {
                continue;
            }
            match self.missing {
                Missing::Address => write_address(exchange, to),
                Missing::Shared => to.write_u8(0),
                Missing::Pass => return Err(NoKey::Pass),
                Missing::Refuse => return Err(NoKey::Refuse),
            }
        }
        Ok(())
    }

    /// The key of a request, apart from those of other names.
    pub(in crate::native) fn key(&self, exchange: &Exchange, name: &str, keys: Keys) -> Result<u128, NoKey> {
        match keys {
            Keys::Own(mut hasher) => {
                write_text(2, name, &mut hasher);
                self.write(exchange, &mut hasher)?;
                Ok(hasher.key())
            }
            Keys::Shared { whose } => {
                let mut digest = Digest(Context::new(&SHA256));
                write_text(2, whose, &mut digest);
                write_text(2, name, &mut digest);
                self.write(exchange, &mut digest)?;
                Ok(digest.key())
            }
        }
    }
}

/// What keys that people read may be made of, as they are.
const READABLE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@').remove(b':');
/// The longest part of such a key, in bytes; longer ones are hashed.
const LONGEST: usize = 256;

impl By {
    /// The key of a request as people read it: its parts, percent-encoded, with a `+` between them. What comes from
    /// headers, queries and expressions may be a secret, and is hashed.
    pub(in crate::native) fn label(&self, exchange: &Exchange) -> Result<String, NoKey> {
        let address = || Cow::Owned(network(exchange).to_string());
        let mut label = String::new();
        for (number, part) in self.parts.iter().enumerate() {
            if number > 0 {
                label.push('+');
            }
            let text = match part {
                Part::Address => Some(address()),
                _ => part.text(exchange),
            };
            let text = match (text, self.missing) {
                (Some(text), _) => text,
                (None, Missing::Address) => address(),
                (None, Missing::Shared) => Cow::Borrowed(""),
                (None, Missing::Pass) => return Err(NoKey::Pass),
                (None, Missing::Refuse) => return Err(NoKey::Refuse),
            };
            if part.may_be_secret() || text.len() > LONGEST {
                label.push_str(&hashed(&text));
            } else {
                label.extend(utf8_percent_encode(&text, READABLE));
            }
        }
        Ok(label)
    }

    /// The key that people mean, who may write what is hashed as it was in the request.
    pub(in crate::native) fn label_of<'a>(&self, key: &'a str) -> Cow<'a, str> {
        let texts = match self.parts.len() {
            1 => vec![key],
            _ => key.split('+').collect(),
        };
        let is_told = |(part, text): (&Part, &&str)| part.may_be_secret() && !text.starts_with(HASHED);
        if texts.len() != self.parts.len() || !self.parts.iter().zip(&texts).any(is_told) {
            return Cow::Borrowed(key);
        }
        let label = self.parts.iter().zip(&texts).map(|(part, text)| match is_told((part, text)) {
            true => Cow::Owned(hashed(text)),
            false => Cow::Borrowed(*text),
        });
        Cow::Owned(label.collect::<Vec<_>>().join("+"))
    }
}

/// What hashes begin with.
const HASHED: &str = "sha256:";

fn hashed(text: &str) -> String {
    let mut digest = Digest(Context::new(&SHA256));
    digest.write(text.as_bytes());
    format!("{HASHED}{:032x}", digest.key())
}

/// What keys are made with.
pub(in crate::native) enum Keys<'a> {
    /// They mean something in this process.
    Own(KeyHasher),
    /// They are the same in every gateway with a policy of this name.
    Shared { whose: &'a str },
}

/// SHA-256: what is shared tells nobody who has asked.
struct Digest(Context);

impl Digest {
    fn key(self) -> u128 {
        let digest = self.0.finish();
        digest.as_ref().iter().take(16).fold(0, |key, byte| key << 8 | u128::from(*byte))
    }
}

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0 // nobody asks: a key is longer
    }
}

impl Part {
    /// What requests are told apart by if nothing is said of it.
    pub(in crate::native) fn usual() -> Vec<Part> {
        vec![Part::Consumer]
    }

    /// Whether what it is may be nobody else's to read.
    fn may_be_secret(&self) -> bool {
        matches!(self, Part::Header(_) | Part::Query(_) | Part::Expression(_))
    }

    /// Writes it; whether the request has it.
    fn write(&self, exchange: &Exchange, to: &mut impl Hasher) -> bool {
        match self {
            Part::Address => write_address(exchange, to),
            // A value may be no text.
            Part::Header(Name(name)) => match exchange.headers(Side::Request).get(name) {
                Some(value) => write_bytes(2, value.as_bytes(), to),
                None => return false,
            },
            _ => match self.text(exchange) {
                Some(text) => write_text(2, &text, to),
                None => return false,
            },
        }
        true
    }

    /// What the request has of it, if that is text.
    pub(in crate::native) fn text<'a>(&self, exchange: &'a Exchange) -> Option<Cow<'a, str>> {
        let consumer = exchange.consumer.as_deref();
        match self {
            Part::Address => Some(Cow::Owned(exchange.client.address.ip().to_canonical().to_string())),
            Part::Consumer => Some(Cow::Borrowed(consumer?.id())),
            Part::Route => Some(Cow::Borrowed(&exchange.route.name)),
            Part::Header(Name(name)) => {
                Some(Cow::Borrowed(exchange.headers(Side::Request).get(name)?.to_str().ok()?))
            }
            Part::Query(name) => exchange.query_parameter(name),
            Part::Expression(Text(expression)) => expression.text(exchange).ok().map(Cow::Owned),
            Part::Attribute(name) => Some(Cow::Borrowed(consumer?.attribute(name)?)),
            Part::Claim(name) => match consumer?.claims.as_deref()?.get(name)? {
                Value::String(value) => Some(Cow::Borrowed(value)),
                value @ (Value::Number(_) | Value::Bool(_)) => Some(Cow::Owned(value.to_string())),
                _ => None,
            },
        }
    }
}

/// The client's address as it is counted: of IPv6 its first 64 bits, and nothing after them.
fn network(exchange: &Exchange) -> IpAddr {
    match exchange.client.address.ip().to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

fn write_address(exchange: &Exchange, to: &mut impl Hasher) {
    match network(exchange) {
        IpAddr::V4(address) => write_bytes(4, &address.octets(), to),
        IpAddr::V6(address) => write_bytes(6, &(address.to_bits() >> 64).to_be_bytes(), to),
    }
}

fn write_text(kind: u8, text: &str, to: &mut impl Hasher) {
    write_bytes(kind, text.as_bytes(), to);
}

fn write_bytes(kind: u8, bytes: &[u8], to: &mut impl Hasher) {
    to.write_u8(kind);
    to.write(&(bytes.len() as u64).to_le_bytes());
    to.write(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Consumer;
    use serde_json::json;
    use std::sync::Arc;

    /// Keeps what is written.
    #[derive(Default)]
    struct Written(Vec<u8>);

    impl Hasher for Written {
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }

        fn finish(&self) -> u64 {
            0
        }
    }

    fn written(exchange: &Exchange, parts: Value, missing: Missing) -> Result<Vec<u8>, NoKey> {
        let by = By { parts: serde_json::from_value(parts).unwrap(), missing };
        let mut written = Written::default();
        by.write(exchange, &mut written).map(|()| written.0)
    }

    fn exchange(target: &str, address: &str) -> Exchange {
        let mut exchange = Exchange::default();
        *exchange.request.uri_mut() = target.parse().unwrap();
        exchange.client.address = address.parse().unwrap();
        exchange
    }

    #[test]
    fn parts_are_told_apart() {
        let key = |target: &str| {
            written(
                &exchange(target, "192.0.2.1:1"),
                json!([{ "query": "a" }, { "query": "b" }]),
                Missing::Address,
            )
        };
        assert_eq!(key("/?a=1&b=2"), key("/x?b=2&c=3&a=1"));
        assert_ne!(key("/?a=12&b="), key("/?a=1&b=2"), "where one ends belongs to it");
        assert_ne!(key("/?a=1"), key("/?b=1"), "and which of them is missing");
    }

    #[test]
    fn an_address_is_one_or_a_network_of_ipv6() {
        let key =
            |address: &str| written(&exchange("/", address), json!(["address"]), Missing::Pass).unwrap();
        assert_eq!(key("[2001:db8::1]:1"), key("[2001:db8::ffff:0:0:2]:2"));
        assert_ne!(key("[2001:db8::1]:1"), key("[2001:db8:0:1::1]:1"));
        assert_ne!(key("192.0.2.1:1"), key("192.0.2.2:1"));
        assert_eq!(key("192.0.2.1:1"), key("[::ffff:192.0.2.1]:1"));
    }

    #[test]
    fn so_it_is_in_a_key_that_people_read() {
        for part in [Part::Address, Part::Consumer] {
            let by = By { parts: vec![part], missing: Missing::Address };
            let key = |address: &str| by.label(&exchange("/", address)).unwrap();
            assert_eq!(key("[2001:db8::1]:1"), "2001:db8::");
            assert_eq!(key("[2001:db8::ffff:0:0:2]:2"), "2001:db8::");
            assert_eq!(key("[2001:db8:0:1::1]:1"), "2001:db8:0:1::");
            assert_eq!([key("192.0.2.1:1"), key("[::ffff:192.0.2.1]:1")], ["192.0.2.1", "192.0.2.1"]);
        }
    }

    #[test]
    fn who_knows_what_was_hashed_can_ask_for_it() {
        let parts: Vec<Part> = serde_json::from_value(json!([{ "header": "x-team" }, "address"])).unwrap();
        let by = |parts: &[Part]| By { parts: parts.to_vec(), missing: Missing::Address };
        let mut asked = exchange("/", "192.0.2.1:1");
        asked.request.headers_mut().insert("x-team", "a+b".parse().unwrap());
        let (one, both) = (by(&parts[..1]), by(&parts));
        assert_eq!(one.label_of("a+b"), one.label(&asked).unwrap());
        assert_eq!(one.label_of(&one.label(&asked).unwrap()), one.label(&asked).unwrap());
        asked.request.headers_mut().insert("x-team", "a".parse().unwrap());
        assert_eq!(both.label_of("a+192.0.2.1"), both.label(&asked).unwrap());
        assert_eq!(both.label_of("a"), "a", "it has too few parts");
    }

    #[test]
    fn what_is_missing_is_as_it_is_set() {
        let nobody = exchange("/", "192.0.2.1:1");
        let mut ada = exchange("/", "192.0.2.1:1");
        let claims = Some(Arc::new(json!({ "tenant": "acme", "tier": 3, "list": [] })));
        let mut consumer = Consumer::with("ada", [("plan", "gold")]).unwrap();
        consumer.claims = claims;
        ada.consumer = Some(Box::new(consumer));
        let by_consumer = |exchange, missing| written(exchange, json!(["consumer"]), missing);
        assert_eq!(by_consumer(&nobody, Missing::Pass), Err(NoKey::Pass));
        assert_eq!(by_consumer(&nobody, Missing::Refuse), Err(NoKey::Refuse));
        assert_eq!(
            by_consumer(&nobody, Missing::Address),
            written(&nobody, json!(["address"]), Missing::Pass)
        );
        assert!(by_consumer(&nobody, Missing::Shared).is_ok());
        for part in [
            json!("consumer"),
            json!({ "claim": "tenant" }),
            json!({ "claim": "tier" }),
            json!({ "attribute": "plan" }),
        ] {
            assert!(written(&ada, json!([part]), Missing::Refuse).is_ok(), "{part}");
        }
        assert_eq!(written(&ada, json!([{ "claim": "list" }]), Missing::Refuse), Err(NoKey::Refuse));
    }
}
