//! What is signed: the signature base (RFC 9421, section 2.5).

use std::fmt::Write as _;

use http::header::HeaderName;

use super::all;
use super::input::Input;
use crate::Exchange;

const DERIVED: [&str; 7] =
    ["@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query"];

/// Whether it can be covered by a signature.
pub(super) fn is_component(name: &str) -> bool {
    DERIVED.contains(&name) || HeaderName::from_lowercase(name.as_bytes()).is_ok()
}

/// The base of a signature of this request.
pub(super) fn of(exchange: &Exchange, input: &Input<'_>) -> Result<String, &'static str> {
    let mut base = String::with_capacity(256);
    for name in &input.components {
        let _ = write!(base, "\"{name}\": "); // to a string, which does not fail
        match name.strip_prefix('@') {
            Some(_) => derive(exchange, name, &mut base)?,
            None => {
                let name = HeaderName::from_lowercase(name.as_bytes());
                let name = name.map_err(|_| "it covers something that is no header")?;
                base.push_str(&all(exchange, &name)?.ok_or("it covers a header that is not there")?);
            }
        }
        base.push('\n');
    }
    let _ = write!(base, "\"@signature-params\": {}", input.text);
    Ok(base)
}

/// Section 2.2.
fn derive(exchange: &Exchange, name: &str, base: &mut String) -> Result<(), &'static str> {
    let uri = exchange.request.uri();
    let scheme = if exchange.client.tls.is_some() { "https" } else { "http" };
    let port = if exchange.client.tls.is_some() { ":443" } else { ":80" };
    let authority = || {
        let authority = exchange.authority().to_ascii_lowercase();
        authority.strip_suffix(port).map(str::to_owned).unwrap_or(authority)
    };
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    match name {
        "@method" => base.push_str(exchange.request.method().as_str()),
        "@authority" => base.push_str(&authority()),
        "@scheme" => base.push_str(scheme),
        "@path" => base.push_str(uri.path()),
        "@query" => {
            base.push('?');
            base.push_str(uri.query().unwrap_or_default());
        }
        "@request-target" => base.push_str(target),
        "@target-uri" => {
            let _ = write!(base, "{scheme}://{}{target}", authority());
        }
        _ => return Err("it covers a component that is not known here"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn the_base_is_that_of_the_standard() {
        // RFC 9421, appendix B.2: the test request, as covered by B.2.5 and more.
        let request = Request::post("/foo?param=Value&Pet=dog")
            .header("host", "Example.com:80")
            .header("date", "Tue, 20 Apr 2021 02:07:55 GMT")
            .header("content-type", "application/json")
            .header("x-two", " a ")
            .header("x-two", "b");
        let mut exchange = Exchange::default();
        exchange.request = request.body(()).unwrap();
        let text = r#"("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#;
        let base = of(&exchange, &Input::parse(text).unwrap()).unwrap();
        let expected = format!(
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@authority\": example.com\n\
             \"content-type\": application/json\n\"@signature-params\": {text}"
        );
        assert_eq!(base, expected);
        let text = r#"("@method" "@target-uri" "@request-target" "@path" "@query" "@scheme" "x-two")"#;
        let base = of(&exchange, &Input::parse(text).unwrap()).unwrap();
        assert!(base.starts_with(
            "\"@method\": POST\n\"@target-uri\": http://example.com/foo?param=Value&Pet=dog\n\
             \"@request-target\": /foo?param=Value&Pet=dog\n\"@path\": /foo\n\"@query\": ?param=Value&Pet=dog\n\
             \"@scheme\": http\n\"x-two\": a, b\n"
        ));
        for wrong in [r#"("@status")"#, r#"("X-Two")"#, r#"("x-three")"#] {
            assert!(of(&exchange, &Input::parse(wrong).unwrap()).is_err(), "{wrong}");
        }
    }
}
