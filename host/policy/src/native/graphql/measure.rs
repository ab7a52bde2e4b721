//! How much a document asks for.

use std::borrow::Cow;
use std::collections::HashMap;

use apollo_parser::Parser;
use apollo_parser::cst::{self, CstNode, Definition, Selection};
use http::StatusCode;
use serde_json::{Map, Value};

/// How deep selections may be nested in the text, inline fragments and those that are spread included: whoever
/// walks along them needs stack for each.
const NESTED: usize = 200;

/// What a document may ask for.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) depth: u64,
    pub(super) complexity: u64,
    pub(super) weights: HashMap<String, u64>,
    pub(super) lists: Vec<String>,
    pub(super) aliases: u64,
    pub(super) directives: u64,
    pub(super) root_fields: u64,
    pub(super) tokens: usize,
    pub(super) introspection: bool,
}

/// A request that goes no further, and what its client reads.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) message: Cow<'static, str>,
    pub(super) code: &'static str,
}

/// What a selection comes to, its fragments unfolded. Sums stop at the largest number: by then they are too
/// large for anybody.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    depth: u64,
    complexity: u64,
    aliases: u64,
    directives: u64,
    fields: u64,
    introspects: bool,
}

impl Refused {
    pub(super) fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Refused { status: StatusCode::BAD_REQUEST, message: message.into(), code: "BAD_REQUEST" }
    }

    pub(super) fn with(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    fn too_much(what: &str, limit: impl std::fmt::Display) -> Self {
        let message = format!("The query has too much {what}: at most {limit}.");
        Refused { code: "QUERY_TOO_LARGE", ..Refused::new(message) }
    }
}

impl Limits {
    pub(super) fn judge(&self, document: &str, variables: &Map<String, Value>) -> Result<(), Refused> {
        let tree = Parser::new(document).token_limit(self.tokens).recursion_limit(NESTED).parse();
        if let Some(error) = tree.errors().next() {
            if tree.token_limit().high > self.tokens {
                return Err(Refused::too_much("text", format!("{} tokens", self.tokens)));
            }
            let message = format!("The query can't be parsed: {} (at {}).", error.message(), error.index());
            return Err(Refused { code: "GRAPHQL_PARSE_FAILED", ..Refused::new(message) });
        }
        let (mut fragments, mut operations) = (HashMap::new(), Vec::new());
        for definition in tree.document().definitions() {
            match definition {
                Definition::OperationDefinition(operation) => operations.push(operation),
                Definition::FragmentDefinition(fragment) => {
                    let name =
                        fragment.fragment_name().and_then(|it| it.name()).map(|it| it.text().to_string());
                    if fragments.insert(name.unwrap_or_default(), fragment).is_some() {
                        return Err(Refused::new("A fragment is there twice."));
                    }
                }
                other => {
                    let message = format!("A {} is not a query.", other.kind());
                    return Err(Refused::new(message));
                }
            }
        }
        if operations.is_empty() {
            return Err(Refused::new("There is no operation."));
        }
        // Which of them is run does not matter: none asks for too much.
        for operation in &operations {
            let defaults = defaults(operation);
            let known = HashMap::new();
            let mut measure = Measure { limits: self, fragments: &fragments, known, variables, defaults };
            let mut sum = measure.selections(operation.selection_set(), 0)?;
            sum.directives = sum.directives.saturating_add(count(operation.directives()));
            self.compare(&sum)?;
        }
        Ok(())
    }

    fn compare(&self, sum: &Sum) -> Result<(), Refused> {
        for (what, is, limit) in [
            ("depth", sum.depth, self.depth),
            ("complexity", sum.complexity, self.complexity),
            ("aliases", sum.aliases, self.aliases),
            ("directives", sum.directives, self.directives),
            ("root fields", sum.fields, self.root_fields),
        ] {
            if is > limit {
                return Err(Refused::too_much(what, limit));
            }
        }
        if sum.introspects && !self.introspection {
            let message = "Introspection is off: neither `__schema` nor `__type` can be asked for.";
            return Err(Refused { code: "INTROSPECTION_DISABLED", ..Refused::new(message) });
        }
        Ok(())
    }
}

/// One operation that is being measured. Each fragment is measured once, however often it is spread.
struct Measure<'m> {
    limits: &'m Limits,
    fragments: &'m HashMap<String, cst::FragmentDefinition>,
    /// None while it is being measured: a fragment that leads back to itself.
    known: HashMap<String, Option<Sum>>,
    variables: &'m Map<String, Value>,
    /// What variables are that are not given, if that is a number.
    defaults: HashMap<String, u64>,
}

impl Measure<'_> {
    fn selections(&mut self, set: Option<cst::SelectionSet>, level: usize) -> Result<Sum, Refused> {
        let mut sum = Sum::default();
        if level > NESTED {
            return Err(Refused::too_much("depth", self.limits.depth));
        }
        for selection in set.into_iter().flat_map(|set| set.selections()) {
            let (one, directives) = match selection {
                Selection::Field(field) => (self.field(&field, level)?, field.directives()),
                Selection::InlineFragment(fragment) => {
                    (self.selections(fragment.selection_set(), level + 1)?, fragment.directives())
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.fragment_name().and_then(|it| it.name());
                    let name = name.map(|name| name.text().to_string()).unwrap_or_default();
                    (self.fragment(&name, level + 1)?, spread.directives())
                }
            };
            sum.add(&one);
            sum.directives = sum.directives.saturating_add(count(directives));
        }
        Ok(sum)
    }

    fn fragment(&mut self, name: &str, level: usize) -> Result<Sum, Refused> {
        match self.known.get(name) {
            Some(Some(sum)) => return Ok(*sum),
            Some(None) => return Err(Refused::new("A fragment leads back to itself.")),
            None => {}
        }
        let Some(fragment) = self.fragments.get(name) else {
            return Err(Refused::new("A fragment is spread that is not there."));
        };
        self.known.insert(name.to_owned(), None);
        let mut sum = self.selections(fragment.selection_set(), level)?;
        sum.directives = sum.directives.saturating_add(count(fragment.directives()));
        self.known.insert(name.to_owned(), Some(sum));
        Ok(sum)
    }

    fn field(&mut self, field: &cst::Field, level: usize) -> Result<Sum, Refused> {
        let name = field.name().map(|name| name.text().to_string()).unwrap_or_default();
        let within = self.selections(field.selection_set(), level + 1)?;
        let weight = self.limits.weights.get(&name).copied().unwrap_or(1);
        Ok(Sum {
            depth: within.depth.saturating_add(1),
            complexity: within.complexity.saturating_mul(self.times(field)).saturating_add(weight),
            aliases: within.aliases.saturating_add(u64::from(field.alias().is_some())),
            directives: within.directives,
            fields: 1,
            introspects: within.introspects || name == "__schema" || name == "__type",
        })
    }

    /// How often what is selected in a field will be there.
    fn times(&self, field: &cst::Field) -> u64 {
        let arguments = field.arguments().into_iter().flat_map(|all| all.arguments());
        let lists = arguments.filter(|argument| {
            let name = argument.name();
            name.is_some_and(|name| self.limits.lists.iter().any(|known| name.text() == known.as_str()))
        });
        let lengths = lists.filter_map(|argument| match argument.value()? {
            cst::Value::Variable(variable) => {
                let name = variable.name()?.text().to_string();
                match self.variables.get(&name) {
                    Some(value) => value.as_u64().or_else(|| value.as_f64().map(|it| it as u64)),
                    None => self.defaults.get(&name).copied(),
                }
            }
            value => number(&value),
        });
        lengths.fold(1, |times: u64, length| times.saturating_mul(length.max(1)))
    }
}

impl Sum {
    fn add(&mut self, other: &Sum) {
        self.depth = self.depth.max(other.depth);
        self.complexity = self.complexity.saturating_add(other.complexity);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.fields = self.fields.saturating_add(other.fields);
        self.introspects |= other.introspects;
    }
}

fn count(directives: Option<cst::Directives>) -> u64 {
    directives.map_or(0, |all| all.directives().count() as u64)
}

fn defaults(operation: &cst::OperationDefinition) -> HashMap<String, u64> {
    let variables = operation.variable_definitions().into_iter().flat_map(|all| all.variable_definitions());
    let known = variables.filter_map(|it| {
        Some((it.variable()?.name()?.text().to_string(), number(&it.default_value()?.value()?)?))
    });
    known.collect()
}

/// A number that is written there; one that is too large for us is large.
fn number(value: &cst::Value) -> Option<u64> {
    let cst::Value::IntValue(value) = value else { return None };
    let text = value.syntax().text().to_string();
    let text = text.trim();
    (!text.starts_with('-')).then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn limits() -> Limits {
        Limits {
            depth: 4,
            complexity: 40,
            weights: HashMap::from([("search".to_owned(), 20)]),
            lists: vec!["first".to_owned(), "limit".to_owned()],
            aliases: 2,
            directives: 3,
            root_fields: 4,
            tokens: 400,
            introspection: false,
        }
    }

    fn judged(document: &str, variables: Value) -> String {
        let variables = variables.as_object().unwrap().clone();
        limits()
            .judge(document, &variables)
            .map_or_else(|refused| refused.message.into_owned(), |()| "good".into())
    }

    #[test]
    fn what_is_asked_for_is_measured() {
        for (document, said) in [
            ("{ a { b { c { d } } } }", "good"),
            ("{ a { b { c { d { e } } } } }", "depth"),
            ("{ a { ...x } } fragment x on A { b { ...y } } fragment y on B { c { d { e } } }", "depth"),
            ("{ a { ... on A { b { ... { c { d } } } } } }", "good"),
            ("{ posts(first: 10) { title author { name } } }", "good"),
            ("{ posts(first: 10) { title author { name age } } }", "complexity"),
            ("{ posts(first: 99999999999999999999) { a } }", "complexity"),
            ("{ posts(first: -10) { a } }", "good"),
            ("{ posts(first: 5) { comments(limit: 5) { a b } } }", "complexity"),
            ("{ search { a } }", "good"),
            ("{ search x: search }", "good"),
            ("{ search search search }", "complexity"),
            ("{ x: a y: b }", "good"),
            ("{ x: a y: b z: c }", "aliases"),
            ("query @a { b @a c @a }", "good"),
            ("query @a { b @a c @a ... @a { d } }", "directives"),
            ("{ a b c d e }", "root fields"),
            ("{ a ...x ...x } fragment x on Q { b c }", "root fields"),
            ("{ __typename a { __typename } }", "good"),
            ("{ __schema { types { name } } }", "Introspection is off"),
            ("{ a { x: __type(name: \"A\") { name } } }", "Introspection is off"),
            ("query A { a } query B { __schema { a } }", "Introspection is off"),
            ("{ ...x } fragment x on A { a ...y } fragment y on A { b ...x }", "leads back to itself"),
            ("{ ...x }", "not there"),
            ("fragment x on A { a }", "no operation"),
            ("{ a } type A { b: C }", "is not a query"),
            ("{ a", "can't be parsed"),
            ("", "can't be parsed"),
        ] {
            let judged = judged(document, json!({}));
            assert!(judged.contains(said), "{document}: {judged}");
        }
        assert!(judged(&format!("{{ {} }}", "a ".repeat(300)), json!({})).contains("400 tokens"));
        let deep = format!("{}{}", "{a".repeat(10_000), "}".repeat(10_000));
        assert_ne!(judged(&deep, json!({})), "good");
    }

    #[test]
    fn variables_are_looked_up() {
        let document = "query ($n: Int = 50) { posts(first: $n) { a } }";
        assert!(judged(document, json!({})).contains("complexity"));
        assert_eq!(judged(document, json!({ "n": 5 })), "good");
        assert!(judged(document, json!({ "n": 50.0 })).contains("complexity"));
        assert_eq!(judged("query ($n: Int) { posts(first: $n) { a } }", json!({ "n": "5" })), "good");
    }

    #[test]
    fn fragments_that_double_take_no_time() {
        let mut document = "{ ...f0 }".to_owned();
        for n in 0..40 {
            document += &format!(" fragment f{n} on A {{ ...f{} ...f{} }}", n + 1, n + 1);
        }
        document += " fragment f40 on A { a }";
        let limits = Limits { tokens: 5000, ..limits() };
        assert!(limits.judge(&document, &Map::new()).unwrap_err().message.contains("complexity"));
    }
}
