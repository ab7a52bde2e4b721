use super::mistake;
use crate::common::{assert_problem, config, route};
use limen_tests::rcgen::{CertificateParams, DnType, SanType};
use limen_tests::{Certs, Client, Gateway, Origin, Pair};
use serde_json::Value;

fn client(certs: &Certs, name: &str) -> Pair {
    let mut about = CertificateParams::new(vec![format!("{name}.clients.example.com")]).unwrap();
    about.distinguished_name = Default::default();
    about.distinguished_name.push(DnType::CommonName, name);
    let uri = format!("spiffe://example.com/ns/shop/{name}");
    about.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
    certs.issue_client(name, about)
}

async fn gateway(origin: &Origin, certs: &Certs, with: &str) -> Gateway {
    let pair = certs.local();
    let auth = format!("client_auth = {{ ca = {:?}, mode = \"optional\" }}", certs.ca());
    let tls =
        format!("tls = {{ certificates = [{{ cert = {:?}, key = {:?} }}], {auth} }}", pair.cert, pair.key);
    let listener =
        format!("[[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n{tls}\n[log]\naccess = true\n");
    let policy = format!("{{ use = \"mtls\", with = {{ {with} }} }}");
    Gateway::start(config(origin, &format!("{listener}{}", route("/**", &policy)))).await
}

#[tokio::test]
async fn a_certificate_lets_pass_and_names_the_consumer() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let with = r#"consumer = "uri", header = "x-client", allow = [
        { uri = "spiffe://example.com/ns/shop/ada" }, { dns = "bob.clients.*", consumer = "batch" }]"#
        .replace('\n', " ");
    let gateway = gateway(&origin, &certs, &with).await;
    let ask =
        async |client: Client| client.get(gateway.url_of("tls", "/")).header("x-client", "root").send().await;
    for (name, told) in [("ada", "spiffe://example.com/ns/shop/ada"), ("bob", "batch")] {
        let passed = ask(Client::http1().showing(&certs, &client(&certs, name))).await;
        assert_eq!((passed.status.as_u16(), &passed.json()["headers"]["x-client"]), (200, &told.into()));
        gateway.wait_for_log(|line| line.contains("consumer") && line.contains(told)).await;
    }
    let before = origin.requests();
    assert_problem(&ask(Client::http1().showing(&certs, &client(&certs, "eve"))).await, 403);
    gateway.wait_for_log(|line| line.contains("CN=eve") && line.contains("is not in `allow`")).await;
    assert_problem(&ask(Client::http1().trusting(&certs)).await, 403);
    gateway.wait_for_log_containing("it showed no certificate").await;
    // A header that a proxy would send is believed from nobody.
    let claimed = Client::http1().get(gateway.url_of("plain", "/"));
    let claimed =
        claimed.header("x-forwarded-client-cert", "URI=spiffe://example.com/ns/shop/ada").send().await;
    assert_problem(&claimed, 403);
    gateway.wait_for_log_containing("it does not speak TLS").await;
    assert_eq!(origin.requests(), before);
}

/// A certificate as RFC 9440 sends it.
fn sent(pair: &Pair) -> String {
    let pem = std::fs::read_to_string(&pair.cert).unwrap();
    let first = pem.split("-----END").next().unwrap();
    format!(":{}:", first.lines().filter(|line| !line.starts_with("-----")).collect::<String>())
}

#[tokio::test]
async fn a_trusted_proxy_tells_the_certificate_and_nobody_else_does() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let with = r#"forwarded = "client-cert", consumer = "cn", header = "x-client", allow = [{ subject = "CN=ada" }]"#;
    let policy = format!("{{ use = \"mtls\", with = {{ {with} }} }}");
    let open = route("/open", r#"{ use = "mtls", with = { forwarded = "client-cert", optional = true } }"#);
    let text = |trusted: &str| {
        let gateway = format!("[gateway]\ntrusted_proxies = [{trusted}]\n[log]\naccess = true\n");
        format!("{gateway}{}", config(&origin, &[route("/**", &policy), open.clone()].concat()))
    };
    let ask = async |gateway: &Gateway, path: &str, headers: &[(&str, &str)]| {
        let asked = Client::http1().get(gateway.url(path));
        headers.iter().fold(asked, |asked, (name, value)| asked.header(name, value)).send().await
    };
    let (ada, eve) = (sent(&client(&certs, "ada")), sent(&client(&certs, "eve")));
    let trusting = Gateway::start(text("\"127.0.0.0/8\"")).await;
    let passed = ask(&trusting, "/", &[("client-cert", &ada), ("x-client", "root")]).await;
    assert_eq!((passed.status.as_u16(), &passed.json()["headers"]["x-client"]), (200, &"ada".into()));
    let before = origin.requests();
    for (headers, why) in [
        (&[("client-cert", &*eve)][..], "is not in `allow`"),
        (&[("client-cert", &ada), ("client-cert", &ada)], "is there more than once"),
        (&[("client-cert", ada.trim_matches(':'))], "is no `:Base64:`"),
        (&[("client-cert", ":bm9uZQ==:")], "holds no certificate"),
        (&[("client_cert", &ada)], "tells of no certificate"),
    ] {
        trusting.forget_log();
        assert_problem(&ask(&trusting, "/", headers).await, 403);
        trusting.wait_for_log_containing(why).await;
    }
    let strict = Gateway::start(text("\"192.0.2.1\"")).await;
    assert_problem(&ask(&strict, "/", &[("client-cert", &ada)]).await, 403);
    strict.wait_for_log_containing("it does not speak TLS").await;
    assert_eq!(origin.requests(), before);
    let chain = [("client-cert", &*ada), ("client-cert-chain", &*ada), ("client_cert", &*ada)];
    let seen = ask(&strict, "/open", &chain).await.json();
    for (name, _) in chain {
        assert_eq!(seen["headers"][name], Value::Null, "{seen}");
    }
}

/// An element as Envoy writes it, with the certificate.
fn element(pair: &Pair) -> String {
    let pem = std::fs::read_to_string(&pair.cert).unwrap();
    let first = &pem[..pem.find("-----END CERTIFICATE-----").unwrap() + 26];
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    let cert: String = first.bytes().map(encode).collect();
    format!("By=spiffe://example.com/proxy;Hash={};Cert=\"{cert}\";Subject=\"CN=root\";URI=", "0".repeat(64))
}

#[tokio::test]
async fn envoy_tells_the_certificate_and_nobody_else_does() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let with = |allow: &str| {
        let with = format!(
            "forwarded = \"x-forwarded-client-cert\", consumer = \"cn\", header = \"x-client\", {allow}"
        );
        format!("{{ use = \"mtls\", with = {{ {with} }} }}")
    };
    let all = route("/**", &with("allow = [{ subject = \"CN=ada\", issuer = \"CN=*\" }]"));
    let told = route("/told", &with("allow = [{ subject = \"CN=ada,O=*\" }]"));
    let text = |trusted: &str| {
        let gateway = format!("[gateway]\ntrusted_proxies = [{trusted}]\n[log]\naccess = true\n");
        format!("{gateway}{}", config(&origin, &[all.clone(), told.clone()].concat()))
    };
    let ask = async |gateway: &Gateway, path: &str, values: &[&str]| {
        let asked = Client::http1().get(gateway.url(path)).header("x-client", "root");
        values.iter().fold(asked, |asked, value| asked.header("x-forwarded-client-cert", value)).send().await
    };
    let (ada, eve) = (element(&client(&certs, "ada")), element(&client(&certs, "eve")));
    let trusting = Gateway::start(text("\"127.0.0.0/8\"")).await;
    let hash = "ab".repeat(32);
    let subject = format!("Hash={hash};Subject=\"CN=ada,O=Example\"");
    for (path, values) in [
        ("/", &[&*ada][..]),
        ("/", &[&*format!("{eve},{ada}")]),
        ("/", &[&*eve, &*ada]),
        ("/told", &[&*subject]),
    ] {
        let passed = ask(&trusting, path, values).await;
        assert_eq!((passed.status.as_u16(), &passed.json()["headers"]["x-client"]), (200, &"ada".into()));
        assert_eq!(passed.json()["headers"]["x-forwarded-client-cert"], Value::Null, "it goes no further");
    }
    let before = origin.requests();
    for (values, why) in [
        (&[&*format!("{ada},{eve}")][..], "is not in `allow`"),
        (&[&*ada, &*eve], "is not in `allow`"),
        (&[&*subject], "is not in `allow`"),
        (&[&*ada.replace("%0A", "%0")], "holds no certificate in `Cert`"),
        (&["Subject=\"CN=ada"], "has a quote without its other half"),
        (&["By=x"], "says nothing of a certificate"),
        (&[], "its proxy tells of no certificate"),
    ] {
        trusting.forget_log();
        assert_problem(&ask(&trusting, "/", values).await, 403);
        trusting.wait_for_log_containing(why).await;
    }
    let strict = Gateway::start(text("\"192.0.2.1\"")).await;
    assert_problem(&ask(&strict, "/", &[&*ada]).await, 403);
    strict.wait_for_log_containing("it does not speak TLS").await;
    assert_eq!(origin.requests(), before);
}

/// Envoy writes URIs as they are.
#[tokio::test]
async fn a_uri_speaks_for_no_other_certificate() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let with = r#"forwarded = "x-forwarded-client-cert", consumer = "cn", header = "x-client""#;
    let policy = format!("{{ use = \"mtls\", with = {{ {with} }} }}");
    let trusted = "[gateway]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[log]\naccess = true\n";
    let gateway = Gateway::start(format!("{trusted}{}", config(&origin, &route("/**", &policy)))).await;
    let ask = async |told: &str| {
        Client::http1().get(gateway.url("/")).header("x-forwarded-client-cert", told).send().await
    };
    let root = element(&client(&certs, "root"));
    let told = |name: &str, uri: &str| {
        let mut about = CertificateParams::default();
        about.distinguished_name = Default::default();
        about.distinguished_name.push(DnType::CommonName, name);
        about.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        format!("{}{uri}", element(&certs.issue_client(name, about)))
    };
    let passed = ask(&told("ada", "spiffe://example.com/ada")).await;
    assert_eq!((passed.status.as_u16(), &passed.json()["headers"]["x-client"]), (200, &"ada".into()));
    let before = origin.requests();
    for begin in ["x,", ",", "\"\",", "x;DNS=\"\","] {
        assert_problem(&ask(&told("eve", &format!("{begin}{root}"))).await, 403);
        gateway.wait_for_log_containing("beside a `Cert` whose names need quotes").await;
        gateway.forget_log();
    }
    assert_eq!(origin.requests(), before);
}

#[tokio::test]
async fn it_can_be_optional() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let gateway = gateway(&origin, &certs, r#"optional = true, consumer = "cn", header = "x-client""#).await;
    let client = client(&certs, "ada");
    let known = Client::http1().showing(&certs, &client).get(gateway.url_of("tls", "/")).send().await;
    assert_eq!(known.json()["headers"]["x-client"], "ada");
    let nobody = Client::http1().trusting(&certs).get(gateway.url_of("tls", "/"));
    let nobody = nobody.header("x-client", "root").send().await;
    assert_eq!((nobody.status.as_u16(), &nobody.json()["headers"]["x-client"]), (200, &Value::Null));
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let said = mistake(r#"{ use = "mtls", with = { allow = [{ dsn = "x" }] } }"#).await;
    assert!(said.contains("unknown field `dsn`") && said.contains("with.allow[0]"), "{said}");
}
