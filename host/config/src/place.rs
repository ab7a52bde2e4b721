//! Where something stands in a file.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A place in a configuration file; shown as `limen.toml:14:1`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file, as the user would name it.
    pub file: Arc<Path>,
    /// Counted from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// In characters, counted from 1; 0 when the file as a whole is meant.
    pub column: u32,
    /// What stands there, like `route[2].policies[0].use`; may be empty.
    pub key: String,
    /// The file's whole text, shared by all its places.
    pub(crate) text: Arc<str>,
    /// The bytes of `text` that are meant.
    pub(crate) span: Range<usize>,
    /// Which of the files that were read, counted from the main one.
    pub(crate) order: usize,
}

impl Place {
    /// A file as a whole, for mistakes that have no line: it can't be read, something is absent.
    pub fn file(path: impl AsRef<Path>) -> Place {
        Place {
            file: Arc::from(path.as_ref()),
            line: 0,
            column: 0,
            key: String::new(),
            text: Arc::from(""),
            span: 0..0,
            order: 0,
        }
    }

    /// The line's text and the bytes within it that are meant, cut where the line ends.
    pub(crate) fn line_text(&self) -> Option<(&str, Range<usize>)> {
        if self.line == 0 {
            return None;
        }
        let before = self.text.get(..self.span.start)?;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text.get(start..)?.split('\n').next()?.trim_end_matches('\r');
        let from = (self.span.start - start).min(line.len());
        let to = self.span.end.saturating_sub(start).clamp(from, line.len());
        Some((line, from..to))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}
