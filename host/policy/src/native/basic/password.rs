//! Passwords as they are kept, and checking them beside the workers.

use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;
use std::time::Duration;

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a password waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// A bcrypt hash that costs more takes longer than anybody waits.
const MOST_COST: u32 = 16;
/// What an argon2id hash may take, in KiB and passes.
const MOST_MEMORY: u32 = 256 << 10;
const MOST_PASSES: u32 = 64;

/// A password that is slow to guess.
pub(super) enum Hash {
    Bcrypt(String),
    Argon2(Box<PasswordHash>),
}

impl Hash {
    /// What is wrong with it is told without it.
    pub(super) fn parse(text: &str) -> Result<Hash, &'static str> {
        const KINDS: &str = "a hash that is neither bcrypt (`htpasswd -B`) nor argon2id";
        if ["$2a$", "$2b$", "$2y$"].iter().any(|start| text.starts_with(start)) {
            let parts = bcrypt::HashParts::from_str(text).map_err(|_| "a broken bcrypt hash")?;
            return match parts.get_cost() <= MOST_COST {
                true => Ok(Hash::Bcrypt(text.to_owned())),
                false => Err("a bcrypt hash with a cost over 16"),
            };
        }
        if !text.starts_with("$argon2id$") {
            return Err(KINDS);
        }
        let broken = "a broken argon2id hash";
        let hash = PasswordHash::new(text).map_err(|_| broken)?;
        let params = Params::try_from(&hash).map_err(|_| broken)?;
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err(broken);
        }
        if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_PASSES {
            return Err("an argon2id hash that takes more than 256 MiB or 64 passes");
        }
        Ok(Hash::Argon2(Box::new(hash)))
    }

    /// Slow.
    pub(super) fn fits(&self, password: &[u8]) -> bool {
        match self {
            // What is longer than bcrypt looks at would fit whatever its end is.
            Hash::Bcrypt(hash) => bcrypt::non_truncating_verify(password, hash).unwrap_or(false),
            Hash::Argon2(hash) => Argon2::default().verify_password(password, hash.as_ref()).is_ok(),
        }
    }
}

/// Does something slow beside the workers, half as many at a time as there are cores. None: its turn did not come.
pub(super) async fn apart<T: Send + 'static>(slow: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    static TURNS: OnceLock<Arc<Semaphore>> = OnceLock::new();
    let turns = TURNS.get_or_init(|| {
        let cores = available_parallelism().map_or(1, usize::from);
        Arc::new(Semaphore::new((cores / 2).max(1)))
    });
    let turn = timeout(PATIENCE, turns.clone().acquire_owned()).await.ok()?.ok()?;
    let done = spawn_blocking(move || {
        // Whoever waits may go; the work goes on to its end, and nobody takes its turn before.
        let _turn = turn;
        slow()
    });
    done.await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::PasswordHasher;

    /// `htpasswd -nbB -C 4 ada "open sesame"`
    const BCRYPT: &str = "$2y$04$fsx/21FF.K2QIbRfQqOsceBd00w9aRBNXwebMr7OjEfOJh5iA/Suq";

    #[test]
    fn what_protects_nothing_is_refused() {
        for hash in [
            "",
            "open sesame",
            "{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=",
            "$apr1$Qf7ZzN1h$Wv0cqqz5Jh9xJ0qB5mZ9y/",
            "$argon2i$v=19$m=16,t=2,p=1$c2FsdHNhbHQ$0vZvQb0Qb0Q",
            "$2y$05$short",
            "$argon2id$v=19$m=16",
        ] {
            assert!(Hash::parse(hash).is_err(), "{hash}");
        }
        let long = BCRYPT.replace("$04$", "$17$");
        assert!(Hash::parse(&long).is_err());
    }

    #[test]
    fn a_password_fits_its_hash_alone() {
        let params = Params::new(64, 1, 1, None).unwrap();
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let made: PasswordHash = argon2.hash_password_with_salt(b"open sesame", b"salt of sixteen!").unwrap();
        let hashes = [BCRYPT.to_owned(), made.to_string()];
        for hash in &hashes {
            let hash = Hash::parse(hash).unwrap();
            assert!(hash.fits(b"open sesame"));
            assert!(!hash.fits(b"open sesame!") && !hash.fits(b""));
        }
        let long = Hash::parse(&bcrypt::hash("a".repeat(80), 4).unwrap()).unwrap();
        assert!(!long.fits(&[b'a'; 80]), "nobody could tell it from another one");
    }
}
