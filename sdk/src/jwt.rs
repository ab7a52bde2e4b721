//! Verify tokens (JWT) with the keys of a `[key_set.NAME]`. Needs the grant `key_sets = ["NAME"]`.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::{Error, host};

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtError {
    /// There is no key set of that name for this plugin. Not the client's fault.
    Denied,
    /// It is not a signed token with an `exp`, or its `crit` wants something understood that isn't.
    Malformed,
    /// No key of the set has its `kid`, or none verifies its algorithm.
    UnknownKey,
    BadSignature,
    /// `exp` is over.
    Expired,
    /// `nbf` is yet to come.
    NotYetValid,
    /// `iss` is not one of the set's, or is missing.
    WrongIssuer,
    /// `aud` contains none of the set's, or is missing.
    WrongAudience,
}

/// The claims of a token that is accepted now, as JSON. The token stands without `Bearer`. Costs one
/// crossing, and the verification of a signature for each key that fits the token's header.
pub fn verify(key_set: &str, token: &str) -> Result<String, JwtError> {
    host::jwt::verify(key_set, token)
}

/// The claims as a type of the policy's own. The outer error is the policy's failure (no such key set is
/// granted, or the claims have another shape), the inner one the client's.
///
/// ```no_run
/// # use limen::{consumer, jwt, prelude::*};
/// #[derive(Deserialize)]
/// struct Claims { sub: String }
///
/// # fn hook(request: &Request) -> Result<Flow> {
/// let token = request.header("authorization").or_reply(401)?;
/// let token = token.strip_prefix("Bearer ").or_reply(401)?;
/// let claims: Claims = jwt::claims("idp", token)?.or_reply(401)?;
/// consumer::set(&claims.sub)?;
/// # Ok(Flow::Next)
/// # }
/// ```
pub fn claims<T: DeserializeOwned>(key_set: &str, token: &str) -> crate::Result<Result<T, JwtError>> {
    match verify(key_set, token) {
        Ok(claims) => Ok(Ok(serde_json::from_str(&claims)?)),
        Err(JwtError::Denied) => Err(Error::msg(format_args!("key set `{key_set}`: {}", JwtError::Denied))),
        Err(error) => Ok(Err(error)),
    }
}

impl fmt::Display for JwtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JwtError::Denied => "no such key set is granted to the plugin",
            JwtError::Malformed => "not a signed token with an `exp`",
            JwtError::UnknownKey => "no key for this token",
            JwtError::BadSignature => "its signature is wrong",
            JwtError::Expired => "it has expired",
            JwtError::NotYetValid => "it is not yet valid",
            JwtError::WrongIssuer => "it is from another issuer",
            JwtError::WrongAudience => "it is for others",
        })
    }
}

impl std::error::Error for JwtError {}
