//! Cipher suites by name.

use limen_config::{CipherSuite, ConfigError, did_you_mean};
use rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// The suites with these names, in their order.
pub fn choose(wanted: &[CipherSuite]) -> Result<Vec<SupportedCipherSuite>, ConfigError> {
    let known: Vec<(String, SupportedCipherSuite)> =
        ALL_CIPHER_SUITES.iter().map(|suite| (iana_name(*suite), *suite)).collect();
    let find = |wanted: &CipherSuite| {
        known.iter().find(|(name, _)| *name == wanted.name).map(|(_, suite)| *suite).ok_or_else(|| {
            let names = || known.iter().map(|(name, _)| name.as_str());
            let error =
                ConfigError::new(wanted.place.clone(), format!("unknown cipher suite `{}`", wanted.name))
                    .expected(format!(
                        "one of {}",
                        names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
                    ));
            match did_you_mean(&wanted.name, names()) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    };
    wanted.iter().map(find).collect()
}

/// Those of these versions that some suite is for.
pub fn versions(
    versions: &[&'static SupportedProtocolVersion],
    suites: &[SupportedCipherSuite],
) -> Vec<&'static SupportedProtocolVersion> {
    let usable = |version: &&&'static SupportedProtocolVersion| {
        suites.iter().any(|suite| suite.version().version == version.version)
    };
    versions.iter().filter(usable).copied().collect()
}

/// rustls says `TLS13_` where the registry says `TLS_`.
fn iana_name(suite: SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_known_by_their_registered_names() {
        let names: Vec<_> = ALL_CIPHER_SUITES.iter().map(|suite| iana_name(*suite)).collect();
        assert!(names.contains(&"TLS_AES_128_GCM_SHA256".to_owned()), "{names:?}");
        assert!(names.contains(&"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned()), "{names:?}");
        assert!(names.iter().all(|name| name.starts_with("TLS_")), "{names:?}");
    }
}
