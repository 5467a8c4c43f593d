//! Shows untrusted text on a terminal. Names, labels and paths of files may hold characters that a
//! terminal obeys, or that hide or reverse other text.

use std::borrow::Cow;
use std::fmt::Write;
use std::io;

use serde_json::ser::{CompactFormatter, Formatter};

/// Whether a character acts instead of being shown: controls, direction marks, zero-width
/// characters and line separators.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// A text on one line. Such characters are written as in Python: `\n`, `\x1b`, `\u202e`.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    escape_but(text, |_| false)
}

/// The same for a text of several lines.
pub(crate) fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_but(text, |c| c == '\n')
}

fn escape_but(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let acts = |c| is_unsafe(c) && !keep(c);
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        // Writing to a string does not fail.
        let _ = match c {
            c if !acts(c) => out.write_char(c),
            '\t' => out.write_str("\\t"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            c if u32::from(c) < 0x100 => write!(out, "\\x{:02x}", u32::from(c)),
            c => write!(out, "\\u{:04x}", u32::from(c)),
        };
    }
    Cow::Owned(out)
}

/// JSON on one line, with such characters escaped as well: `serde_json` escapes only the first 32.
pub(crate) struct SafeJson;

impl Formatter for SafeJson {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unsafe) {
            let (before, from) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, before)?;
            let mut chars = from.chars();
            if let Some(c) = chars.next() {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
            rest = chars.as_str();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let cases = [
            ("plain é 漢 ✓ a\\b", "plain é 漢 ✓ a\\b"),
            ("\x1b[2J", "\\x1b[2J"),
            ("a\tb\nc\rd", "a\\tb\\nc\\rd"),
            ("\0\x07\x7f", "\\x00\\x07\\x7f"),
            ("\u{9b}31m\u{85}", "\\x9b31m\\x85"),
            ("\u{202e}abc\u{2066}", "\\u202eabc\\u2066"),
            ("a\u{200b}b\u{2028}\u{feff}", "a\\u200bb\\u2028\\ufeff"),
        ];
        for (text, expected) in cases {
            assert_eq!(escape(text), expected);
        }
        assert_eq!(escape_lines("a\nb\x1b"), "a\nb\\x1b");
    }

    #[test]
    fn json_reads_back_and_acts_on_nothing() {
        let text = "a\"\\\n\x1b\x7f\u{9b}\u{202e}\u{2028}é漢";
        let mut out = Vec::new();
        let mut to = serde_json::Serializer::with_formatter(&mut out, SafeJson);
        text.serialize(&mut to).unwrap();
        let json = String::from_utf8(out).unwrap();
        assert_eq!(json, r#""a\"\\\n\u001b\u007f\u009b\u202e\u2028é漢""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
