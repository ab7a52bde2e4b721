//! Places in a document, and what is done there.

use std::borrow::Cow;

use super::node::{Member, Node};

/// A JSON Pointer (RFC 6901) in which `*` stands for every member or item.
#[derive(Clone, Debug)]
pub(super) struct Pointer(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Every,
    One {
        name: String,
        /// The place of an item, if the name is one.
        place: Option<usize>,
    },
}

impl Pointer {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some(steps) = text.strip_prefix('/') else {
            return Err(format!("not a JSON Pointer like \"/user/password\" or \"/items/*/id\": `{text}`"));
        };
        let steps = steps.split('/').map(|step| {
            if step == "*" {
                return Ok(Step::Every);
            }
            if step.replace("~0", "").replace("~1", "").contains('~') {
                return Err(format!("`~` is written `~0` in a JSON Pointer (RFC 6901): `{text}`"));
            }
            let name = step.replace("~1", "/").replace("~0", "~");
            let is_place = name == "0"
                || !name.is_empty() && !name.starts_with('0') && name.bytes().all(|b| b.is_ascii_digit());
            let place = is_place.then(|| name.parse().ok()).flatten();
            Ok(Step::One { name, place })
        });
        steps.collect::<Result<_, _>>().map(Pointer)
    }

    /// Whether it is of one place at most.
    pub(super) fn is_one(&self) -> bool {
        !self.0.iter().any(|step| matches!(step, Step::Every))
    }

    pub(super) fn ends_in_a_name(&self) -> bool {
        matches!(self.0.last(), Some(Step::One { .. }))
    }

    /// Takes away what is there; whether anything was.
    pub(super) fn remove(&self, root: &mut Node<'_>) -> bool {
        let mut is_changed = false;
        self.parents(root, &mut |parent, last| {
            is_changed |= match parent {
                Node::Object(members) => shrinks(members, |member| !last.is(&member.name)),
                Node::Array(items) => {
                    let mut at = 0..;
                    shrinks(items, |_| !last.is_at(at.next().unwrap_or(usize::MAX)))
                }
                Node::Text(_) => false,
            }
        });
        is_changed
    }

    /// Gives members another name, in place of others that have it.
    pub(super) fn rename(&self, root: &mut Node<'_>, new: &str) -> bool {
        let mut is_changed = false;
        self.parents(root, &mut |parent, last| {
            let Node::Object(members) = parent else { return };
            if !members.iter().any(|member| last.is(&member.name) && member.name != new) {
                return;
            }
            members.retain(|member| member.name != new);
            for member in members.iter_mut().filter(|member| last.is(&member.name)) {
                let value = std::mem::replace(&mut member.value, Node::null());
                *member = Member::new(new, value);
            }
            is_changed = true;
        });
        is_changed
    }

    /// Takes out what is there: of several of one name the last, as most readers do.
    pub(super) fn take<'a>(&self, root: &mut Node<'a>) -> Option<Node<'a>> {
        let mut taken = None;
        self.parents(root, &mut |parent, last| match parent {
            Node::Object(members) => {
                while let Some(at) = members.iter().position(|member| last.is(&member.name)) {
                    taken = Some(members.remove(at).value);
                }
            }
            Node::Array(items) => {
                if let Some(at) = (0..items.len()).find(|at| last.is_at(*at)) {
                    taken = Some(items.remove(at));
                }
            }
            Node::Text(_) => {}
        });
        taken
    }

    /// Puts a value there, with the objects that it lies in.
    pub(super) fn set<'a>(&self, root: &mut Node<'a>, value: &Node<'a>) -> bool {
        set(root, &self.0, value)
    }

    /// Makes what is there unreadable but for the last `keep` characters.
    pub(super) fn mask(&self, root: &mut Node<'_>, keep: usize) -> bool {
        let mut is_changed = false;
        at(root, &self.0, &mut |node| is_changed |= mask(node, keep));
        is_changed
    }

    /// Calls it for each object or array in which the last step may lead somewhere.
    fn parents<'a>(&self, root: &mut Node<'a>, act: &mut dyn FnMut(&mut Node<'a>, &Step)) {
        if let Some((last, steps)) = self.0.split_last() {
            at(root, steps, &mut |parent| act(parent.open(), last));
        }
    }
}

impl Step {
    fn is(&self, name: &str) -> bool {
        match self {
            Step::Every => true,
            Step::One { name: known, .. } => known == name,
        }
    }

    fn is_at(&self, at: usize) -> bool {
        match self {
            Step::Every => true,
            Step::One { place, .. } => *place == Some(at),
        }
    }
}

/// Calls it for each place that these steps lead to.
fn at<'a>(node: &mut Node<'a>, steps: &[Step], act: &mut dyn FnMut(&mut Node<'a>)) {
    let Some((step, steps)) = steps.split_first() else { return act(node) };
    match node.open() {
        Node::Object(members) => {
            for member in members.iter_mut().filter(|member| step.is(&member.name)) {
                at(&mut member.value, steps, act);
            }
        }
        Node::Array(items) => {
            let items = items.iter_mut().enumerate().filter(|(at, _)| step.is_at(*at));
            items.for_each(|(_, item)| at(item, steps, act));
        }
        Node::Text(_) => {}
    }
}

fn set<'a>(node: &mut Node<'a>, steps: &[Step], value: &Node<'a>) -> bool {
    let Some((step, steps)) = steps.split_first() else {
        *node = value.clone();
        return true;
    };
    match (node.open(), step) {
        (Node::Object(members), step) => {
            if let Step::One { name, .. } = step
                && !members.iter().any(|member| step.is(&member.name))
            {
                members.push(Member::new(name, Node::Object(Vec::new())));
            }
            let there = members.iter_mut().filter(|member| step.is(&member.name));
            there.fold(false, |is_changed, member| set(&mut member.value, steps, value) | is_changed)
        }
        (Node::Array(items), Step::One { name, .. }) if name == "-" => {
            let mut new = Node::Object(Vec::new());
            set(&mut new, steps, value);
            items.push(new);
            true
        }
        (Node::Array(items), step) => {
            let there = items.iter_mut().enumerate().filter(|(at, _)| step.is_at(*at));
            there.fold(false, |is_changed, (_, item)| set(item, steps, value) | is_changed)
        }
        (Node::Text(_), _) => false,
    }
}

/// Four stars, so that the length is not told, and perhaps the end.
fn mask(node: &mut Node<'_>, keep: usize) -> bool {
    if let Node::Text(text) = &*node
        && text == "null"
    {
        return false;
    }
    let characters = match &*node {
        Node::Text(text) => node.characters().unwrap_or(Cow::Borrowed(text)),
        _ => Cow::Borrowed(""),
    };
    let count = characters.chars().count();
    // Of a short one the end would be most of it.
    let end = if count >= 2 * keep { characters.chars().skip(count - keep).collect() } else { String::new() };
    let is_structure = matches!(&*node, Node::Text(text) if text.starts_with(['{', '[']));
    *node = Node::string(&format!("****{}", if is_structure { "" } else { &end }));
    true
}

/// Keeps what is wanted; whether anything went.
fn shrinks<T>(all: &mut Vec<T>, is_wanted: impl FnMut(&T) -> bool) -> bool {
    let before = all.len();
    all.retain(is_wanted);
    all.len() < before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited<T>(text: &str, edit: impl Fn(&mut Node<'_>) -> T) -> String {
        let mut node = Node::read(text.as_bytes(), 64).unwrap();
        edit(&mut node);
        let mut out = String::new();
        node.write(&mut out);
        out
    }

    fn pointer(text: &str) -> Pointer {
        Pointer::parse(text).unwrap()
    }

    #[test]
    fn removes_members_items_and_all_of_them() {
        let removed = |text, at| edited(text, |node| pointer(at).remove(node));
        assert_eq!(removed(r#"{"a": 1, "b": [1, 2.50]}"#, "/a"), r#"{"b":[1, 2.50]}"#);
        assert_eq!(removed(r#"{"a":1,"b":2,"a":3}"#, "/a"), r#"{"b":2}"#, "each of that name");
        assert_eq!(removed(r#"{"\u0061":1}"#, "/a"), "{}", "however it is written");
        assert_eq!(removed("[1,2,3]", "/1"), "[1,3]");
        assert_eq!(removed("[1,2,3]", "/*"), "[]");
        assert_eq!(removed(r#"{"i":[{"s":1,"k":2},{"s":3},4]}"#, "/i/*/s"), r#"{"i":[{"k":2},{},4]}"#);
        assert_eq!(removed(r#"{"a/b":{"~":1},"":2}"#, "/a~1b/~0"), r#"{"a/b":{},"":2}"#);
        assert_eq!(removed(r#"{"":2}"#, "/"), "{}");
        for nowhere in ["/x", "/a/b", "/01", "/9", "/-"] {
            assert_eq!(removed("[1]", nowhere), "[1]", "{nowhere}");
        }
    }

    #[test]
    fn renames_moves_and_sets() {
        let renamed = |text, at, new| edited(text, |node| pointer(at).rename(node, new));
        assert_eq!(renamed(r#"[{"a":1.0,"b":2}]"#, "/*/a", "c\""), r#"[{"c\"":1.0,"b":2}]"#);
        assert_eq!(renamed(r#"{"a":1,"b":2}"#, "/a", "b"), r#"{"b":1}"#, "in place of what had that name");
        assert_eq!(renamed(r#"{"b":2}"#, "/a", "b"), r#"{"b":2}"#);
        assert_eq!(renamed(r#"{"a":2}"#, "/a", "a"), r#"{"a":2}"#);
        let set = |text, at, new| edited(text, |node| pointer(at).set(node, &Node::Text(Cow::Borrowed(new))));
        assert_eq!(set(r#"{"a":1}"#, "/b/c", "[2]"), r#"{"a":1,"b":{"c":[2]}}"#);
        assert_eq!(set(r#"{"a":[{},{"b":1}]}"#, "/a/*/b", "0"), r#"{"a":[{"b":0},{"b":0}]}"#);
        assert_eq!(set("[1]", "/-/x", "2"), r#"[1,{"x":2}]"#);
        assert_eq!(set(r#"{"a":1}"#, "/a/b", "2"), r#"{"a":1}"#, "a number has no members");
        let moved = edited(r#"{"a":{"b":1e5},"c":[]}"#, |node| {
            let taken = pointer("/a/b").take(node).unwrap();
            pointer("/c/-").set(node, &taken)
        });
        assert_eq!(moved, r#"{"a":{},"c":[1e5]}"#);
    }

    #[test]
    fn masks_leave_the_end_of_what_is_long_enough() {
        let masked = |text, keep| edited(text, |node| pointer("/a").mask(node, keep));
        assert_eq!(masked(r#"{"a":"4111111111111111"}"#, 4), r#"{"a":"****1111"}"#);
        assert_eq!(masked(r#"{"a":"1234567"}"#, 4), r#"{"a":"****"}"#, "the end would be most of it");
        assert_eq!(masked(r#"{"a":"\u00e4öü\""}"#, 2), r#"{"a":"****ü\""}"#);
        assert_eq!(masked(r#"{"a":123456789}"#, 4), r#"{"a":"****6789"}"#);
        assert_eq!(masked(r#"{"a":{"b":[1,2,3,4]}}"#, 4), r#"{"a":"****"}"#);
        assert_eq!(masked(r#"{"a":null}"#, 0), r#"{"a":null}"#);
        assert_eq!(masked(r#"{"a":true,"a":"x"}"#, 0), r#"{"a":"****","a":"****"}"#);
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for bad in ["", "a", "a/b", "/a~b", "/~2", "/~"] {
            assert!(Pointer::parse(bad).is_err(), "{bad}");
        }
    }
}
