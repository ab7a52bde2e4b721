use std::sync::Arc;

use http::Request;
use serde_json::json;

use super::*;
use crate::Consumer;

fn exchange() -> Exchange {
    let request = Request::builder()
        .method("POST")
        .uri("/orders/7?limit=10&q=a%20b")
        .header("host", "api.example.com")
        .header("x-tenant", "acme")
        .header("x-many", "1")
        .header("x-many", "2")
        .header("cookie", "session=abc")
        .header("content-length", "12")
        .body(())
        .unwrap();
    let mut exchange = Exchange::default();
    exchange.request = request;
    let mut consumer = Consumer::with("ada", [("plan", "gold")]).unwrap();
    consumer.scopes = vec!["orders:read".into(), "orders:write".into()];
    consumer.claims = Some(Arc::new(json!({
        "sub": "ada", "level": 3, "share": 0.5, "realm": { "roles": ["admin", "ops"] }, "odd name": true,
    })));
    exchange.consumer = Some(Box::new(consumer));
    exchange
}

fn holds(text: &str) -> Result<bool, String> {
    Expression::new(text, Stage::Request, &[Type::Bool])?.holds(&exchange())
}

fn refused(text: &str) -> String {
    Expression::new(text, Stage::Request, &[Type::Bool]).expect_err(text)
}

#[test]
fn it_sees_the_request_and_who_asks() {
    for text in [
        r#"request.method == "POST" && request.path == "/orders/7""#,
        r#"request.query.startsWith("limit=") && request.host == "api.example.com""#,
        r#"request.scheme == "http" && request.size == 12"#,
        r#"request.headers["x-tenant"] == "acme" && request.headers["X-Tenant"] == "acme""#,
        r#"request.headers["x-many"] == "1, 2""#,
        r#""x-tenant" in request.headers && !("x-other" in request.headers)"#,
        r#"has(request.headers.host) && !has(request.headers.other)"#,
        r#"request.cookies.session == "abc""#,
        r#"request.arguments.q == "a b" && int(request.arguments.limit) <= 10"#,
        r#"client.address == "0.0.0.0" && client.subject == """#,
        r#"consumer.id == "ada" && consumer.attributes.plan == "gold""#,
        r#""orders:write" in consumer.scopes && size(consumer.scopes) == 2"#,
        r#"claims.sub == "ada" && claims.level >= 3 && claims.share < 1.0"#,
        r#""admin" in claims.realm.roles && claims["odd name"]"#,
        r#"claims.realm.roles.exists(role, role == "ops") && consumer.scopes.all(scope, scope.contains(":"))"#,
        r#"request.path.matches("^/orders/[0-9]+$") && !request.path.matches("x")"#,
        r#"request.path.split("/").size() == 3 && request.host.upperAscii() == "API.EXAMPLE.COM""#,
        r#"(request.method in ["GET", "HEAD"] ? "read" : "write") == "write""#,
        r#"has(claims.level) && !has(claims.missing)"#,
        r#"request.path.substring(1, 7) == "orders" && "aé€b".substring(2) == "€b" && "é".substring(1) == """#,
        r#""aé€b".indexOf("€") == 2 && "abc".indexOf("d") == -1 && "abc".indexOf("") == 0"#,
        r#""aéb".split("") == ["a", "é", "b"] && "a,,b".split(",") == ["a", "", "b"] && "".split("").size() == 0"#,
        r#"" a ".trim() + "B".lowerAscii() == "ab" && "a-b".split("-").map(x, x + "!") == ["a!", "b!"]"#,
        r#"[[1, 2], [3]].exists(l, l[0] == 3) && [{"a": "b"}].all(m, m.a == "b" && has(m.a) && m["a"] == "b")"#,
    ] {
        assert_eq!(holds(text), Ok(true), "{text}");
    }
    let nobody = Expression::new(r#"consumer.id == "" && !has(claims.sub)"#, Stage::Request, &[]).unwrap();
    assert_eq!(nobody.holds(&Exchange::default()), Ok(true), "nobody asks");
}

#[test]
fn what_can_not_be_told_is_an_error() {
    for text in [
        r#"request.headers["x-other"] == "a""#,
        r#"claims.missing == 1"#,
        r#"int(request.path) == 1"#,
        r#"claims.level / 0 == 1"#,
        r#"claims.sub > 1"#,
        r#"request.path.substring(7, 1) == """#,
        r#"request.path.substring(100) == """#,
        r#"request.path.substring(-1) == """#,
        r#"claims.sub"#,
    ] {
        assert!(holds(text).is_err(), "{text}: {:?}", holds(text));
    }
    // What is not looked at does no harm.
    assert_eq!(holds(r#"true || claims.missing == 1"#), Ok(true));
}

#[test]
fn mistakes_are_found_at_load() {
    for (text, what) in [
        ("request.metod == \"GET\"", "there is no `request.metod`; did you mean `request.method`?"),
        ("request.method == 1", "`==` of a text and an integer: it wants two of a kind"),
        ("request.method", "is a text, and has to be true or false"),
        ("request.size > \"a\"", "it wants two numbers or two texts"),
        ("request.path.beginsWith(\"/\")", "there is no function `beginsWith`"),
        ("request.path.contain(\"/\")", "did you mean `contains`?"),
        ("request.path.contains(1)", "it wants (a text).contains(a text)"),
        ("request.path.matches(request.query)", "a pattern has to stand in the expression"),
        ("request.path.matches(\"(\")", "the pattern `(`"),
        ("request.method.name == \"a\"", "`.name` of a text, which has no parts"),
        ("response.status == 200", "there is no response yet"),
        ("request.method == \"GET\" &&", "not an expression"),
        ("request == 1", "there is no `request`"),
        ("x == 1", "there is no `x`"),
        ("Struct{a: 1} == 1", "there is no type `Struct`"),
        ("request.method.all(c, c == \"a\")", "goes through a list"),
        ("@pattern0", "not an expression"),
        ("request.method && true", "it wants true or false"),
        ("", "not an expression"),
        ("claims.a.exists(x, claims.b.exists(y, claims.c.exists(z, x == y && y == z)))", "too long"),
        (r#"request.path.split(",").all(r, r in request.query.split(","))"#, "too long"),
        ("request.host.replace(\"a\", \"aa\") == \"\"", "there is no function `replace`"),
    ] {
        let said = refused(text);
        assert!(said.contains(what), "{text}: {said}");
    }
    assert!(refused(&format!("true{}", " || true".repeat(1000))).contains("more than 4096 bytes"));
    assert!(refused(&format!("{}true{}", "(".repeat(500), ")".repeat(500))).contains("nested deeper"));
    // The parser joins what cancels itself out.
    assert!(Expression::new(&format!("{}true", "!".repeat(4000)), Stage::Request, &[]).is_ok());
    assert!(Expression::new(&format!("{}1 == 1", "-".repeat(4000)), Stage::Request, &[]).is_ok());
    assert!(refused(&format!("(request.path{}) == ''", " + request.path".repeat(100))).contains("too deep"));
    assert!(!refused(&"a.".repeat(2000)).is_empty());
    assert!(!refused(&"true?".repeat(800)).is_empty());
    assert!(!refused(&format!("{}true", "true?true:".repeat(400))).is_empty());
}

#[test]
fn the_manual_has_every_name_and_function() {
    const MANUAL: &str = include_str!("../../../EXPRESSIONS.md");
    for name in NAMES {
        let kind = match name.kind {
            Type::Text => "text",
            Type::Int => "integer",
            Type::Texts => "texts by name",
            Type::List => "list",
            _ => "anything",
        };
        let row = format!("| `{}` | {kind} | ", name.path);
        assert!(MANUAL.lines().any(|line| line.starts_with(&row)), "{row}");
    }
    for function in calls::functions() {
        assert!(MANUAL.contains(&format!("{function}(")), "{function}");
    }
}

#[test]
fn nonsense_never_breaks_the_parser() {
    const PIECES: &[&str] = &[
        "request", ".", "method", "(", ")", "[", "]", "{", "}", "\"", "'", "\\", "&&", "||", "!", "?", ":",
        "1", "1u", "0x", "1e999", "-", "in", "has(", "all(x,", "claims", "é", "\u{0}", "r\"", "b'", "\"\"\"",
        "//", "\n", ",", "@", "`", "size", "<", "==", "null",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..3000 {
        let text: String = (0..random.usize(1..30)).map(|_| PIECES[random.usize(..PIECES.len())]).collect();
        if let Ok(expression) = Expression::new(&text, Stage::Request, &[]) {
            let _ = expression.text(&exchange());
        }
    }
}

#[test]
fn texts_have_expressions_in_them() {
    let text = |template: &str| Template::new(template, Stage::Request).and_then(|it| it.text(&exchange()));
    assert_eq!(text("user-{consumer.id}/{claims.level}").unwrap(), "user-ada/3");
    assert_eq!(text("{{{request.method}}}").unwrap(), "{POST}");
    assert_eq!(text(r#"{request.headers["x-tenant"] + "}"}"#).unwrap(), "acme}");
    assert_eq!(text("{ {\"a\": \"b\"}.a }").unwrap(), "b");
    assert_eq!(Template::new("plain }} text", Stage::Request).unwrap().fixed(), Some("plain } text"));
    assert_eq!(Template::new("", Stage::Request).unwrap().fixed(), Some(""));
    for (template, what) in [
        ("{", "without its other half"),
        ("}", "without its other half"),
        ("{}", "not an expression"),
        ("{consumer.scopes}", "has to be a text"),
        ("{consumer.ID}", "did you mean `consumer.id`?"),
        (r#"{"group": 1}"#, "a brace that is meant as such is doubled"),
    ] {
        let said = text(template).unwrap_err();
        assert!(said.contains(what), "{template}: {said}");
    }
    assert!(text("{claims.none}").unwrap_err().contains("`claims.none`: "));
}

/// A request whose headers and query are as large as they may be.
fn large() -> Exchange {
    let (text, list) = ("a".repeat(24_000), "a,".repeat(12_000));
    let several: Vec<_> = (0..8_000).map(|number| number.to_string()).collect();
    let nested = (0..100).fold(json!("a".repeat(20_000)), |inner, _| json!([inner]));
    let mut exchange = exchange();
    exchange.request = Request::builder()
        .uri(format!("/?q={text}"))
        .header("cookie", format!("b={text}; a=1"))
        .header("text", format!("{text}b"))
        .header("other", format!("{}b", &text[12_000..]))
        .header("list", &list)
        .header("several", several.join(","))
        .body(())
        .unwrap();
    if let Some(consumer) = exchange.consumer.as_deref_mut() {
        consumer.claims = Some(Arc::new(json!({ "all": several, "nested": nested })));
    }
    exchange
}

/// Expressions that pass the check, and take long for a large request.
fn long() -> Vec<String> {
    let split = r#"request.headers.list.split(",")"#;
    let many = |part: &str| vec![part; MAX_TEXT / (part.len() + 4)].join(" || ");
    vec![
        r#"request.query.split("a").all(a, request.query.split("a").size() > -1)"#.to_owned(),
        format!("{split}.all(a, [1, 2, 3, 4, 5, 6, 7, 8, 9].all(b, b > 0))"),
        format!("[{split}].all(l, l.all(x, x in l))"),
        format!("{split}.map(x, request.headers.text + x).size() == 1"),
        format!("{split}.filter(x, x == x).filter(x, x == x).size() == 1"),
        format!("{split}.exists_one(x, x == x && x == x && x == x)"),
        "claims.all.map(x, claims.all).size() == 1".to_owned(),
        "claims.all.all(x, x in claims.all)".to_owned(),
        format!("{split}.all(x, request.arguments.q == x || request.cookies.a == x)"),
        format!("{split}.all(x, request.headers.text.indexOf(request.headers.other) >= 0)"),
        format!(r#"{split}.all(x, request.headers.text.matches("(a|aa)+c$"))"#),
        many(r#"request.query.split("").size() == 0"#),
        many(r#"request.headers.other.split("").size() == 0"#),
        many("request.headers.text.indexOf(request.headers.other) == 0"),
        many("request.headers.text.contains(request.headers.text + request.query)"),
        many("request.headers.text > request.headers.other"),
        many(r#"request.arguments.q == """#),
        many(r#"request.cookies.a == """#),
        many(r#"request.query.matches("x")"#),
        many(r#"request.query.matches("[ab]*a[ab]{60}b")"#),
        many(r#"request.query.matches("(a?){50}a{50}b")"#),
        format!("(request.query{}).size() == 1", " + request.query".repeat(12)),
        format!("(request.query + request.headers.text){}.size() == 1", ".trim()".repeat(8)),
        format!("[{}].all(x, claims.nested{} != x)", ["1"; 90].join(", "), "[0]".repeat(10)),
    ]
}

#[test]
fn what_a_request_makes_long_is_given_up() {
    let exchange = large();
    for text in long() {
        let expression = Expression::new(&text, Stage::Request, &[Type::Bool]).expect(&text);
        let said = expression.holds(&exchange).expect_err(&text);
        assert!(said.contains("takes more than 20000 steps"), "{text}: {said}");
        // The next one is not charged for it.
        let next = Expression::new("request.query.size() > 0", Stage::Request, &[]).unwrap();
        assert_eq!(next.holds(&exchange), Ok(true));
    }
}
