//! What the manual promises, and the tests that show it.

use super::sources::read;
use crate::Outcome;
use crate::process::root;

const MANUAL: &str = "sdk/README.md";

/// Whether each promise names a test, and all of them are there.
pub(super) fn are_tested() -> Outcome {
    let manual = read(MANUAL)?;
    let (_, promises) =
        manual.split_once("\n## What you are promised\n").ok_or("the manual promises nothing")?;
    let promises = promises.split("\n## ").next().unwrap_or_default();
    for promise in promises.split("\n- ").skip(1) {
        let tests: Vec<&str> =
            promise.split('`').filter(|code| code.contains("::") && !code.contains("limen::")).collect();
        let said = promise.lines().next().unwrap_or_default();
        if tests.is_empty() {
            return Err(format!("{MANUAL}: no test is named for: {said}"));
        }
        tests.into_iter().try_for_each(is_there)?;
    }
    Ok(())
}

/// `naughty::name`, in `tests/it`.
fn is_there(test: &str) -> Outcome {
    let mut path: Vec<&str> = test.split("::").collect();
    let name = path.pop().unwrap_or_default();
    let file = format!("tests/it/{}.rs", path.join("/"));
    let text = if root().join(&file).is_file() { read(&file)? } else { String::new() };
    match text.contains(&format!("fn {name}(")) {
        true => Ok(()),
        false => Err(format!("{MANUAL} names the test `{test}`, and {file} has none of this name")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn tests_that_the_manual_names_are_there() {
        super::are_tested().unwrap();
        assert!(super::is_there("naughty::no_such_test").is_err());
        assert!(super::is_there("no_such_file::x").is_err());
    }
}
