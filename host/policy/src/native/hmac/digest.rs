//! What was signed of a body: `Content-Digest` (RFC 9530).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Algorithm, SHA256, SHA512, digest};

use super::input::{bytes, members};

/// Those of a body that can be compared.
#[derive(Debug, Default)]
pub(super) struct Digests(Vec<(&'static Algorithm, Vec<u8>)>);

impl Digests {
    pub(super) fn of(header: Option<&str>) -> Digests {
        let known = members(header.unwrap_or_default()).filter_map(|(name, value)| {
            let algorithm = match name {
                "sha-256" => &SHA256,
                "sha-512" => &SHA512,
                _ => return None,
            };
            // One that can't be read fits no body.
            Some((algorithm, bytes(value).unwrap_or_default()))
        });
        Digests(known.collect())
    }

    /// All of them are compared.
    pub(super) fn fit(&self, body: &[u8]) -> Result<(), &'static str> {
        let fits = |(algorithm, expected): &(&'static Algorithm, Vec<u8>)| {
            verify_slices_are_equal(digest(algorithm, body).as_ref(), expected).is_ok()
        };
        match self.0.is_empty() {
            true if body.is_empty() => Ok(()),
            true => Err("its body has no `content-digest` that is covered"),
            false if self.0.iter().all(fits) => Ok(()),
            false => Err("its body is another one than was signed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_fits_all_its_digests() {
        // RFC 9530, appendix D.
        let header = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:, unixsum=:AA==:";
        let body = b"{\"hello\": \"world\"}\n";
        assert_eq!(Digests::of(Some(header)).fit(body), Ok(()));
        assert!(Digests::of(Some(header)).fit(b"{}").is_err());
        assert!(Digests::of(Some(header)).fit(b"").is_err());
        let both = format!("{header}, sha-512=:AA==:");
        assert!(Digests::of(Some(&both)).fit(body).is_err(), "not the weakest of them");
        assert!(Digests::of(Some("unixsum=:AA==:")).fit(body).is_err());
        assert!(Digests::of(None).fit(body).is_err());
        assert_eq!(Digests::of(None).fit(b""), Ok(()));
    }
}
