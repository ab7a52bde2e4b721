//! What everything in the contract has to say of itself.

use super::{Contract, Function};

/// What a call costs is one of these; the package's docs say what they mean.
const COSTS: [&str; 5] = ["a crossing", "a copy", "a shared map", "a computation", "waits"];

/// What is not said.
pub(super) fn faults(contract: &Contract) -> Vec<String> {
    let mut faults = Vec::new();
    let mut documented = |what: &str, docs: &str| {
        if docs.is_empty() {
            faults.push(format!("{what} is not documented"));
        }
    };
    documented("the package", &contract.docs);
    for world in &contract.worlds {
        documented(&format!("world {}", world.name), &world.docs);
    }
    for interface in &contract.interfaces {
        let at = &interface.name;
        documented(&format!("interface {at}"), &interface.docs);
        for kind in &interface.types {
            documented(&format!("{at}.{}", kind.name), &kind.docs);
            for part in &kind.parts {
                documented(&format!("{at}.{}: {}", kind.name, part.name), &part.docs);
            }
        }
    }
    for class in COSTS {
        if !contract.docs.contains(&format!("- `{class}`")) {
            faults.push(format!("the package does not say what it means to cost `{class}`"));
        }
    }
    for interface in &contract.interfaces {
        for function in &interface.functions {
            let missing = missing(function).into_iter();
            faults.extend(missing.map(|what| format!("{}.{}: {what}", interface.name, function.name)));
        }
    }
    faults
}

/// What a function does not say.
fn missing(function: &Function) -> Vec<String> {
    let said = Said::of(&function.docs);
    let mut missing = Vec::new();
    if said.about.is_empty() {
        missing.push("what it does is not said".to_owned());
    }
    if !COSTS.contains(&said.cost.as_str()) {
        missing.push(format!("it does not end with `Cost:` and one of {}", COSTS.join(", ")));
    }
    if function.is_optional && !said.about.contains("None:") {
        missing.push("it does not say what none means (`None:`)".to_owned());
    }
    match (&function.fails, said.errors.as_str()) {
        (Some(_), "") => missing.push("it can fail, and lists no `Errors:`".to_owned()),
        (None, "") => {}
        (None, _) => missing.push("it lists `Errors:`, and can't fail".to_owned()),
        (Some(cases), errors) => {
            let listed: Vec<_> = errors.split('`').skip(1).step_by(2).collect();
            let known = |name: &&str| cases.iter().any(|case| case == name);
            if !cases.is_empty() && !listed.iter().any(known) && !errors.contains("those of") {
                missing.push(format!("its `Errors:` are none of {}", cases.join(", ")));
            }
        }
    }
    missing
}

/// The docs of a function, as far as they have a form.
pub(crate) struct Said {
    pub(crate) about: String,
    pub(crate) errors: String,
    pub(crate) cost: String,
}

impl Said {
    pub(crate) fn of(docs: &str) -> Self {
        let docs = docs.replace('\n', " ");
        let (docs, cost) = docs.split_once("Cost: ").unwrap_or((&docs, ""));
        let (about, errors) = docs.split_once("Errors: ").unwrap_or((docs, ""));
        let sentence = |text: &str| text.trim().trim_end_matches('.').to_owned();
        Said { about: about.trim().to_owned(), errors: sentence(errors), cost: sentence(cost) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(item: &str) -> Vec<String> {
        let costs: String = COSTS.iter().map(|class| format!("/// - `{class}`: x\n")).collect();
        let text = format!("{costs}package a:b@0.1.0;\n/// I.\ninterface i {{\n{item}\n}}");
        faults(&Contract::parse([("a.wit".to_owned(), text)]).unwrap())
    }

    #[test]
    fn what_is_not_said_is_missed() {
        const ERROR: &str = "/// E.\nenum e {\n/// C.\nc }";
        let good = [
            "/// Do. Cost: a copy.\nf: func(a: string);".to_owned(),
            "/// Do. None: gone. Cost: waits.\nf: func() -> option<u8>;".to_owned(),
            format!("{ERROR}\n/// Do. Errors: `c`. Cost: a copy.\nf: func() -> result<_, e>;"),
        ];
        for good in good {
            assert_eq!(faults_of(&good), Vec::<String>::new(), "{good}");
        }
        let bad = [
            "f: func();".to_owned(),
            "/// Do.\nf: func();".to_owned(),
            "/// Do. Cost: a lot.\nf: func();".to_owned(),
            "/// Cost: a copy.\nf: func();".to_owned(),
            "/// Do. Cost: a copy.\nf: func() -> option<u8>;".to_owned(),
            "/// Do. Errors: `c`. Cost: a copy.\nf: func();".to_owned(),
            format!("{ERROR}\n/// Do. Cost: a copy.\nf: func() -> result<_, e>;"),
            format!("{ERROR}\n/// Do. Errors: `d`. Cost: a copy.\nf: func() -> result<_, e>;"),
            "enum e {\n/// C.\nc }".to_owned(),
            "/// E.\nenum e { c }".to_owned(),
            "/// E.\nrecord e { c: u8 }".to_owned(),
        ];
        for bad in bad {
            assert!(!faults_of(&bad).is_empty(), "{bad}");
        }
    }
}
