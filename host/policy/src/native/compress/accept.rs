//! `Accept-Encoding`, with its weights (RFC 9110, section 12.5.3).

use http::HeaderMap;
use http::header;

use super::encoder::Coding;

/// A weight in thousandths; 0: not acceptable.
type Weight = u16;

/// What a client can read, and how gladly.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    /// One for each coding, by its place in [`Coding::ALL`].
    codings: [Option<Weight>; 3],
    identity: Option<Weight>,
    /// `*`: all that is not named.
    others: Option<Weight>,
}

impl Accepted {
    pub(super) fn by(request: &HeaderMap) -> Self {
        let mut accepted = Accepted::default();
        let values = request.get_all(header::ACCEPT_ENCODING).iter();
        let items = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        for item in items {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            // A weight that is none makes the item none.
            let Some(weight) = weight.map_or(Some(1000), thousandths) else { continue };
            let slot = match Coding::ALL.iter().position(|coding| coding.is_called(name)) {
                Some(place) => accepted.codings.get_mut(place),
                None if name.eq_ignore_ascii_case("identity") => Some(&mut accepted.identity),
                None if name == "*" => Some(&mut accepted.others),
                None => None,
            };
            if let Some(slot) = slot {
                *slot = Some(weight);
            }
        }
        accepted
    }

    /// Whether a response may not come as it is.
    pub(super) fn refuses_identity(&self) -> bool {
        self.identity.or(self.others) == Some(0)
    }

    /// The best of these, if one is more welcome than none.
    pub(super) fn best<'a, T>(&self, codings: &'a [(Coding, T)]) -> Option<&'a (Coding, T)> {
        let weight = |coding: Coding| {
            let place = Coding::ALL.iter().position(|known| *known == coding)?;
            self.codings.get(place).copied().flatten().or(self.others)
        };
        // Unless it is named, it is what is left where nothing else is welcome.
        let mut best = (self.identity.unwrap_or(0), None);
        for item in codings {
            let weight = weight(item.0).unwrap_or(0);
            let is_better = match best.1 {
                Some(_) => weight > best.0,
                None => weight > 0 && weight >= best.0,
            };
            if is_better {
                best = (weight, Some(item));
            }
        }
        best.1
    }
}

/// "1", "0.5", "0.125": up to three places (RFC 9110, section 12.4.2).
fn thousandths(text: &str) -> Option<Weight> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    if places.len() > 3 || !places.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let places = format!("{places:0<3}").parse::<Weight>().ok()?;
    match whole {
        "0" => Some(places),
        "1" if places == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(accept: Option<&str>) -> Option<&'static str> {
        let mut head = HeaderMap::new();
        if let Some(accept) = accept {
            head.insert(header::ACCEPT_ENCODING, accept.parse().unwrap());
        }
        let ours = [(Coding::Zstd, ()), (Coding::Br, ()), (Coding::Gzip, ())];
        Accepted::by(&head).best(&ours).map(|(coding, ())| coding.name())
    }

    #[test]
    fn weights_decide_and_then_our_order() {
        for (accept, wanted) in [
            ("gzip", Some("gzip")),
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("GZIP, Br", Some("br")),
            ("x-gzip", Some("gzip")),
            ("gzip;q=1.0, br;q=0.9, zstd;q=0.8", Some("gzip")),
            ("gzip;q=0.2,br;q=0.201", Some("br")),
            ("br ; q=0.5 , gzip;Q=0.7", Some("gzip")),
            ("*", Some("zstd")),
            ("*, zstd;q=0", Some("br")),
            ("*;q=0, gzip", Some("gzip")),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some("gzip")),
            ("identity;q=0, gzip;q=0.001", Some("gzip")),
            ("gzip;q=0", None),
            ("gzip;q=0, *;q=0", None),
            ("*;q=0", None),
            ("deflate, compress", None),
            ("", None),
            ("gzip;q=1.5", None),
            ("gzip;q=x, br;q=0.1", Some("br")),
            ("gzip;q=0.0001", None),
            (",,;q=1,", None),
        ] {
            assert_eq!(best(Some(accept)), wanted, "{accept:?}");
        }
        assert_eq!(best(None), None, "who says nothing gets it as it is");
    }

    #[test]
    fn identity_can_be_refused() {
        let refuses = |accept: &str| {
            let head = [(header::ACCEPT_ENCODING, accept.parse().unwrap())].into_iter().collect();
            Accepted::by(&head).refuses_identity()
        };
        assert!(refuses("identity;q=0") && refuses("gzip, *;q=0") && refuses("gzip, identity;q=0, *"));
        assert!(!refuses("gzip") && !refuses("*;q=0, identity;q=0.1") && !refuses(""));
    }
}
