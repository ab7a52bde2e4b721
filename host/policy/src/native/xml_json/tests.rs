use serde_json::json;

use super::*;
use crate::native::plain;

fn to_json(xml: &str) -> Result<Value, String> {
    to_json::read(xml.as_bytes(), 8, &["one".to_owned()]).map(|json| serde_json::from_str(&json).unwrap())
}

fn to_xml(json: &str) -> Result<String, String> {
    let names = Names { root: "root", item: "item", most: 1 << 20 };
    let xml = to_xml::write(Node::read(json.as_bytes(), 16)?, &names)?;
    Ok(xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap().to_owned())
}

#[test]
fn xml_becomes_json() {
    for (xml, json) in [
        ("<a/>", json!({ "a": null })),
        ("<a></a>", json!({ "a": null })),
        ("<a> b </a>", json!({ "a": " b " })),
        ("<a x='1'/>", json!({ "a": { "@x": "1" } })),
        ("<a x='1'> b </a>", json!({ "a": { "@x": "1", "#text": " b " } })),
        ("<a>\n <b>1</b>\n <c/>\n</a>", json!({ "a": { "b": "1", "c": null } })),
        (
            "<a><b>1</b><c/><b>2</b><b x=''/></a>",
            json!({ "a": { "b": ["1", "2", { "@x": "" }], "c": null } }),
        ),
        ("<a><one>1</one></a>", json!({ "a": { "one": ["1"] } })),
        ("<a><one>1</one><one/></a>", json!({ "a": { "one": ["1", null] } })),
        ("<a>x<b/>y</a>", json!({ "a": { "b": null, "#text": "xy" } })),
        ("<a>&lt;&amp;&gt;&apos;&quot;&#65;&#x42;</a>", json!({ "a": "<&>'\"AB" })),
        ("<a x='&lt;&#10;'><![CDATA[<b>&amp;]]></a>", json!({ "a": { "@x": "<\n", "#text": "<b>&amp;" } })),
        (
            "<?xml version='1.0' encoding='utf-8'?>\n<!-- b --><?c d?><n:a xmlns:n='u'>\r\n</n:a>\n",
            json!({ "n:a": { "@xmlns:n": "u" } }),
        ),
        ("\u{feff}<ä>é</ä>", json!({ "ä": "é" })),
    ] {
        assert_eq!(to_json(xml).as_ref(), Ok(&json), "{xml}");
    }
}

#[test]
fn json_becomes_xml() {
    for (json, xml) in [
        (r#"{"a":null}"#, "<a/>"),
        (r#"{"a":""}"#, "<a/>"),
        (
            r#"{"a":{"@x":1.50,"b":[1,true,"<&>"],"c":{}}}"#,
            "<a x=\"1.50\"><b>1</b><b>true</b><b>&lt;&amp;&gt;</b><c/></a>",
        ),
        (r##"{"a":{"@x":"\"\n\t\r<","#text":"t"}}"##, "<a x=\"&quot;&#10;&#9;&#13;&lt;\">t</a>"),
        (r#"{"a":1,"b":2}"#, "<root><a>1</a><b>2</b></root>"),
        (r#"{"a":[1,2]}"#, "<root><a>1</a><a>2</a></root>"),
        ("[1,[2,3],{}]", "<root><item>1</item><item><item>2</item><item>3</item></item><item/></root>"),
        ("12345678901234567890.10", "<root>12345678901234567890.10</root>"),
        ("{}", "<root/>"),
        ("[]", "<root/>"),
        (r#"{"a":[]}"#, "<root></root>"),
    ] {
        assert_eq!(to_xml(json).as_deref(), Ok(xml), "{json}");
    }
}

#[test]
fn there_and_back_is_the_same() {
    let mut chance = fastrand::Rng::with_seed(5);
    for _ in 0..3_000 {
        let json = json!({ "r": element(&mut chance, 5) });
        let xml = to_xml(&json.to_string()).unwrap();
        let back = to_json::read(xml.as_bytes(), 8, &[]).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&back).unwrap(), json, "{xml}");
    }
}

/// An element as it is in JSON: no array of one item, no empty text, no two kinds of nothing.
fn element(chance: &mut fastrand::Rng, depth: usize) -> Value {
    let text = |chance: &mut fastrand::Rng| {
        let letters = ['a', '<', '&', '"', '\'', ']', '>', '\n', '\t', '\r', 'ä', '\u{1F600}'];
        (0..chance.usize(1..8))
            .map(|_| letters[chance.usize(0..letters.len())])
            .chain(['.'])
            .collect::<String>()
    };
    match chance.u8(0..if depth == 0 { 2 } else { 4 }) {
        0 => Value::Null,
        1 => Value::from(text(chance)),
        _ => {
            let mut members = serde_json::Map::new();
            members.insert("@n".to_owned(), text(chance).into());
            for name in ["b", "c", "d"] {
                match chance.u8(0..3) {
                    0 => {}
                    1 => drop(members.insert(name.to_owned(), element(chance, depth - 1))),
                    _ => {
                        let items = (0..chance.usize(2..4)).map(|_| element(chance, depth - 1));
                        members.insert(name.to_owned(), items.collect());
                    }
                }
            }
            members.into()
        }
    }
}

#[test]
fn what_is_dangerous_or_broken_is_refused() {
    let bomb = "<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;'>]><a>&c;</a>";
    let outside = "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>";
    for bad in [
        bomb,
        outside,
        "<!DOCTYPE a SYSTEM 'http://x/y.dtd'><a/>",
        "<a>&b;</a>",
        "<a x='&b;'/>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a>&</a>",
        "<a>",
        "<a><b></a>",
        "</a>",
        "<a/><b/>",
        "<a/>b",
        "b<a/>",
        "",
        "<a x='1' x='2'/>",
        "<a x=1/>",
        "<a",
        "<a><![CDATA[",
        "<!--",
        "<?xml version='1.0' encoding='iso-8859-1'?><a/>",
        "{}",
    ] {
        assert!(to_json(bad).is_err(), "{bad}: {:?}", to_json(bad));
    }
    assert!(to_json(&format!("{}{}", "<a>".repeat(8), "</a>".repeat(8))).is_ok());
    assert!(to_json(&"<a>".repeat(100_000)).unwrap_err().contains("8 levels"));
    let attributes: String = (0..257).map(|n| format!(" a{n}=''")).collect();
    assert!(to_json(&format!("<a{attributes}/>")).unwrap_err().contains("attributes"));
    assert!(to_json::read(b"<a>\xff</a>", 8, &[]).is_err());
    let long = format!(r#"{{"{}":[{}1]}}"#, "a".repeat(10_000), "1,".repeat(10_000));
    assert!(to_xml(&long).unwrap_err().contains("more than"), "a name for each of many items");
    for bad in [
        r#"{"a b":1}"#,
        r#"{"a":{"1":2}}"#,
        r#"{"a":{"@":1}}"#,
        r#"{"a":{"@x":{}}}"#,
        r#"{"a":"\u0001"}"#,
        r#"{"a":"\ud800"}"#,
        "{",
        r#"{"a><b":1}"#,
    ] {
        assert!(to_xml(bad).is_err(), "{bad}: {:?}", to_xml(bad));
    }
}

#[test]
fn mistakes_are_found_at_load() {
    let mistake = |settings| plain(build, &settings).err().map(|error| error.pointer).unwrap();
    assert_eq!(mistake(json!({})), "");
    assert_eq!(mistake(json!({ "request": "xml" })), "/request");
    assert_eq!(mistake(json!({ "request": "xml-to-json", "root": "a b" })), "/root");
    assert_eq!(mistake(json!({ "request": "xml-to-json", "depth": 513 })), "/depth");
}
