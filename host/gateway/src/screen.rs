//! A line on a terminal that is renewed while something goes on, and gone when that is over.

use std::io::{self, IsTerminal, Write};

/// To the beginning of the line, and nothing on it.
const CLEAR: &str = "\r\x1b[2K";
/// What is too long for the terminal's line is cut off, and not carried over to the next one.
const NO_WRAP: (&str, &str) = ("\x1b[?7l", "\x1b[?7h");

pub struct Line<W: Write> {
    out: W,
    pub is_terminal: bool,
}

impl Line<io::Stderr> {
    /// On standard error, where that is a terminal that understands it.
    pub fn stderr() -> Self {
        let out = io::stderr();
        let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        let is_terminal = out.is_terminal() && !is_dumb;
        Line::new(out, is_terminal)
    }
}

impl<W: Write> Line<W> {
    pub fn new(out: W, is_terminal: bool) -> Self {
        Line { out, is_terminal }
    }

    /// Takes the place of what it said before; where it can't, it stands below that.
    pub fn say(&mut self, text: &str) {
        // That nobody reads it is no reason to stop.
        let _ = match self.is_terminal {
            true => write!(self.out, "{CLEAR}{}{text}{}", NO_WRAP.0, NO_WRAP.1),
            false => writeln!(self.out, "{text}"),
        };
        let _ = self.out.flush();
    }
}

impl<W: Write> Drop for Line<W> {
    fn drop(&mut self) {
        if self.is_terminal {
            let _ = write!(self.out, "{CLEAR}");
            let _ = self.out.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(texts: &[&str], is_terminal: bool) -> String {
        let mut out = Vec::new();
        let mut line = Line::new(&mut out, is_terminal);
        texts.iter().for_each(|text| line.say(text));
        drop(line);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_is_renewed_where_it_can_be() {
        assert_eq!(said(&["one", "two"], false), "one\ntwo\n");
        let (on, off) = NO_WRAP;
        assert_eq!(said(&["one", "two"], true), format!("{CLEAR}{on}one{off}{CLEAR}{on}two{off}{CLEAR}"));
    }
}
