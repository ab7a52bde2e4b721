//! `[registry."HOST"]`

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::Place;
use crate::host::Host;
use crate::scope::Unique;
use crate::section::{Section, section};
use crate::value::{boolean, duration, file_to_be_opened, readable_file};

section! {
    /// `[registry."registry.example.com"]`: how an OCI registry is spoken to that components come from
    /// (`oci://registry.example.com/...`); with its port, if references have one. A registry without a
    /// section is spoken to over HTTPS, has to show a certificate that this system trusts, and is shown no
    /// credentials. The files are read again when they change.
    pub struct Registry(section, name: &str, secrets: &Unique, complete: bool) {
        /// What references call it.
        pub name: RegistryName = registry_name(section, name),

        /// `roots`: a PEM file with the certificates that are trusted instead of the system's, also for the
        /// server of its tokens and where it redirects.
        pub roots: Option<PathBuf> = section.optional("roots", readable_file),

        /// `username`: whose credentials are shown when it asks for some, to itself or to the server of tokens
        /// that it names. Together with `password`. Default: none are shown.
        pub username: Option<String> = section.optional("username", crate::value::name),

        /// `password`: the name of the `[secret.NAME]` that is the password or access token of `username`.
        pub password: Option<String> = password(section, username.as_ref(), secrets, complete),

        /// `docker_config`: the path of a file with credentials instead: `config.json` as `docker login` and
        /// `skopeo login` write it and Kubernetes keeps it (`.dockerconfigjson`). Helpers that it names are
        /// not run.
        pub docker_config: Option<PathBuf> = docker_config(section, username.as_ref()),

        /// `plain_http`: true speaks to it without TLS. What comes is known by its digest all the same;
        /// credentials would be open to all on the way, and can't be given but for one on the same machine.
        /// Default false.
        pub plain_http: bool =
            plain_http(section, name.as_ref(), [username.clone().flatten().is_some(), docker_config.clone().flatten().is_some()]),

        /// `timeout`: how long it may take to get what a start or a reload wants of it, all components together, second
        /// tries and all. What is not there by then stays on its last good version, the rest is in force, and it is
        /// asked again a little later for what is missing. Several registries are asked at the same time, four
        /// components of each; what was downloaded once is never asked for again. A change of the files ends the wait:
        /// what they say then is loaded at once. 1s to 1h; default 2m.
        pub timeout: Duration = section.or("timeout", duration(TIMEOUT), DEFAULT_TIMEOUT),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// Host and port of a registry. Shown as references write them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryName {
    /// In small letters; an IPv6 address in its brackets.
    pub host: String,
    pub port: Option<u16>,
}

impl RegistryName {
    pub(crate) fn parse(text: &str) -> Option<RegistryName> {
        let (host, port) = match text.rsplit_once(':').filter(|(_, last)| !last.contains(']')) {
            None => (text, None),
            Some((host, port)) => {
                let is_number = port.bytes().all(|b| b.is_ascii_digit());
                (host, Some(port.parse().ok().filter(|port| is_number && *port > 0)?))
            }
        };
        Some(RegistryName { host: Host::name(host)?, port })
    }

    /// Whether it is on this machine, whoever resolves names.
    fn is_here(&self) -> bool {
        let address = self.host.trim_matches(['[', ']']).parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for RegistryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.iter().try_for_each(|port| write!(f, ":{port}"))
    }
}

impl Registry {
    /// One that has no section.
    pub fn usual(name: &RegistryName, place: &Place) -> Registry {
        Registry {
            name: name.clone(),
            roots: None,
            username: None,
            password: None,
            docker_config: None,
            plain_http: false,
            timeout: DEFAULT_TIMEOUT,
            place: place.clone(),
        }
    }
}

fn registry_name(section: &Section<'_>, name: &str) -> Option<RegistryName> {
    match RegistryName::parse(name) {
        Some(parsed) => Some(parsed),
        None => section.fail(
            &format!("not a registry: `{name}`"),
            "host and port as references have them, like [registry.\"registry.example.com:5000\"]",
        ),
    }
}

#[allow(clippy::option_option, reason = "a mistake, or what may be left out")]
fn password(
    section: &Section<'_>,
    username: Option<&Option<String>>,
    secrets: &Unique,
    complete: bool,
) -> Option<Option<String>> {
    let read = |value: &_| secrets.refer(value, "the name of a secret", complete);
    let password = section.optional("password", read)?;
    match (username?, &password) {
        (Some(_), None) => section.fail("`username` without its `password`", "both, or neither"),
        (None, Some(_)) => section.fail("`password` without its `username`", "both, or neither"),
        _ => Some(password),
    }
}

#[allow(clippy::option_option, reason = "a mistake, or what may be left out")]
fn docker_config(section: &Section<'_>, username: Option<&Option<String>>) -> Option<Option<PathBuf>> {
    let file = section.optional("docker_config", file_to_be_opened)?;
    match (username?, &file) {
        (Some(_), Some(_)) => section.fail("credentials twice", "either `username` or `docker_config`"),
        _ => Some(file),
    }
}

fn plain_http(section: &Section<'_>, name: Option<&RegistryName>, credentials: [bool; 2]) -> Option<bool> {
    let plain = section.or("plain_http", boolean, false)?;
    if plain && credentials.contains(&true) && !name?.is_here() {
        return section.fail(
            "credentials over plain HTTP, open to all on the way",
            "`plain_http` without credentials, or for a registry on this machine",
        );
    }
    Some(plain)
}
