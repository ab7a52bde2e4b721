//! From a path to what is described there: plain text before templates, segment by segment from the left.

use std::collections::HashMap;

use http::Method;
use percent_encoding::percent_decode_str;

/// All paths of a document, as a tree of segments.
#[derive(Default)]
pub(in crate::native) struct Tree(Node);

#[derive(Default)]
struct Node {
    plain: HashMap<String, Node>,
    /// Those with more text first.
    templates: Vec<(Template, Node)>,
    end: Option<End>,
}

/// What is described for a path.
struct End {
    path: String,
    /// The names in its templates, in their order.
    names: Vec<String>,
    methods: Vec<(Method, usize)>,
}

/// A segment with parameters: "{id}", "{name}.{ending}".
#[derive(PartialEq, Eq)]
struct Template {
    /// The text before each parameter.
    before: Vec<String>,
    /// The text after the last one.
    after: String,
}

/// A path that is described, as a request has it.
pub(in crate::native) struct Found<'t, 'p> {
    end: &'t End,
    /// As they stand in the path, percent-encoded.
    values: Vec<&'p str>,
}

impl Tree {
    pub(super) fn insert(&mut self, path: &str, method: &Method, operation: usize) -> Result<(), String> {
        let Some(below) = path.strip_prefix('/') else {
            return Err(format!("a path that does not begin with `/`: `{path}`"));
        };
        let (mut node, mut names) = (&mut self.0, Vec::new());
        for segment in below.split('/') {
            node = match Template::read(segment, &mut names)? {
                None => node.plain.entry(decoded(segment)).or_default(),
                Some(template) => node.below(template),
            };
        }
        let end = node.end.get_or_insert_with(|| End {
            path: path.to_owned(),
            names: names.clone(),
            methods: Vec::new(),
        });
        if end.path != path {
            return Err(format!("`{path}` and `{}` are the same path by other names", end.path));
        }
        if end.methods.iter().all(|(known, _)| known != method) {
            end.methods.push((method.clone(), operation));
        }
        Ok(())
    }

    pub(in crate::native) fn find<'p>(&self, path: &'p str) -> Option<Found<'_, 'p>> {
        let mut values = Vec::new();
        let end = self.0.find(path.strip_prefix('/'), &mut values)?;
        Some(Found { end, values })
    }
}

impl<'p> Found<'_, 'p> {
    /// The operation of a method. What can be got can also be asked for its head.
    pub(in crate::native) fn operation(&self, method: &Method) -> Option<usize> {
        let of = |method: &Method| {
            let known = self.end.methods.iter().find(|(known, _)| known == method);
            known.map(|(_, operation)| *operation)
        };
        of(method).or_else(|| if *method == Method::HEAD { of(&Method::GET) } else { None })
    }

    /// The methods there are, for the header `allow`.
    pub(in crate::native) fn allow(&self) -> String {
        let mut methods: Vec<_> = self.end.methods.iter().map(|(method, _)| method.as_str()).collect();
        if methods.contains(&"GET") && !methods.contains(&"HEAD") {
            methods.push("HEAD");
        }
        methods.join(", ")
    }

    /// What stands for a parameter, percent-encoded.
    pub(in crate::native) fn value(&self, name: &str) -> Option<&'p str> {
        let at = self.end.names.iter().position(|known| known == name)?;
        self.values.get(at).copied()
    }
}

impl Node {
    fn below(&mut self, template: Template) -> &mut Node {
        let known = self.templates.iter().position(|(other, _)| *other == template);
        let at = known.unwrap_or_else(|| {
            let weight = template.weight();
            let at = self.templates.partition_point(|(other, _)| other.weight() >= weight);
            self.templates.insert(at, (template, Node::default()));
            at
        });
        // It was found, or put there.
        #[allow(clippy::indexing_slicing, reason = "`at` is within, by the lines above")]
        &mut self.templates[at].1
    }

    /// `rest` is what is left of the path; none at its end. No node is looked at twice for one path: its
    /// depth is that of the segment.
    fn find<'p>(&self, rest: Option<&'p str>, values: &mut Vec<&'p str>) -> Option<&End> {
        let Some(rest) = rest else { return self.end.as_ref() };
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        let plain = match segment.contains('%') {
            true => self.plain.get(&decoded(segment)),
            false => self.plain.get(segment),
        };
        let before = values.len();
        if let Some(end) = plain.and_then(|node| node.find(rest, values)) {
            return Some(end);
        }
        for (template, node) in &self.templates {
            values.truncate(before);
            if template.take(segment, values)
                && let Some(end) = node.find(rest, values)
            {
                return Some(end);
            }
        }
        values.truncate(before);
        None
    }
}

impl Template {
    /// None for plain text.
    fn read(segment: &str, names: &mut Vec<String>) -> Result<Option<Self>, String> {
        let (mut before, mut rest) = (Vec::new(), segment);
        while let Some((text, tail)) = rest.split_once('{') {
            let Some((name, tail)) = tail.split_once('}') else {
                return Err(format!("a `{{` that is never closed: `{segment}`"));
            };
            if name.is_empty() || names.iter().any(|known| known == name) {
                return Err(format!("a parameter without a name, or twice: `{{{name}}}`"));
            }
            if text.is_empty() && !before.is_empty() {
                return Err(format!("two parameters with nothing between them: `{segment}`"));
            }
            before.push(text.to_owned());
            names.push(name.to_owned());
            rest = tail;
        }
        if before.is_empty() {
            return Ok(None);
        }
        Ok(Some(Template { before, after: rest.to_owned() }))
    }

    fn weight(&self) -> usize {
        self.before.iter().map(String::len).sum::<usize>() + self.after.len()
    }

    /// Takes the values out of a segment, if it is one of these. None of them is empty.
    fn take<'p>(&self, segment: &'p str, values: &mut Vec<&'p str>) -> bool {
        let mut texts = self.before.iter();
        let first = texts.next().map(String::as_str).unwrap_or_default();
        let inner = segment.strip_prefix(first).and_then(|rest| rest.strip_suffix(&*self.after));
        let Some(mut rest) = inner else { return false };
        for text in texts {
            // At least one character is the value's.
            let one = rest.chars().next().map_or(0, char::len_utf8);
            let found = rest.get(one..).and_then(|tail| tail.find(&**text)).map(|at| at + one);
            let Some((value, tail)) = found.and_then(|at| rest.split_at_checked(at)) else { return false };
            values.push(value);
            rest = tail.get(text.len()..).unwrap_or_default();
        }
        values.push(rest);
        !rest.is_empty()
    }
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for (number, path) in paths.iter().enumerate() {
            tree.insert(path, &Method::GET, number).unwrap();
        }
        tree
    }

    #[test]
    fn plain_text_goes_first_and_back_again() {
        let tree = tree(&["/pets/{id}", "/pets/mine", "/pets/{id}/toys", "/{any}/mine/x", "/a/{b}.{c}", "/"]);
        let find = |path: &str| {
            let found = tree.find(path)?;
            Some((found.operation(&Method::GET)?, found.values.join("|")))
        };
        assert_eq!(find("/pets/mine"), Some((1, String::new())));
        assert_eq!(find("/pets/7"), Some((0, "7".into())));
        assert_eq!(
            find("/pets/mine/toys"),
            Some((2, "mine".into())),
            "a way that leads nowhere is left again"
        );
        assert_eq!(find("/pets/mine/x"), Some((3, "pets".into())));
        assert_eq!(find("/a/report.v1.pdf"), Some((4, "report|v1.pdf".into())));
        assert_eq!(find("/a/.pdf"), None);
        assert_eq!(find("/"), Some((5, String::new())));
        assert_eq!(find("/%70ets/mine"), Some((1, String::new())));
        for nothing in ["/pets", "/pets/", "/pets/7/", "/pets//toys", ""] {
            assert_eq!(find(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn paths_that_mean_the_same_are_refused() {
        let mut tree = tree(&["/a/{x}"]);
        assert!(tree.insert("/a/{y}", &Method::PUT, 1).unwrap_err().contains("the same path"));
        for bad in ["a", "/{", "/{}", "/{a}/{a}", "/{a}{b}"] {
            assert!(tree.insert(bad, &Method::GET, 1).is_err(), "{bad}");
        }
    }
}
