//! What is shown to a registry that asks who we are. It is printed nowhere.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use limen_config::{Registry, RegistryName};
use limen_policy::vault::Vault;
use serde_json::Value;

use super::Failure;
use crate::component::file;

/// A file with logins to some registries.
const LARGEST: u64 = 1 << 20;
/// Docker Hub's key in such a file, whatever host images are asked of.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// User and password, as `Authorization` has them.
pub struct Credentials(HeaderValue);

impl Credentials {
    /// None where none are configured.
    pub fn of(terms: &Registry, vault: &Vault) -> Result<Option<Self>, Failure> {
        match (&terms.username, &terms.password, &terms.docker_config) {
            (Some(username), Some(password), _) => {
                let secret = vault.secrets.get(password);
                let secret =
                    secret.ok_or_else(|| Failure::new(format!("secret `{password}` could not be read")))?;
                Self::basic(username.as_bytes(), secret.reveal()).map(Some)
            }
            (_, _, Some(path)) => Self::of_docker(path, &terms.name).map(Some),
            _ => Ok(None),
        }
    }

    fn basic(username: &[u8], password: &[u8]) -> Result<Self, Failure> {
        Self::encoded(&STANDARD.encode([username, b":", password].concat()))
    }

    fn encoded(pair: &str) -> Result<Self, Failure> {
        let mut value = HeaderValue::try_from(format!("Basic {pair}"))
            .map_err(|_| Failure::new("its credentials can't be sent"))?;
        value.set_sensitive(true);
        Ok(Credentials(value))
    }

    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// What `docker login` has written for this registry. No message has any of it.
    fn of_docker(path: &Path, registry: &RegistryName) -> Result<Self, Failure> {
        let wrong = |what: String| Failure::new(format!("docker_config, {}: {what}", path.display()));
        let text = file::read(path, LARGEST).map_err(|error| wrong(format!("could not read it: {error}")))?;
        let config: Value = serde_json::from_slice(&text)
            .map_err(|error| wrong(format!("not JSON (line {}, column {})", error.line(), error.column())))?;
        let Some(login) = login(&config, registry) else {
            let what = wrong(format!("it has no login to {registry}"));
            return Err(
                what.hint(format!("`docker login {registry}` or `skopeo login {registry}` writes one"))
            );
        };
        let text = |key: &str| login.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        match (text("auth"), text("username"), text("password")) {
            (Some(pair), ..) => {
                let is_pair = STANDARD.decode(pair).is_ok_and(|pair| pair.contains(&b':'));
                match is_pair {
                    true => Self::encoded(pair),
                    false => Err(wrong(format!("`auth` of {registry} is not user and password in base64"))),
                }
            }
            (None, Some(username), Some(password)) => Self::basic(username.as_bytes(), password.as_bytes()),
            _ => Err(wrong(format!("its login to {registry} is kept by a helper, which is not run"))
                .hint("give `username` and `password` instead")),
        }
    }
}

fn login<'a>(config: &'a Value, registry: &RegistryName) -> Option<&'a Value> {
    let name = registry.to_string();
    let logins = config.get("auths")?;
    let mut keys = vec![
        name.clone(),
        format!("https://{name}"),
        format!("https://{name}/v1/"),
        format!("https://{name}/v2/"),
    ];
    if name == "docker.io" {
        keys.push(DOCKER_HUB.to_owned());
    }
    keys.iter().find_map(|key| logins.get(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(config: &str, registry: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, config).unwrap();
        let registry = match limen_config::Component::parse(&format!("oci://{registry}/a:1"), Path::new("")) {
            Ok(limen_config::Component::Registry(reference)) => reference.registry,
            other => panic!("{other:?}"),
        };
        match Credentials::of_docker(&path, &registry) {
            Ok(credentials) => Ok(credentials.0.to_str().unwrap().to_owned()),
            Err(failure) => Err(failure.message),
        }
    }

    #[test]
    fn as_docker_writes_it() {
        let config = r#"{ "auths": {
            "registry.example.com:5000": { "auth": "YWRhOmxvdmVsYWNl" },
            "https://ghcr.io": { "username": "ada", "password": "lovelace" },
            "https://index.docker.io/v1/": { "auth": "YWRhOmxvdmVsYWNl" },
            "kept.example.com": {},
            "odd.example.com": { "auth": "c2VjcmV0" }
        } }"#;
        for registry in ["registry.example.com:5000", "ghcr.io", "docker.io"] {
            assert_eq!(credentials(config, registry).as_deref(), Ok("Basic YWRhOmxvdmVsYWNl"), "{registry}");
        }
        for registry in ["registry.example.com", "kept.example.com", "odd.example.com"] {
            let message = credentials(config, registry).unwrap_err();
            assert!(!message.contains("c2VjcmV0") && !message.contains("secret"), "{message}");
        }
        for text in ["", "[]", "{}", "{\"auths\": 1}", "{\"auths\": {\"ghcr.io\": \"lovelace\"}}", "lovelace"]
        {
            let message = credentials(text, "ghcr.io").unwrap_err();
            assert!(!message.contains("lovelace"), "{message}");
        }
    }
}
