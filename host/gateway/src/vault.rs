//! Secrets and key sets, read from where the configuration says that they are.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use limen_config::{Config, ConfigError, KeySet, Secret, SecretSource};
use limen_policy::vault::{self, Key, RenewalTerms, TokenTerms, Vault};

/// The largest secret, in bytes.
const LARGEST_SECRET: u64 = 64 << 10;
/// The largest file of keys, in bytes.
const LARGEST_KEYS: u64 = 1 << 20;

/// What is no secret may be shown; what is one is in no error.
pub fn open(config: &Config, previous: Option<&Vault>, errors: &mut Vec<ConfigError>) -> Vault {
    let mut vault = Vault::default();
    for terms in config.secrets.values() {
        match secret(terms) {
            Ok(secret) => {
                let known = previous.and_then(|previous| previous.secrets.get(&terms.name));
                // Who holds one that did not change goes on holding it.
                let secret =
                    known.filter(|known| ***known == secret).cloned().unwrap_or_else(|| Arc::new(secret));
                vault.secrets.insert(terms.name.clone(), secret);
            }
            Err(what) => errors.push(wrong("secret", &terms.name, terms.place.clone(), &what)),
        }
    }
    for terms in config.key_sets.values() {
        match key_set(terms, &vault) {
            Ok(mut set) => {
                let known = previous.and_then(|previous| previous.key_sets.get(&terms.name));
                let set = match known {
                    Some(known) if **known == set => known.clone(),
                    Some(known) => {
                        set.inherit(known);
                        Arc::new(set)
                    }
                    None => Arc::new(set),
                };
                vault.key_sets.insert(terms.name.clone(), set);
            }
            Err(what) => errors.push(wrong("key set", &terms.name, terms.place.clone(), &what)),
        }
    }
    vault
}

fn wrong(kind: &str, name: &str, place: limen_config::Place, what: &str) -> ConfigError {
    ConfigError::new(place, format!("{kind} `{name}`: {what}"))
}

fn secret(terms: &Secret) -> Result<vault::Secret, String> {
    let current = value(&terms.current)?;
    let previous = terms.previous.as_ref().map(value).transpose()?;
    Ok(vault::Secret::new(&terms.name, current, previous))
}

fn value(source: &SecretSource) -> Result<Vec<u8>, String> {
    use std::os::unix::ffi::OsStringExt;
    let (mut value, from) = match source {
        SecretSource::File(file) => (read(file, LARGEST_SECRET)?, file.display().to_string()),
        SecretSource::Environment(name) => match std::env::var_os(name) {
            Some(value) => (value.into_vec(), format!("environment variable `{name}`")),
            None => return Err(format!("environment variable `{name}` is not set")),
        },
        SecretSource::Written(value) => (value.clone().into_bytes(), "it".to_owned()),
    };
    // Editors and `echo` end a file with a line break.
    if value.ends_with(b"\n") {
        value.pop();
        value.pop_if(|last| *last == b'\r');
    }
    if value.is_empty() { Err(format!("{from} is empty")) } else { Ok(value) }
}

fn key_set(terms: &KeySet, vault: &Vault) -> Result<vault::KeySet, String> {
    let asked = TokenTerms {
        algorithms: terms.algorithms.clone(),
        issuers: terms.issuer.clone(),
        audiences: terms.audience.clone(),
        leeway: terms.leeway,
    };
    if let Some(url) = terms.url() {
        let renewal = RenewalTerms {
            from: url.to_string(),
            max_stale: terms.max_stale,
            cooldown: terms.cooldown,
            wait: terms.wait,
        };
        return Ok(vault::KeySet::renewed(&terms.name, asked, renewal));
    }
    let mut keys = Vec::new();
    if let Some(file) = &terms.jwks {
        let text = read(file, LARGEST_KEYS)?;
        keys.extend(Key::of_jwks(&text).map_err(|error| format!("{}: {error}", file.display()))?);
    }
    for file in &terms.pem {
        let text = read(file, LARGEST_KEYS)?;
        keys.push(Key::of_pem(&text).map_err(|error| format!("{}: {error}", file.display()))?);
    }
    if let Some(name) = &terms.secret {
        let secret = vault.secrets.get(name).ok_or_else(|| format!("secret `{name}` could not be read"))?;
        for value in secret.reveal_all() {
            keys.push(Key::of_secret(value).map_err(|error| format!("secret `{name}`: {error}"))?);
        }
    }
    vault::KeySet::new(&terms.name, keys, &asked).map_err(|error| error.to_string())
}

fn read(path: &Path, largest: u64) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("could not read {}: {error}", path.display());
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(largest + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > largest {
        return Err(format!("{} is larger than {largest} bytes", path.display()));
    }
    Ok(bytes)
}
