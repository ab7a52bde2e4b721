//! JSON as XML.

use std::borrow::Cow;

use super::is_char;
use crate::native::json::node::{Member, Node};

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// What JSON does not say of its XML.
pub(super) struct Names<'a> {
    /// What elements are called that have no name.
    pub root: &'a str,
    pub item: &'a str,
    /// The most bytes that it may become: the name of an array is written for each of its items.
    pub most: usize,
}

/// All of a document; or why it can't be one.
pub(super) fn write(mut json: Node<'_>, names: &Names<'_>) -> Result<String, String> {
    let mut xml = DECLARATION.to_owned();
    // One member is the element itself, unless it stands for several.
    if let Node::Object(members) = json.open()
        && let [only] = members.as_mut_slice()
        && is_name(&only.name)
        && !is_array(&mut only.value)
    {
        element(&only.name, &mut only.value, names, &mut xml)?;
        return Ok(xml);
    }
    if let Node::Array(items) = &mut json {
        items.iter_mut().for_each(|item| enclose(item, names));
        json = Node::Object(items.drain(..).map(|item| Member::new(names.item, item)).collect());
    }
    element(names.root, &mut json, names, &mut xml)?;
    Ok(xml)
}

/// An array within an array becomes an element with items in it.
fn enclose(item: &mut Node<'_>, names: &Names<'_>) {
    if is_array(item) {
        let array = std::mem::replace(item, Node::null());
        *item = Node::Object(vec![Member::new(names.item, array)]);
    }
}

fn is_array(node: &mut Node<'_>) -> bool {
    matches!(node.open(), Node::Array(_))
}

fn element(name: &str, node: &mut Node<'_>, names: &Names<'_>, xml: &mut String) -> Result<(), String> {
    if !is_name(name) {
        return Err(format!("no XML element can be called {name:?}"));
    }
    if xml.len() > names.most {
        return Err(format!("as XML it has more than {} bytes", names.most));
    }
    match node.open() {
        Node::Array(items) => {
            for item in items {
                enclose(item, names);
                element(name, item, names, xml)?;
            }
        }
        Node::Object(members) => {
            begin(name, xml);
            let (attributes, content): (Vec<_>, Vec<_>) =
                members.iter_mut().partition(|member| member.name.starts_with('@'));
            for member in attributes {
                attribute(member, xml)?;
            }
            if content.is_empty() {
                xml.push_str("/>");
                return Ok(());
            }
            xml.push('>');
            for member in content {
                match &*member.name {
                    "#text" => escape(&text(&mut member.value)?, false, xml)?,
                    name => element(name, &mut member.value, names, xml)?,
                }
            }
            end(name, xml);
        }
        scalar => {
            let text = text(scalar)?;
            begin(name, xml);
            if text.is_empty() {
                xml.push_str("/>");
                return Ok(());
            }
            xml.push('>');
            escape(&text, false, xml)?;
            end(name, xml);
        }
    }
    Ok(())
}

fn begin(name: &str, xml: &mut String) {
    xml.push('<');
    xml.push_str(name);
}

fn end(name: &str, xml: &mut String) {
    xml.push_str("</");
    xml.push_str(name);
    xml.push('>');
}

fn attribute(member: &mut Member<'_>, xml: &mut String) -> Result<(), String> {
    let name = member.name.trim_start_matches('@').to_owned();
    if !is_name(&name) {
        return Err(format!("no XML attribute can be called {name:?}"));
    }
    xml.push(' ');
    xml.push_str(&name);
    xml.push_str("=\"");
    escape(&text(&mut member.value)?, true, xml)?;
    xml.push('"');
    Ok(())
}

/// A scalar as text: numbers as they are written.
fn text<'n>(node: &'n mut Node<'_>) -> Result<Cow<'n, str>, String> {
    match node.open() {
        Node::Text(text) if text == "null" => Ok(Cow::Borrowed("")),
        Node::Text(text) if text.starts_with('"') => {
            // Half a surrogate is no character.
            serde_json::from_str::<String>(text)
                .map(Cow::Owned)
                .map_err(|error| format!("not a text: {error}"))
        }
        Node::Text(text) => Ok(Cow::Borrowed(text)),
        _ => Err("an object or array where XML has text only".to_owned()),
    }
}

fn escape(text: &str, is_attribute: bool, xml: &mut String) -> Result<(), String> {
    for character in text.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' if is_attribute => xml.push_str("&quot;"),
            // Readers would make others of them (XML 1.0, sections 2.11 and 3.3.3).
            '\r' => xml.push_str("&#13;"),
            '\n' if is_attribute => xml.push_str("&#10;"),
            '\t' if is_attribute => xml.push_str("&#9;"),
            good if is_char(good) => xml.push(good),
            bad => return Err(format!("XML can't have the character U+{:04X}", u32::from(bad))),
        }
    }
    Ok(())
}

/// A `Name` (XML 1.0, section 2.3).
pub(super) fn is_name(text: &str) -> bool {
    let may_begin = |c: char| {
        matches!(c,
            ':' | '_' | 'A'..='Z' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
            | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
            | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
            | '\u{10000}'..='\u{EFFFF}')
    };
    let may_follow = |c: char| matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}');
    text.starts_with(may_begin) && text.chars().all(|c| may_begin(c) || may_follow(c))
}
