//! Text of strangers within a line: quoted, and nothing in it that ends the line, the quotes, or what a
//! terminal would obey.

/// Appends `text` in quotes, as JSON writes strings; text lines do the same.
pub fn quote(text: &[u8], line: &mut Vec<u8>) {
    line.push(b'"');
    // Most values have nothing to escape.
    if text.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
        line.extend_from_slice(text);
    } else {
        String::from_utf8_lossy(text).chars().for_each(|character| escape(character, line));
    }
    line.push(b'"');
}

fn escape(character: char, line: &mut Vec<u8>) {
    match character {
        '"' | '\\' => line.extend_from_slice(&[b'\\', character as u8]),
        '\n' => line.extend_from_slice(b"\\n"),
        '\r' => line.extend_from_slice(b"\\r"),
        '\t' => line.extend_from_slice(b"\\t"),
        // Control characters, line separators, and what turns the direction of writing.
        '\0'..='\x1f'
        | '\x7f'..='\u{9f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}' => line.extend_from_slice(format!("\\u{:04x}", character as u32).as_bytes()),
        other => line.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Appends a number.
pub fn number(mut number: u64, line: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    line.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &[u8]) -> String {
        let mut line = Vec::new();
        quote(text, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn nothing_ends_a_line_or_its_quotes() {
        assert_eq!(quoted(b"plain text"), r#""plain text""#);
        assert_eq!(quoted(b"a\"b\\c\nd\re\x1b[31m\x00\x7f"), r#""a\"b\\c\nd\re\u001b[31m\u0000\u007f""#);
        assert_eq!(quoted("é\u{85}\u{2028}\u{202e}x".as_bytes()), r#""é\u0085\u2028\u202ex""#);
        let odd: Vec<u8> = (0..=255).collect();
        let read: String = serde_json::from_str(&quoted(&odd)).unwrap();
        assert_eq!(read, String::from_utf8_lossy(&odd));
    }

    #[test]
    fn numbers_are_written_in_full() {
        for value in [0, 7, 10, 1_234_567_890, u64::MAX] {
            let mut line = Vec::new();
            number(value, &mut line);
            assert_eq!(String::from_utf8(line).unwrap(), value.to_string());
        }
    }
}
