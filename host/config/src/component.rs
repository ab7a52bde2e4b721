//! `component` of a plugin

use std::fmt;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::registry::RegistryName;

/// Where a plugin's component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// A file.
    File(PathBuf),
    /// A file of `plugin_folder`, which is taken when it was left alone for a moment.
    Found(PathBuf),
    /// In an OCI image layout, which is a folder.
    Layout { folder: PathBuf, which: Which },
    /// In an OCI registry.
    Registry(Reference),
}

/// Something in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub registry: RegistryName,
    /// Such as `policies/region`.
    pub repository: String,
    /// In a configuration always one with a digest.
    pub which: Which,
}

/// Which of all that a layout or a repository holds. With a digest, the tag is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Which {
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

/// Why a text names no component.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAComponent {
    pub message: String,
    pub expected: &'static str,
    pub hint: Option<String>,
}

const LAYOUT: &str = "oci-layout:";
const REGISTRY: &str = "oci://";
const IN_LAYOUT: &str = "a layout like \"oci-layout:dist/region\", \"oci-layout:dist/region:1.0\" or \
                         \"oci-layout:dist/region@sha256:...\"";
const IN_REGISTRY: &str = "a reference like \"oci://registry.example.com/policies/region@sha256:...\"";
/// As the distribution specification says.
const LONGEST_REPOSITORY: usize = 255;

impl Component {
    /// What a text means, its paths relative to a folder.
    pub fn parse(text: &str, folder: &Path) -> Result<Component, NotAComponent> {
        if let Some(rest) = text.strip_prefix(LAYOUT) {
            return layout(rest, folder).map_err(|what| NotAComponent::new(what, IN_LAYOUT, None));
        }
        if let Some(rest) = text.strip_prefix(REGISTRY) {
            let reference = Reference::parse(rest);
            let reference = reference.map_err(|what| NotAComponent::new(what, IN_REGISTRY, None))?;
            return Ok(Component::Registry(reference));
        }
        for (scheme, hint) in [
            ("docker://", "did you mean \"oci://...\"?"),
            ("oci:", "\"oci-layout:...\" is a layout on disk, \"oci://...\" a registry"),
            ("http://", "a component comes from a file, a layout on disk or a registry"),
            ("https://", "a component comes from a file, a layout on disk or a registry"),
        ] {
            if text.starts_with(scheme) {
                let what = format!("not a place of components: `{scheme}`");
                return Err(NotAComponent::new(
                    what,
                    "a file's path, \"oci-layout:...\" or \"oci://...\"",
                    Some(hint),
                ));
            }
        }
        if text.is_empty() || text.contains('\0') {
            return Err(NotAComponent::new("not a path".to_owned(), "the path of a file", None));
        }
        Ok(Component::File(folder.join(text)))
    }

    /// What people call it: the name of its file without the ending, of its layout, of its repository.
    pub fn short_name(&self) -> Option<&str> {
        match self {
            Component::File(path) | Component::Found(path) => path.file_stem()?.to_str(),
            Component::Layout { folder, .. } => folder.file_name()?.to_str(),
            Component::Registry(reference) => reference.repository.rsplit('/').next(),
        }
    }

    /// Where it is, for messages: without the digest, which is long.
    pub fn place(&self) -> String {
        match self {
            Component::Registry(reference) => {
                let which = Which { digest: None, ..reference.which.clone() };
                Component::Registry(Reference { which, ..reference.clone() }).to_string()
            }
            component => component.to_string(),
        }
    }

    pub fn file(&self) -> Option<&Path> {
        match self {
            Component::File(path) | Component::Found(path) => Some(path),
            Component::Layout { .. } | Component::Registry(_) => None,
        }
    }
}

impl Reference {
    fn parse(text: &str) -> Result<Reference, String> {
        let Some((registry, rest)) = text.split_once('/') else {
            return Err(format!("no repository: `{REGISTRY}{text}`"));
        };
        let (repository, which) = Which::split(rest)?;
        let registry =
            RegistryName::parse(registry).ok_or_else(|| format!("not a registry: `{registry}`"))?;
        if repository.len() > LONGEST_REPOSITORY || !repository.split('/').all(is_component_of_name) {
            return Err(format!("not a repository: `{repository}`"));
        }
        if which == (Which { tag: None, digest: None }) {
            return Err("neither a digest nor a tag".to_owned());
        }
        Ok(Reference { registry, repository: repository.to_owned(), which })
    }
}

fn layout(text: &str, folder: &Path) -> Result<Component, String> {
    let (path, which) = Which::split(text)?;
    if path.is_empty() || path.contains('\0') {
        return Err("no path".to_owned());
    }
    Ok(Component::Layout { folder: folder.join(path), which })
}

impl Which {
    /// `NAME`, `NAME:TAG`, `NAME@sha256:...` or `NAME:TAG@sha256:...`.
    fn split(text: &str) -> Result<(&str, Which), String> {
        // A path may have an `@` in a folder's name.
        let (rest, digest) = match text.rsplit_once('@').filter(|(_, last)| !last.contains('/')) {
            None => (text, None),
            Some((rest, digest)) => {
                let known = Digest::parse(digest);
                (rest, Some(known.ok_or_else(|| format!("not a digest: `{digest}`"))?))
            }
        };
        let (name, tag) = match rest.rsplit_once(':').filter(|(_, last)| !last.contains('/')) {
            None => (rest, None),
            Some((_, tag)) if !is_tag(tag) => return Err(format!("not a tag: `{tag}`")),
            Some((name, tag)) => (name, Some(tag.to_owned())),
        };
        Ok((name, Which { tag, digest }))
    }
}

fn is_tag(text: &str) -> bool {
    let first = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(first)
        && text.bytes().all(|b| first(b) || b == b'.' || b == b'-')
}

/// Between two slashes of a repository's name: words of small letters and digits, between two of them one `.`,
/// one or two `_`, or any number of `-`.
fn is_component_of_name(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().next_back()];
    let between = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let separates = |it: &str| matches!(it, "" | "." | "_" | "__") || it.bytes().all(|b| b == b'-');
    ends.iter().all(|end| end.is_some_and(is_word)) && { between }.all(separates)
}

impl NotAComponent {
    fn new(message: String, expected: &'static str, hint: Option<&str>) -> Self {
        NotAComponent { message, expected, hint: hint.map(str::to_owned) }
    }
}

impl fmt::Display for NotAComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; expected: {}", self.message, self.expected)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

/// As it could be written in a configuration.
impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Component::File(path) | Component::Found(path) => path.display().fmt(f),
            Component::Layout { folder, which } => write!(f, "{LAYOUT}{}{which}", folder.display()),
            Component::Registry(reference) => write!(f, "{REGISTRY}{reference}"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.registry, self.repository, self.which)
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Which { tag, digest } = self;
        tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> Result<Component, NotAComponent> {
        Component::parse(text, Path::new(""))
    }

    #[test]
    fn what_is_written_is_what_is_meant() {
        for text in [
            "region.wasm".to_owned(),
            "a:b/c@d/region.wasm".to_owned(),
            "oci-layout:dist/region".to_owned(),
            "oci-layout:/dist/@team:x/region:1.0_a-b".to_owned(),
            format!("oci-layout:dist@{DIGEST}"),
            format!("oci://registry.example.com/region@{DIGEST}"),
            format!("oci://localhost:5000/a/b__c/d-e.f---g:1@{DIGEST}"),
            format!("oci://[::1]:5000/a@{DIGEST}"),
            "oci://127.0.0.1/a/b:latest".to_owned(),
        ] {
            assert_eq!(parse(&text).map(|it| it.to_string()), Ok(text));
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "a\0b",
            "docker://x/y:1",
            "https://example.com/region.wasm",
            "oci:dist/region:1",
            "oci-layout:",
            "oci-layout::tag",
            "oci-layout:dist@sha256:12",
            "oci-layout:dist@sha512:12",
            "oci-layout:dist:-",
            "oci://",
            "oci://registry.example.com",
            "oci://registry.example.com/",
            "oci://registry.example.com/a",
            "oci:///a:1",
            "oci://registry.example.com/A:1",
            "oci://registry.example.com/a//b:1",
            "oci://registry.example.com/../a:1",
            "oci://registry.example.com/a..b:1",
            "oci://registry.example.com/a___b:1",
            "oci://registry.example.com/a?b=c:1",
            "oci://user:pw@registry.example.com/a:1",
            "oci://registry.example.com:0/a:1",
            "oci://registry.example.com:70000/a:1",
            "oci://exa mple/a:1",
        ] {
            assert!(parse(text).is_err(), "{text}: {:?}", parse(text));
        }
        let upper = DIGEST.to_uppercase().replace("SHA256", "sha256");
        assert!(parse(&format!("oci-layout:dist@{upper}")).is_err());
        assert!(parse(&format!("oci://example.com/{}:1", "a".repeat(256))).is_err());
        assert!(parse(&format!("oci://example.com/a:{}", "a".repeat(129))).is_err());
    }

    /// Whatever is taken is taken again as it is shown, and means the same.
    #[test]
    fn odd_ones_mean_one_thing_or_nothing() {
        let good = [
            format!("oci-layout:dist/@team/region:1.0@{DIGEST}"),
            format!("oci://localhost:5000/policies/region:1.0@{DIGEST}"),
        ];
        let bytes = [b'/', b':', b'@', b'.', b'-', b'_', b' ', b'A', b'0', b'[', b'%', b'\n', 0];
        for text in &good {
            for at in 0..text.len() {
                let (before, after) = text.split_at(at);
                let changed = bytes.iter().flat_map(|byte| {
                    let byte = char::from(*byte);
                    [format!("{before}{byte}{after}"), format!("{before}{byte}{}", &after[1..])]
                });
                for odd in changed.chain([before.to_owned(), after.to_owned(), format!("{text}{after}")]) {
                    if let Ok(component) = parse(&odd) {
                        assert_eq!(parse(&component.to_string()).as_ref(), Ok(&component), "{odd}");
                    }
                }
            }
        }
    }
}
