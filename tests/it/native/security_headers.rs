use super::{gateway, mistake};
use crate::common::{config, route};
use limen_tests::{Certs, Client, Gateway, Origin};

#[tokio::test]
async fn browsers_are_told_to_be_careful() {
    let origin = Origin::start();
    let said = r#"{ use = "headers", with = { response = { set = { server = "x", x-powered-by = "y", x-frame-options = "SAMEORIGIN" } } } }"#;
    let plain = gateway(&origin, &format!(r#""security-headers", {said}"#)).await;
    let answer = Client::http1().get(plain.url("/")).send().await;
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("x-frame-options"), Some("SAMEORIGIN"), "the upstream knows better");
    assert_eq!(answer.header("strict-transport-security"), None, "not over plain HTTP");
    assert_eq!((answer.header("server"), answer.header("x-powered-by")), (None, None));

    let with = r#"{ use = "security-headers", with = { replace = true, referrer_policy = false, remove = [], content_security_policy = "default-src 'none'" } }"#;
    let own = gateway(&origin, &format!("{with}, {said}")).await;
    let answer = Client::http1().get(own.url("/")).send().await;
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'"));
    assert_eq!((answer.header("server"), answer.header("referrer-policy")), (Some("x"), None));
}

#[tokio::test]
async fn hsts_is_said_over_tls() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let pair = certs.local();
    let tls = format!("tls = {{ certificates = [{{ cert = {:?}, key = {:?} }}] }}", pair.cert, pair.key);
    let listener = format!("[[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n{tls}\n");
    let text = config(&origin, &format!("{listener}{}", route("/**", r#""security-headers""#)));
    let gateway = Gateway::start(text).await;
    let answer = Client::http1().trusting(&certs).get(gateway.url_of("tls", "/")).send().await;
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000; includeSubDomains"));
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let said = mistake(r#"{ use = "security-headers", with = { frame_options = true } }"#).await;
    assert!(said.contains("expected the header's value, or `false` for none"), "{said}");
    let said = mistake(r#"{ use = "security-headers", with = { remove = ["content-length"] } }"#).await;
    assert!(said.contains("`content-length` belongs to the gateway") && said.contains("remove[0]"), "{said}");
}
