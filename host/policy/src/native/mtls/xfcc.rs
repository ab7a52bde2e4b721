//! `X-Forwarded-Client-Cert` as Envoy writes it: `By=...;Hash=...;Subject="CN=ada";URI=...,By=...;Hash=...`
//!
//! An element for each proxy that a request has come by, the nearest one's last. All of the line is read strictly: where
//! an element begins is known only if those before it are whole, and some of them anybody may have written.
//!
//! Envoy quotes `Subject`, `Cert` and `Chain`, and writes `URI` and `DNS` as they are in the certificate: one with a `,` or
//! `;` in them ends its element where it likes, and goes on as another. Where `Cert` stands before, it gives that away.

use percent_encoding::percent_decode_str;
use x509_parser::pem::parse_x509_pem;

use crate::ClientCertificate;

/// What the last element says of a certificate, or what is wrong with the header.
pub(super) fn last(text: &str) -> Result<ClientCertificate, &'static str> {
    let mut element = Element::default();
    let mut rest = text;
    loop {
        let (key, value, after) = pair(rest)?;
        element.add(key, value)?;
        rest = match after.split_at_checked(1) {
            Some((";", next)) => next,
            Some((",", next)) => {
                if element.has_names {
                    element.cert()?;
                }
                element = Element::default();
                next
            }
            _ => return element.certificate(),
        };
    }
}

/// What one element says, as it is written.
#[derive(Default)]
struct Element<'a> {
    cert: Option<&'a str>,
    hash: Option<&'a str>,
    subject: Option<&'a str>,
    uris: Vec<&'a str>,
    dns_names: Vec<&'a str>,
    /// Whether there is a `URI` or `DNS`, be it empty.
    has_names: bool,
}

impl<'a> Element<'a> {
    /// Keys are written in any case. What there is beside these (`By`, `Chain`) is not of the client's certificate.
    fn add(&mut self, key: &str, value: &'a str) -> Result<(), &'static str> {
        let single = match key {
            _ if key.eq_ignore_ascii_case("cert") => &mut self.cert,
            _ if key.eq_ignore_ascii_case("hash") => &mut self.hash,
            _ if key.eq_ignore_ascii_case("subject") => &mut self.subject,
            // An empty one says that there is none.
            _ if key.eq_ignore_ascii_case("uri") => {
                self.has_names = true;
                self.uris.extend(Some(value).filter(|uri| !uri.is_empty()));
                return Ok(());
            }
            _ if key.eq_ignore_ascii_case("dns") => {
                self.has_names = true;
                self.dns_names.extend(Some(value).filter(|name| !name.is_empty()));
                return Ok(());
            }
            _ => return Ok(()),
        };
        match single.replace(value) {
            None => Ok(()),
            Some(_) => Err("says the same of a certificate twice"),
        }
    }

    /// What `Cert` holds, if it is there. Names of it that need quotes may have ended this element, and begun the
    /// next: whether they have got them is not seen, since a name may begin with a quote of its own.
    fn cert(&self) -> Result<Option<ClientCertificate>, &'static str> {
        let Some(cert) = self.cert else { return Ok(None) };
        let certificate = read(cert).ok_or("holds no certificate in `Cert`")?;
        let mut names = certificate.uris.iter().chain(&certificate.dns_names);
        match self.has_names && names.any(|name| !is_bare(name)) {
            false => Ok(Some(certificate)),
            true => Err("has `URI` or `DNS` beside a `Cert` whose names need quotes"),
        }
    }

    /// The certificate itself is asked before what is told of it.
    fn certificate(&self) -> Result<ClientCertificate, &'static str> {
        if let Some(certificate) = self.cert()? {
            return Ok(certificate);
        }
        let fingerprint = self.hash.unwrap_or_default().to_ascii_lowercase();
        let is_hash = fingerprint.len() == 64 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit());
        if self.hash.is_some() && !is_hash {
            return Err("has a `Hash` that is no SHA-256 of 64 hexadecimal digits");
        }
        let all = |texts: &[&str]| texts.iter().map(|text| plain(text)).collect();
        let certificate = ClientCertificate {
            // Its backslashes are those of RFC 4514.
            subject: self.subject.unwrap_or_default().to_owned(),
            fingerprint,
            uris: all(&self.uris),
            dns_names: all(&self.dns_names),
            ..ClientCertificate::default()
        };
        if certificate == ClientCertificate::default() {
            return Err("says nothing of a certificate: no `Cert`, `Hash`, `Subject`, `URI` or `DNS`");
        }
        Ok(certificate)
    }
}

/// The next `key=value`, and what follows it: nothing, or what begins with `;` or `,`.
fn pair(text: &str) -> Result<(&str, &str, &str), &'static str> {
    const NO_PAIR: &str = "has something else than `key=value`";
    let (key, rest) = text.split_once('=').ok_or(NO_PAIR)?;
    let key = key.trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(NO_PAIR);
    }
    let (value, after) = match rest.strip_prefix('"') {
        Some(quoted) => {
            let (value, after) = quoted.split_at_checked(closing_quote(quoted)?).unwrap_or_default();
            (value, after.strip_prefix('"').unwrap_or_default().trim_start())
        }
        None => {
            let end = rest.find([',', ';']).unwrap_or(rest.len());
            let (value, after) = rest.split_at_checked(end).unwrap_or_default();
            if !is_bare(value) {
                return Err("has a quote, a backslash or white space around it in a value without quotes");
            }
            (value, after)
        }
    };
    match after.is_empty() || after.starts_with([',', ';']) {
        true => Ok((key, value, after)),
        false => Err("has something behind a value's closing quote"),
    }
}

/// Whether a value can do without quotes, and mean what is written.
fn is_bare(text: &str) -> bool {
    !text.contains([',', ';', '"', '\\']) && text.trim().len() == text.len()
}

/// Where a quoted value ends.
fn closing_quote(quoted: &str) -> Result<usize, &'static str> {
    let mut is_escaped = false;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Ok(at),
            _ => {}
        }
    }
    Err("has a quote without its other half")
}

/// A value without what its quotes needed.
fn plain(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut rest = value.chars();
    while let Some(character) = rest.next() {
        match character {
            '\\' => plain.extend(rest.next()),
            _ => plain.push(character),
        }
    }
    plain
}

/// Of PEM, percent-encoded: one certificate and nothing behind it.
fn read(cert: &str) -> Option<ClientCertificate> {
    let pem: Vec<u8> = percent_decode_str(cert).collect();
    let (rest, pem) = parse_x509_pem(&pem).ok()?;
    let is_one = pem.label == "CERTIFICATE" && rest.trim_ascii().is_empty();
    ClientCertificate::read(&pem.contents).filter(|_| is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688";

    #[test]
    fn what_envoy_writes_is_read() {
        let text = format!(
            "By=http://frontend.lyft.com;Hash={};URI=spiffe://a/first, \
             by=http://backend.lyft.com;hash={};Subject=\"CN=a\\\"b\\,c,O=\\\\\";URI=;URI=spiffe://a/b?x=1;\
             DNS=lyft.com;DNS=\"a\\\"b;c,d\\\\\";Chain=\"x,y;z\"",
            "0".repeat(64),
            HASH.to_uppercase()
        );
        let expected = ClientCertificate {
            fingerprint: HASH.into(),
            subject: "CN=a\\\"b\\,c,O=\\\\".into(),
            uris: vec!["spiffe://a/b?x=1".into()],
            dns_names: vec!["lyft.com".into(), "a\"b;c,d\\".into()],
            ..ClientCertificate::default()
        };
        assert_eq!(last(&text), Ok(expected));
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let hash = format!("Hash={HASH}");
        for (text, why) in [
            ("", "something else than `key=value`"),
            (",", "something else than `key=value`"),
            ("x", "something else than `key=value`"),
            (&*format!("{hash};"), "something else than `key=value`"),
            (&*format!(";{hash}"), "something else than `key=value`"),
            (&*format!("{hash},"), "something else than `key=value`"),
            (&*format!("{hash};=x"), "something else than `key=value`"),
            (&*format!("\"{hash}\""), "something else than `key=value`"),
            (&*format!("{hash};Hash=1"), "twice"),
            ("Hash=12", "no SHA-256"),
            ("Hash=", "no SHA-256"),
            ("By=x", "says nothing"),
            ("Subject=\"\";URI=", "says nothing"),
            (&*format!("{hash};Subject=\"CN=a"), "without its other half"),
            (&*format!("{hash};Subject=\"CN=a\\\""), "without its other half"),
            (&*format!("{hash};Subject=\"CN=a\"b"), "behind a value's closing quote"),
            (&*format!("{hash};URI=a\"b"), "a value without quotes"),
            (&*format!("{hash};URI=spiffe://a/pr\\od/x"), "a value without quotes"),
            (&*format!("{hash};DNS=a\\.example"), "a value without quotes"),
            (&*format!("{hash};URI= spiffe://a/x"), "a value without quotes"),
            (&*format!("{hash};URI=x ,{hash}"), "a value without quotes"),
            (&*format!("{hash};URI= \"x\""), "a value without quotes"),
            ("Subject=\"CN=a\";URI=x;Subject=\"CN=b\"", "twice"),
            ("Cert=\"x\";URI=y;Cert=\"z\"", "twice"),
            ("Cert=\"x\"", "no certificate in `Cert`"),
            (&*format!("Cert=;{hash}"), "no certificate in `Cert`"),
        ] {
            let wrong = last(text).unwrap_err();
            assert!(wrong.contains(why), "`{text}`: {wrong}");
        }
    }

    /// A proxy that appends writes behind whatever its client has sent.
    #[test]
    fn what_a_client_sent_before_never_becomes_the_last_element() {
        let own =
            format!("By=p;Hash={HASH};Subject=\"CN=eve\\\"\\;URI\\=spiffe://a/root\";URI=spiffe://a/eve");
        assert_eq!(last(&own).unwrap().uris, ["spiffe://a/eve"]);
        for sent in [
            "x",
            "By=",
            "By=\"",
            "By=\"\\",
            "URI=spiffe://a/root;By=\"",
            "URI=spiffe://a/root,By=\"a\\",
            "By=a\"",
            "URI=spiffe://a/root;",
            "URI=spiffe://a/root",
            "By=\"\";Subject=\"",
            "\"",
            "\\",
        ] {
            for text in [format!("{sent},{own}"), format!("{sent}, {own}")] {
                if let Ok(told) = last(&text) {
                    assert_eq!(told.uris, ["spiffe://a/eve"], "{text}");
                    assert_eq!(told.fingerprint, HASH, "{text}");
                }
            }
        }
    }

    #[test]
    fn it_is_read_wherever_it_is_cut_off() {
        let text =
            format!("By=\"a,b\";Hash={HASH};Subject=\"CN=\\\"a\\\"\";URI=x,Cert=\"%2D%2\";DNS=\"é\\é\"");
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let _ = last(&text[..end]);
            let _ = last(&text[end..]);
        }
        let mut random = fastrand::Rng::with_seed(9440);
        for _ in 0..20_000 {
            let signs = b"=;,\"\\ Hash0%2D\n";
            let nonsense: String =
                (0..random.usize(..40)).map(|_| char::from(signs[random.usize(..signs.len())])).collect();
            let _ = last(&nonsense);
        }
        let long = format!("{}Hash={HASH}", "By=\"\\\"\",".repeat(100_000));
        assert_eq!(last(&long).unwrap().fingerprint, HASH);
    }
}
