//! Whether a contract keeps what one that was released has promised.

use std::collections::BTreeSet;

use super::{Contract, Type};

const WHAT_TO_DO: &str = "0.1.x only adds functions and interfaces, for components that were built before \
                          have to load for ever: put the new beside the old, or begin the next version of the \
                          package and keep this one";

/// What is not as it was, and what was added where nothing may be.
pub(super) fn faults(released: &Contract, now: &Contract) -> Vec<String> {
    let mut faults = Vec::new();
    if line(&released.name) != line(&now.name) {
        faults.push(format!("the package is `{}`, and what was released is `{}`", now.name, released.name));
    }
    let exported = released.exported();
    for then in &released.interfaces {
        let at = &then.name;
        let Some(interface) = now.interfaces.iter().find(|interface| interface.name == *at) else {
            faults.push(format!("interface `{at}` is gone"));
            continue;
        };
        for was in &then.types {
            match interface.types.iter().find(|known| known.name == was.name) {
                None => faults.push(format!("type `{at}.{}` is gone", was.name)),
                Some(is) if shape(is) != shape(was) => {
                    faults.push(format!("type `{at}.{}` is {}, and was {}", was.name, shape(is), shape(was)));
                }
                Some(_) => {}
            }
        }
        for was in &then.functions {
            match interface.functions.iter().find(|known| known.name == was.name) {
                None => faults.push(format!("function `{at}.{}` is gone", was.name)),
                Some(is) if is.signature != was.signature => faults.push(format!(
                    "function `{at}.{}` is `{}`, and was `{}`",
                    was.name, is.signature, was.signature
                )),
                Some(_) => {}
            }
        }
        if exported.contains(at.as_str()) {
            let known: BTreeSet<_> = then.functions.iter().map(|function| &function.name).collect();
            let new = interface.functions.iter().filter(|function| !known.contains(&function.name));
            faults.extend(
                new.map(|new| format!("function `{at}.{}` is new, where components export all", new.name)),
            );
        }
    }
    for was in &released.worlds {
        let at = &was.name;
        let Some(world) = now.worlds.iter().find(|world| world.name == *at) else {
            faults.push(format!("world `{at}` is gone"));
            continue;
        };
        let gone = was.imports.difference(&world.imports);
        faults.extend(gone.map(|import| format!("world `{at}` imports `{import}` no more")));
        let other = was.exports.symmetric_difference(&world.exports);
        faults.extend(other.map(|export| format!("world `{at}` has other exports: `{export}`")));
    }
    if !faults.is_empty() {
        faults.push(format!("hint: {WHAT_TO_DO}"));
    }
    faults
}

/// Versions that components can't tell apart: `0.1` of `0.1.2`.
fn line(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(line, _)| line)
}

fn shape(of: &Type) -> String {
    let parts = of.parts.iter().map(|part| match part.of.as_str() {
        "" => part.name.clone(),
        inner => format!("{}: {inner}", part.name),
    });
    format!("`{} {{ {} }}`", of.kind, parts.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: &str = "package a:b@0.1.0;
        interface t { enum e { one, two } record r { x: u8, y: option<string> } variant v { a, b(u8) } }
        interface i { use t.{e, r}; f: func(a: e) -> result<r, e>; g: func(); resource s { m: func(); } }
        interface hook { h: func(); }
        world imports { import i; }
        world on { export hook; }";

    fn faults_of(from: &str, to: &str) -> Vec<String> {
        assert!(THEN.contains(from), "{from}");
        let parse = |text: &str| Contract::parse([("a.wit".to_owned(), text.to_owned())]).unwrap();
        faults(&parse(THEN), &parse(&THEN.replace(from, to)))
    }

    #[test]
    fn what_was_released_stays() {
        for (from, to, said) in [
            ("one, two", "one, two, three", "type `t.e`"),
            ("one, two", "two, one", "type `t.e`"),
            ("x: u8", "x: u16", "type `t.r`"),
            ("x: u8,", "x: u8, z: u8,", "type `t.r`"),
            ("b(u8)", "b", "type `t.v`"),
            ("f: func(a: e)", "f: func(b: e)", "function `i.f`"),
            ("-> result<r, e>", "-> result<r, r>", "function `i.f`"),
            ("g: func();", "", "function `i.g` is gone"),
            ("m: func();", "m: func(x: u8);", "function `i.s.m`"),
            ("h: func();", "h: func(); k: func();", "function `hook.k` is new"),
            ("world imports { import i; }", "world imports { }", "imports `i` no more"),
            ("world on { export hook; }", "", "world `on` is gone"),
            ("export hook;", "export hook; export i;", "other exports: `i`"),
            ("@0.1.0", "@0.2.0", "the package is `a:b@0.2.0`"),
        ] {
            let faults = faults_of(from, to);
            assert!(faults.iter().any(|fault| fault.contains(said)), "{to}: {faults:?}");
            assert!(faults.last().is_some_and(|last| last.starts_with("hint: ")), "{faults:?}");
        }
    }

    #[test]
    fn functions_interfaces_and_docs_are_added() {
        for (from, to) in [
            ("g: func();", "/// New docs.\n g: func(); new: func() -> r;"),
            ("interface hook", "interface other { h: func(); } interface hook"),
            ("import i;", "import i; import t;"),
            ("m: func();", "m: func(); n: func();"),
            ("@0.1.0", "@0.1.1"),
        ] {
            assert_eq!(faults_of(from, to), Vec::<String>::new(), "{to}");
        }
    }
}
