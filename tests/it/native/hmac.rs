use super::SECRET;
use crate::capabilities::jwt::now;
use crate::common::{assert_problem, config, route};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use limen_tests::{Answer, Client, Gateway, Origin};

const USUAL: &str = r#""@method" "@authority" "@path" "@query""#;

async fn gateway(origin: &Origin, with: &str) -> Gateway {
    let keys = r#"keys = { one = { secret = "partner", consumer = "partner" } }"#;
    let policy = format!("{{ use = \"hmac\", with = {{ {keys}, {with} }} }}");
    let secret = "[secret.partner]\nfile = \"partner.secret\"\n[log]\naccess = true\n";
    let text = config(origin, &format!("{secret}{}", route("/**", &policy)));
    Gateway::with(text).file("partner.secret", SECRET).start().await
}

/// What a client signs: a request as it is sent, and what may be wrong with it.
#[derive(Clone)]
struct Signing<'a> {
    path: &'a str,
    signed_path: &'a str,
    body: &'a str,
    signed_body: &'a str,
    covered: String,
    parameters: String,
    secret: &'a str,
}

impl<'a> Signing<'a> {
    fn of(path: &'a str, body: &'a str) -> Signing<'a> {
        let digest = if body.is_empty() { "" } else { r#" "content-digest""# };
        let nonce = std::time::Instant::now();
        Signing {
            path,
            signed_path: path,
            body,
            signed_body: body,
            covered: format!("{USUAL}{digest}"),
            parameters: format!(";created={};keyid=\"one\";nonce=\"{nonce:?}\"", now()),
            secret: SECRET,
        }
    }

    fn digest(&self) -> String {
        let digest = digest::digest(&digest::SHA256, self.signed_body.as_bytes());
        format!("sha-256=:{}:", STANDARD.encode(digest))
    }

    /// `Signature-Input` and the base, put together from the standard and not from the gateway's code.
    fn base(&self, host: &str) -> (String, String) {
        let input = format!("({}){}", self.covered, self.parameters);
        let (path, query) = self.signed_path.split_once('?').unwrap_or((self.signed_path, ""));
        let method = if self.body.is_empty() { "GET" } else { "POST" };
        let mut base = String::new();
        for component in self.covered.split(' ').map(|it| it.trim_matches('"')).filter(|it| !it.is_empty()) {
            let value = match component {
                "@method" => method.to_owned(),
                "@authority" => host.to_owned(),
                "@path" => path.to_owned(),
                "@query" => format!("?{query}"),
                "content-digest" => self.digest(),
                other => panic!("{other}"),
            };
            base += &format!("\"{component}\": {value}\n");
        }
        base += &format!("\"@signature-params\": {input}");
        (input, base)
    }

    async fn send(&self, gateway: &Gateway) -> Answer {
        let (input, base) = self.base(&gateway.addr("plain"));
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signature = hmac::sign(&key, base.as_bytes());
        self.send_with(gateway, &input, signature.as_ref()).await
    }

    async fn send_with(&self, gateway: &Gateway, input: &str, signature: &[u8]) -> Answer {
        let url = gateway.url(self.path);
        let request = match self.body {
            "" => Client::http1().get(url),
            body => Client::http1().post(url).header("content-digest", &self.digest()).body(body.to_owned()),
        };
        let request = request.header("signature-input", &format!("sig={input}"));
        request.header("signature", &format!("sig=:{}:", STANDARD.encode(signature))).send().await
    }
}

#[tokio::test]
async fn what_is_signed_passes_once() {
    let origin = Origin::start();
    let gateway = gateway(&origin, r#"header = "x-partner""#).await;
    let get = Signing::of("/orders?a=1&b=%20", "");
    let passed = get.send(&gateway).await;
    assert_eq!((passed.status.as_u16(), &passed.json()["headers"]["x-partner"]), (200, &"partner".into()));
    gateway.wait_for_log(|line| line.contains("consumer") && line.contains("partner")).await;
    assert_problem(&get.send(&gateway).await, 401);
    gateway.wait_for_log_containing("it came before").await;
    let post = Signing::of("/orders", "{\"id\": 7}");
    let passed = post.send(&gateway).await;
    assert_eq!(
        (passed.status.as_u16(), &passed.json()["body"]),
        (200, &"{\"id\": 7}".into()),
        "{}",
        passed.text()
    );

    let unsigned = Client::http1().get(gateway.url("/")).send().await;
    assert_problem(&unsigned, 401);
    assert_eq!(unsigned.header("www-authenticate"), Some("Signature"));
    let accepted = format!("sig=({USUAL} \"content-digest\");created;keyid;nonce");
    assert_eq!(unsigned.header("accept-signature"), Some(&*accepted));
}

#[tokio::test]
async fn what_was_changed_does_not_pass() {
    let origin = Origin::start();
    let gateway = gateway(&origin, r#"window = "1m", body_limit = "1KiB""#).await;
    let good = Signing::of("/orders", "");
    let posted = Signing::of("/orders", "{}");
    let at = |created: u64, more: &str| format!(";created={created};keyid=\"one\";nonce=\"{more}\"{more}");
    for (wrong, why) in [
        (Signing { path: "/other", ..good.clone() }, "its signature is wrong"),
        (Signing { path: "/orders?admin=1", ..good.clone() }, "its signature is wrong"),
        (Signing { secret: "another", ..good.clone() }, "its signature is wrong"),
        (Signing { covered: r#""@method" "@path""#.into(), ..good.clone() }, "does not cover all"),
        (Signing { parameters: at(now() - 90, ""), ..good.clone() }, "it is too old"),
        (Signing { parameters: at(now() + 90, ""), ..good.clone() }, "in the future"),
        (
            Signing { parameters: format!(";created={};expires=1;keyid=\"one\"", now()), ..good.clone() },
            "it has expired",
        ),
        (Signing { parameters: ";keyid=\"one\"".into(), ..good.clone() }, "when it was `created`"),
        (
            Signing { parameters: format!(";created={};keyid=\"two\"", now()), ..good.clone() },
            "`keyid` is not known",
        ),
        (
            Signing { parameters: format!(";created={};keyid=\"one\";alg=\"none\"", now()), ..good.clone() },
            "its `alg` is not that of its key",
        ),
        (Signing { signed_body: "[]", ..posted.clone() }, "another one than was signed"),
        (Signing { covered: USUAL.into(), ..posted.clone() }, "no `content-digest` that is covered"),
    ] {
        gateway.forget_log();
        assert_problem(&wrong.send(&gateway).await, 401);
        gateway.wait_for_log_containing(why).await;
    }
    let (input, base) = good.base(&gateway.addr("plain"));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, base.as_bytes());
    for signature in [&tag.as_ref()[..31], &[tag.as_ref(), &[0]].concat(), &[][..], &[0; 32][..]] {
        assert_problem(&good.send_with(&gateway, &input, signature).await, 401);
    }
    assert_eq!(origin.requests(), 0, "the upstream saw none of them");
    let long = "x".repeat(1100);
    assert_problem(&Signing::of("/orders", &long).send(&gateway).await, 413);
    assert_eq!(good.send_with(&gateway, &input, tag.as_ref()).await.status, 200, "none of them spoilt it");
}

#[tokio::test]
async fn a_public_key_will_do_and_memory_is_bounded() {
    let origin = Origin::start();
    let pair = Ed25519KeyPair::generate().unwrap();
    let key = STANDARD.encode(pair.public_key().as_ref());
    let keys = format!("keys = {{ one = {{ ed25519 = {key:?} }} }}");
    let policy = format!("{{ use = \"hmac\", with = {{ {keys}, remember = 2 }} }}");
    let gateway =
        Gateway::start(config(&origin, &format!("[log]\naccess = true\n{}", route("/**", &policy)))).await;
    for status in [200, 200, 503] {
        let signing = Signing::of("/", "");
        let (input, base) = signing.base(&gateway.addr("plain"));
        let answer = signing.send_with(&gateway, &input, pair.sign(base.as_bytes()).as_ref()).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    gateway.wait_for_log_containing("as many signatures as may be remembered").await;
}
