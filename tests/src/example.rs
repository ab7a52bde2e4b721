//! The folders of `examples/`, made to run in a test: ports and upstreams of the test's own.

use crate::gateway::{Gateway, Setup};
use crate::guests::target;
use crate::origin::Origin;
use std::path::{Path, PathBuf};

/// A folder of `examples/`.
pub struct Example {
    pub name: String,
    /// Its `limen.toml`, as readers see it.
    pub config: String,
    dir: PathBuf,
}

/// The origin's address in every example.
const ORIGIN: &str = "http://127.0.0.1:9000";
/// Where components are, as every example writes it.
const TARGET: &str = "../../target/";

impl Example {
    /// All of them.
    pub fn all() -> Vec<Example> {
        let folders = std::fs::read_dir(examples()).unwrap();
        let folders = folders.map(|it| it.unwrap()).filter(|it| it.file_type().unwrap().is_dir());
        folders.map(|it| Example::named(it.file_name().to_str().unwrap())).collect()
    }

    pub fn named(name: &str) -> Example {
        let dir = examples().join(name);
        let config = std::fs::read_to_string(dir.join("limen.toml"));
        let config = config.unwrap_or_else(|error| panic!("examples/{name}/limen.toml: {error}"));
        Example { name: name.to_owned(), config, dir }
    }

    /// Its README.
    pub fn readme(&self) -> String {
        let text = std::fs::read_to_string(self.dir.join("README.md"));
        text.unwrap_or_else(|error| panic!("examples/{}/README.md: {error}", self.name))
    }

    /// Whether policies are what it is about.
    pub fn has_policies(&self) -> bool {
        self.config.lines().any(|line| line.trim_start().starts_with("policies"))
    }

    /// The same example with every route's `policies` taken out: its test should fail on this.
    pub fn without_policies(mut self) -> Example {
        let mut inside = false;
        let keep = |line: &&str| {
            inside |= line.trim_start().starts_with("policies");
            let taken_out = inside;
            inside &= !line.split('#').next().unwrap_or_default().trim_end().ends_with(']');
            !taken_out
        };
        self.config = self.config.lines().filter(keep).collect::<Vec<_>>().join("\n");
        self
    }

    /// Ready to start in front of this origin, in a folder of its own, its listeners on port 0.
    pub fn with(&self, origin: &Origin) -> Setup {
        let mut setup = Gateway::with(self.runnable(origin));
        for (path, content) in files(&self.dir, Path::new("")) {
            if path != Path::new("limen.toml") {
                setup = setup.file(path.to_str().unwrap(), content);
            }
        }
        setup
    }

    fn runnable(&self, origin: &Origin) -> String {
        let target = format!("{}/", target().display());
        let config = self.config.replace(ORIGIN, &origin.to_string()).replace(TARGET, &target);
        config.lines().map(on_port_0).collect::<Vec<_>>().join("\n")
    }
}

/// `address = "127.0.0.1:8080"` with port 0.
fn on_port_0(line: &str) -> String {
    match line.rsplit_once(':') {
        Some((address, _)) if line.trim_start().starts_with("address") => format!("{address}:0\""),
        _ => line.to_owned(),
    }
}

fn files(dir: &Path, below: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).unwrap().map(|it| it.unwrap()) {
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path(), &path));
        } else {
            found.push((path, std::fs::read(entry.path()).unwrap()));
        }
    }
    found
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_taken_out_over_several_lines() {
        let config = "a = 1\npolicies = [\n  \"x\",\n  { use = \"y\", with = { z = [1] } },\n]  # so\nb = 2"
            .to_owned();
        let example = Example { name: String::new(), config, dir: PathBuf::new() };
        assert_eq!(example.without_policies().config, "a = 1\nb = 2");
    }

    #[test]
    fn an_address_loses_its_port() {
        assert_eq!(on_port_0(r#"address = "127.0.0.1:8080""#), r#"address = "127.0.0.1:0""#);
        assert_eq!(on_port_0(r#"name = "a:1""#), r#"name = "a:1""#);
    }
}
