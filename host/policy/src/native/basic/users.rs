//! Who has a password.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::path::Path;

use super::password::Hash;
use crate::Consumer;

/// The largest file of users, in bytes.
const LARGEST: u64 = 1 << 20;

#[derive(Default)]
pub(super) struct Users {
    hashes: Vec<Hash>,
    /// The number of the hash.
    by_name: HashMap<Vec<u8>, usize>,
    /// Which of them is checked for somebody who is none of them.
    stand_ins: RandomState,
}

impl Users {
    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
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

    pub(super) fn add(&mut self, user: &str, hash: &str) -> Result<(), String> {
        if user.contains(':') || Consumer::new(user).is_err() {
            return Err(format!("not a user's name: `{user}`"));
        }
        let hash = Hash::parse(hash).map_err(|what| format!("user `{user}` has {what}"))?;
        if self.by_name.insert(user.as_bytes().to_vec(), self.hashes.len()).is_some() {
            return Err(format!("user `{user}` is there twice"));
        }
        self.hashes.push(hash);
        Ok(())
    }

    /// Whether it is this user's password. Slow, and as slow for users that there are not.
    pub(super) fn fits(&self, user: &[u8], password: &[u8]) -> bool {
        let known = self.by_name.get(user).copied();
        let stand_in = || self.stand_ins.hash_one(user) as usize % self.hashes.len().max(1);
        let hash = self.hashes.get(known.unwrap_or_else(stand_in));
        let fits = hash.is_some_and(|hash| hash.fits(password));
        fits & known.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
