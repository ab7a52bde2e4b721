//! Who has a password.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::path::Path;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::password::Hash;
use crate::{Consumer, keys};

/// The largest file of users, in bytes.
const LARGEST: u64 = 1 << 20;

/// One of `users`, where there is more to say than a hash.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct User {
    /// `hash`: of the password. Default: the one that `file` has for this user.
    hash: Option<String>,
    /// `scopes`: what the user may, as tokens and keys have it. Default: nothing.
    scopes: Vec<String>,
    /// `plan`: the user's plan, for `quota`; an attribute of the consumer. Default: none.
    plan: Option<String>,
    /// `attributes`: what else is known of the user: `{ team = "billing" }`. Default: nothing.
    attributes: BTreeMap<String, String>,
}

/// A hash alone, or more.
struct Told(User);

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(hash) => Ok(Told(User { hash: Some(hash), ..User::default() })),
            more @ Value::Object(_) => serde_json::from_value(more).map(Told).map_err(D::Error::custom),
            _ => Err(D::Error::custom("a hash, or a table with `hash`, `scopes`, `plan` and `attributes`")),
        }
    }
}

/// `users`, as they are written.
pub(super) fn told<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, User>, D::Error> {
    let all = BTreeMap::<String, Told>::deserialize(deserializer)?;
    Ok(all.into_iter().map(|(name, Told(user))| (name, user)).collect())
}

#[derive(Default)]
pub(super) struct Users {
    known: Vec<Known>,
    /// The number of the user.
    by_name: HashMap<Vec<u8>, usize>,
    /// Which of them is checked for somebody who is none of them.
    stand_ins: RandomState,
}

/// One of them.
struct Known {
    hash: Hash,
    /// The hash as it is written.
    written: String,
    consumer: Consumer,
}

impl Users {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Those of a file as `htpasswd` writes it.
    pub(super) fn add_file(&mut self, file: &Path) -> Result<(), String> {
        let unreadable = |error: std::io::Error| format!("could not read {}: {error}", file.display());
        let mut text = Vec::new();
        let opened = File::open(file).map_err(unreadable)?;
        opened.take(LARGEST + 1).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() as u64 > LARGEST {
            return Err(format!("{} is larger than {LARGEST} bytes", file.display()));
        }
        let text = str::from_utf8(&text).map_err(|_| format!("{} is not UTF-8", file.display()))?;
        let lines = text.lines().map(str::trim).enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let wrong = |what: &str| format!("{}, line {}: {what}", file.display(), number + 1);
            let (user, hash) = line.split_once(':').ok_or_else(|| wrong("not `user:hash`"))?;
            self.add(user, hash).map_err(|what| wrong(&what))?;
        }
        Ok(())
    }

    /// One of whom more may be known than of one in a file.
    pub(super) fn tell(&mut self, user: &str, told: &User) -> Result<(), String> {
        if let Some(hash) = &told.hash {
            self.add(user, hash)?;
        }
        let number = self.by_name.get(user.as_bytes()).copied();
        let place = number.and_then(|number| self.known.get_mut(number));
        let Known { consumer, .. } =
            place.ok_or_else(|| format!("user `{user}` has no `hash`, and `file` has none"))?;
        if told.attributes.contains_key("plan") {
            return Err(format!(
                "user `{user}`: an attribute can't be called `plan`: that is a key of its own"
            ));
        }
        if let Some(scope) = told.scopes.iter().find(|scope| !keys::is_scope(scope)) {
            return Err(format!("user `{user}`: a scope is one word (RFC 6749, section 3.3), not `{scope}`"));
        }
        let plan = told.plan.iter().map(|plan| ("plan", &**plan));
        let attributes = told.attributes.iter().map(|(name, value)| (&**name, &**value));
        *consumer = Consumer::with(user, attributes.chain(plan)).map_err(|_| {
            format!("user `{user}` has more than 32 attributes or 16 KiB of them, or one without a name")
        })?;
        consumer.scopes = told.scopes.iter().map(|scope| scope.as_str().into()).collect();
        Ok(())
    }

    /// Who it is, with all that is known.
    pub(super) fn consumer(&self, user: &[u8]) -> Option<&Consumer> {
        self.known.get(*self.by_name.get(user)?).map(|known| &known.consumer)
    }

    fn add(&mut self, user: &str, hash: &str) -> Result<(), String> {
        let wrong = || format!("not a user's name: `{user}`");
        let consumer = Consumer::new(user).ok().filter(|_| !user.contains(':')).ok_or_else(wrong)?;
        let written = hash.to_owned();
        let hash = Hash::parse(hash).map_err(|what| format!("user `{user}` has {what}"))?;
        if self.by_name.contains_key(user.as_bytes()) {
            return Err(format!("user `{user}` is there twice"));
        }
        let known = Known { hash, written, consumer };
        self.by_name.insert(user.as_bytes().to_vec(), self.known.len());
        self.known.push(known);
        Ok(())
    }

    /// The hash of this user's password, as it is written; nothing of one that there is not.
    pub(super) fn written(&self, user: &[u8]) -> &str {
        let known = self.by_name.get(user).and_then(|number| self.known.get(*number));
        known.map_or("", |known| &known.written)
    }

    /// Whether it is this user's password. Slow, and as slow for users that there are not.
    pub(super) fn fits(&self, user: &[u8], password: &[u8]) -> bool {
        let known = self.by_name.get(user).copied();
        let stand_in = || self.stand_ins.hash_one(user) as usize % self.known.len().max(1);
        let asked = self.known.get(known.unwrap_or_else(stand_in));
        let fits = asked.is_some_and(|known| known.hash.fits(password));
        fits & known.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn more_can_be_said_of_users() {
        let told = |told: Value| -> Result<User, String> {
            serde_json::from_value(told).map(|Told(user)| user).map_err(|error| error.to_string())
        };
        let mut users = Users::default();
        let hash = bcrypt::hash("one", 4).unwrap();
        users.add("ada", &hash).unwrap();
        let more = json!({ "scopes": ["read", "write"], "plan": "gold", "attributes": { "team": "a" } });
        users.tell("ada", &told(more).unwrap()).unwrap();
        users.tell("bob", &told(json!({ "hash": hash, "scopes": ["read"] })).unwrap()).unwrap();
        users.tell("cyd", &told(json!(hash)).unwrap()).unwrap();
        let ada = users.consumer(b"ada").unwrap();
        assert_eq!(
            (ada.id(), ada.attribute("plan"), ada.attribute("team")),
            ("ada", Some("gold"), Some("a"))
        );
        assert_eq!((ada.scopes.len(), users.consumer(b"cyd").unwrap().scopes.len()), (2, 0));
        assert!(users.fits(b"bob", b"one") && users.consumer(b"eve").is_none());
        for (user, more, said) in [
            ("eve", json!({ "scopes": ["read"] }), "has no `hash`"),
            ("ada", json!({ "hash": hash }), "twice"),
            ("ada", json!({ "attributes": { "plan": "x" } }), "can't be called `plan`"),
            ("ada", json!({ "scopes": ["two words"] }), "one word"),
            ("ada", json!({ "attributes": { "": "x" } }), "without a name"),
        ] {
            assert!(users.tell(user, &told(more).unwrap()).unwrap_err().contains(said), "{said}");
        }
        assert!(told(json!({ "scope": [] })).err().unwrap().contains("unknown field `scope`"));
        assert!(told(json!(1)).err().unwrap().contains("a hash, or a table"));
    }

    #[test]
    fn only_users_have_passwords() {
        let mut users = Users::default();
        users.add("ada", &bcrypt::hash("one", 4).unwrap()).unwrap();
        users.add("bob", &bcrypt::hash("two", 4).unwrap()).unwrap();
        assert!(users.fits(b"ada", b"one") && users.fits(b"bob", b"two"));
        for (user, password) in [("ada", "two"), ("eve", "one"), ("eve", "two"), ("", "one"), ("ada", "")] {
            assert!(!users.fits(user.as_bytes(), password.as_bytes()), "{user}:{password}");
        }
        let hash = bcrypt::hash("three", 4).unwrap();
        for (user, said) in [("ada", "twice"), ("", "not a user's name"), ("a:b", "not a user's name")] {
            assert!(users.add(user, &hash).unwrap_err().contains(said), "{user}");
        }
        let told = users.add("eve", "plain text").unwrap_err();
        assert!(told.contains("neither bcrypt") && !told.contains("plain text"), "{told}");
    }
}
