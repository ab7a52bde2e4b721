//! XML as JSON.

use std::collections::HashMap;

use http::header::HeaderMap;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

use super::is_char;
use crate::native::json::is_a;
use crate::native::json::node::{Member, Node};

/// The most attributes of one element: each is compared with the others.
const ATTRIBUTES: usize = 256;

/// Whether a head says that its body is XML, but not that of a page.
pub(super) fn is_xml(head: &HeaderMap) -> bool {
    is_a(head, &["application/xml", "text/xml"], Some("+xml"))
        && !is_a(head, &["application/xhtml+xml", "image/svg+xml"], None)
}

/// What an element has, as far as it was read.
struct Element {
    name: String,
    members: Vec<Member<'static>>,
    /// Where members are whose name came before, and how often it did.
    known: HashMap<String, (usize, usize)>,
    text: String,
}

/// All of a document, of which no element lies deeper than this; elements of these names are always arrays.
pub(super) fn read(bytes: &[u8], depth: usize, arrays: &[String]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        let event = reader.read_event().map_err(|error| format!("not XML: {error}"))?;
        let closed = match event {
            Event::Start(tag) => {
                begin(&tag, &mut open, depth)?;
                None
            }
            Event::Empty(tag) => {
                begin(&tag, &mut open, depth)?;
                open.pop()
            }
            Event::End(_) => open.pop(),
            Event::Text(text) => {
                add(&mut open, &text.xml10_content())?;
                None
            }
            Event::CData(text) => {
                add(&mut open, &text.xml10_content())?;
                None
            }
            Event::GeneralRef(reference) => {
                add(&mut open, resolve(&reference)?.encode_utf8(&mut [0; 4]))?;
                None
            }
            Event::DocType(_) => {
                return Err("XML with a document type, whose entities nobody reads here".to_owned());
            }
            Event::Decl(declared) => {
                let encoding =
                    declared.encoding().transpose().map_err(|error| format!("not XML: {error}"))?;
                if encoding.is_some_and(|name| {
                    !name.eq_ignore_ascii_case("utf-8") && !name.eq_ignore_ascii_case("us-ascii")
                }) {
                    return Err("XML in another encoding than UTF-8".to_owned());
                }
                None
            }
            Event::Comment(_) | Event::PI(_) => None,
            Event::Eof => break,
        };
        let Some(element) = closed else { continue };
        let (name, value) = element.end(arrays);
        match open.last_mut() {
            Some(parent) => parent.child(name, value),
            None if root.is_some() => return Err("not XML: a second element behind the first".to_owned()),
            None => root = Some(Node::Object(vec![Member::new(&name, value)])),
        }
    }
    match root {
        Some(root) if open.is_empty() => {
            let mut json = String::with_capacity(bytes.len());
            root.write(&mut json);
            Ok(json)
        }
        _ => Err("not XML: it ends too early".to_owned()),
    }
}

fn begin(tag: &BytesStart<'_>, open: &mut Vec<Element>, depth: usize) -> Result<(), String> {
    if open.len() >= depth {
        return Err(format!("XML more than {depth} levels deep"));
    }
    let name = tag.name().as_ref().to_owned();
    let mut members = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| format!("not XML: {error}"))?;
        if members.len() >= ATTRIBUTES {
            return Err(format!("an XML element with more than {ATTRIBUTES} attributes"));
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_err(|error| format!("not XML: {error}"))?;
        members.push(Member::new(&format!("@{}", attribute.key.as_ref()), Node::string(&value)));
    }
    open.push(Element { name, members, known: HashMap::new(), text: String::new() });
    Ok(())
}

fn add(open: &mut [Element], text: &str) -> Result<(), String> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim_ascii().is_empty() => {}
        None => return Err("not XML: text outside of the element".to_owned()),
    }
    Ok(())
}

/// One character, or one of the five entities that every document has. Others may stand for anything.
fn resolve(reference: &BytesRef<'_>) -> Result<char, String> {
    let character = reference.resolve_char_ref().map_err(|error| format!("not XML: {error}"))?;
    if let Some(character) = character {
        return if is_char(character) {
            Ok(character)
        } else {
            Err("not XML: a character that it can't have".to_owned())
        };
    }
    match reference.clone().into_inner().as_ref() {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => Err("XML with an entity of its own".to_owned()),
    }
}

impl Element {
    fn child(&mut self, name: String, value: Node<'static>) {
        if let Some((place, count)) = self.known.get_mut(&name) {
            *count += 1;
            if let Some(member) = self.members.get_mut(*place) {
                let first = std::mem::replace(&mut member.value, Node::null());
                member.value = match first {
                    Node::Array(mut items) => {
                        items.push(value);
                        Node::Array(items)
                    }
                    first => Node::Array(vec![first, value]),
                };
            }
            return;
        }
        self.members.push(Member::new(&name, value));
        self.known.insert(name, (self.members.len() - 1, 1));
    }

    fn end(mut self, arrays: &[String]) -> (String, Node<'static>) {
        for (name, (place, count)) in &self.known {
            if *count == 1
                && arrays.contains(name)
                && let Some(member) = self.members.get_mut(*place)
            {
                let only = std::mem::replace(&mut member.value, Node::null());
                member.value = Node::Array(vec![only]);
            }
        }
        let is_blank = self.text.trim_ascii().is_empty();
        let value = match (self.members.is_empty(), self.text.is_empty()) {
            (true, true) => Node::null(),
            (true, false) => Node::string(&self.text),
            (false, _) => {
                if !is_blank {
                    let text = if self.known.is_empty() { &*self.text } else { self.text.trim_ascii() };
                    self.members.push(Member::new("#text", Node::string(text)));
                }
                Node::Object(self.members)
            }
        };
        (self.name, value)
    }
}
