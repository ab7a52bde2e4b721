//! Bodies of the type multipart/form-data (RFC 7578).

/// The most parts of one body.
const MOST: usize = 1000;

/// One part.
pub(super) struct Part<'b> {
    pub(super) name: String,
    /// Whether it has the name of a file.
    pub(super) is_file: bool,
    pub(super) content_type: Option<&'b str>,
    pub(super) content: &'b [u8],
}

pub(super) fn parts<'b>(content_type: &str, body: &'b [u8]) -> Result<Vec<Part<'b>>, String> {
    let boundary = parameter(content_type, "boundary").filter(|it| !it.is_empty() && it.len() <= 70);
    let Some(boundary) = boundary else { return Err("its Content-Type has no `boundary`".to_owned()) };
    let delimiter = format!("\r\n--{boundary}");
    let cut_off = || "it has no end".to_owned();
    // The first delimiter may stand at the very beginning.
    let mut rest = match body.strip_prefix(delimiter.trim_start().as_bytes()) {
        Some(rest) => rest,
        None => split(body, delimiter.as_bytes()).ok_or_else(cut_off)?.1,
    };
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        // Spaces may follow the delimiter (RFC 2046, section 5.1.1).
        let (_, after) = split(rest, b"\r\n").ok_or_else(cut_off)?;
        let (part, next) = split(after, delimiter.as_bytes()).ok_or_else(cut_off)?;
        parts.push(read(part)?);
        if parts.len() > MOST {
            return Err(format!("it has more than {MOST} parts"));
        }
        rest = next;
    }
    Ok(parts)
}

fn read(part: &[u8]) -> Result<Part<'_>, String> {
    let (head, content) = match part.strip_prefix(b"\r\n") {
        Some(content) => (&b""[..], content),
        None => split(part, b"\r\n\r\n").ok_or_else(|| "a part of it has no head".to_owned())?,
    };
    let head = std::str::from_utf8(head).map_err(|_| "the head of a part is not UTF-8".to_owned())?;
    let header = |wanted: &str| {
        let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
        let mut own = lines.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        own.next().map(|(_, value)| value.trim())
    };
    let disposition = header("content-disposition").unwrap_or_default();
    let name = parameter(disposition, "name").ok_or_else(|| "a part of it has no name".to_owned())?;
    let is_file = parameter(disposition, "filename").is_some() || disposition.contains("filename*=");
    Ok(Part { name, is_file, content_type: header("content-type"), content })
}

/// A parameter of a header's value, with or without quotes.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (text, next) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                let (text, next) = after.split_once(';').unwrap_or((after, ""));
                (text.trim().to_owned(), next)
            }
        };
        if name.trim_matches([' ', '\t', ';']).eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
        rest = next;
    }
}

/// What stands up to the closing quote, and what follows.
fn quoted_text(quoted: &str) -> Option<(String, &str)> {
    let (mut text, mut chars) = (String::new(), quoted.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((text, quoted.get(at + 1..)?)),
            '\\' => text.push(chars.next()?.1),
            c => text.push(c),
        }
    }
    None
}

fn split<'b>(bytes: &'b [u8], by: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = bytes.windows(by.len()).position(|window| window == by)?;
    Some((bytes.get(..at)?, bytes.get(at + by.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_names_types_and_contents() {
        let body = b"preamble\r\n--x y\r\nContent-Disposition: form-data; name=\"a\\\"b\"\r\n\r\none\r\n--x y  \r\n\
            content-disposition: form-data; filename=\"f;g.png\"; name=file\r\nContent-Type: image/png\r\n\r\n\r\n\x00--x\r\n--x y--";
        let parts = parts("multipart/form-data; charset=utf-8; boundary=\"x y\"", body).unwrap();
        let told: Vec<_> =
            parts.iter().map(|it| (&*it.name, it.is_file, it.content_type, it.content)).collect();
        assert_eq!(
            told,
            [("a\"b", false, None, &b"one"[..]), ("file", true, Some("image/png"), &b"\r\n\x00--x"[..]),]
        );
    }

    #[test]
    fn what_is_broken_is_told() {
        let wrong = |content_type: &str, body: &[u8]| parts(content_type, body).err().unwrap();
        assert!(wrong("multipart/form-data", b"").contains("boundary"));
        let whole = b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--";
        for length in 0..whole.len() - 2 {
            wrong("multipart/form-data; boundary=b", &whole[..length]);
        }
        assert_eq!(parts("multipart/form-data; boundary=b", whole).unwrap().len(), 1);
        assert!(
            wrong("multipart/form-data; boundary=b", b"--b\r\nX: y\r\n\r\n1\r\n--b--").contains("no name")
        );
    }
}
