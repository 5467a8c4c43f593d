//! Lists of names on the command line. `,` separates names, `|` separates alternatives, and `=` ends a
//! key. A `\` before one of them makes it part of a name.

/// The characters that `\` escapes. Before any other character, `\` stands for itself.
const SPECIAL: [char; 4] = [',', '=', '|', '\\'];

/// The names of a list.
pub(crate) fn split(list: &str) -> Vec<String> {
    split_at(list, ',')
}

/// The names of a list of alternatives: `A|B`.
pub(crate) fn alternatives(list: &str) -> Vec<String> {
    split_at(list, '|')
}

fn split_at(list: &str, separator: char) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = Some(list);
    while let Some(list) = rest {
        let (name, behind) = cut(list, separator);
        names.push(name);
        rest = behind;
    }
    names
}

/// A key, and the elements that are tried for it in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) key: String,
    pub(crate) elements: Vec<String>,
    /// Whether the elements stand in `counts(…)`.
    pub(crate) counts: bool,
}

impl Choice {
    /// Whether the key is taken from the element of its name.
    pub(crate) fn is_plain(&self) -> bool {
        !self.counts && self.elements == [self.key.as_str()]
    }
}

/// The keys of a list: names, `KEY=A|B` or `KEY=counts(A|B)`. An empty list has no keys.
pub(crate) fn choices(list: &str) -> Result<Vec<Choice>, String> {
    let mut choices = Vec::new();
    let mut rest = Some(list);
    while let Some(list) = rest {
        let end = find(list, ',').unwrap_or(list.len());
        rest = list.get(end + 1..);
        let item = &list[..end];
        if item.is_empty() {
            continue;
        }
        let (key, elements) = cut(item, '=');
        if elements.is_none() && key.starts_with("counts(") && key.ends_with(')') {
            return Err(format!(
                "expected NAME={item}, such as counts={item}, found {item:?}"
            ));
        }
        let Some(elements) = elements else {
            let elements = vec![key.clone()];
            let counts = false;
            choices.push(Choice {
                key,
                elements,
                counts,
            });
            continue;
        };
        let in_counts = elements.strip_prefix("counts(");
        let in_counts = in_counts.and_then(|elements| elements.strip_suffix(')'));
        let elements = alternatives(in_counts.unwrap_or(elements));
        if key.is_empty() || elements.iter().any(String::is_empty) {
            return Err(format!("expected NAME=A|B, found {item:?}"));
        }
        choices.push(Choice {
            key,
            elements,
            counts: in_counts.is_some(),
        });
    }
    Ok(choices)
}

/// A key and the text behind its `=`; `None` if there is no `=`.
pub(crate) fn key_and_value(text: &str) -> Option<(String, String)> {
    let (key, value) = key_and_list(text)?;
    Some((key, name(value)))
}

/// A key and the list behind its `=`; `None` if there is no `=`.
pub(crate) fn key_and_list(text: &str) -> Option<(String, &str)> {
    let (key, list) = cut(text, '=');
    Some((key, list?))
}

/// A single name. It needs no escapes, but may be escaped as in a list.
pub(crate) fn name(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = chars.next_if(|next| c == '\\' && SPECIAL.contains(next));
        name.push(escaped.unwrap_or(c));
    }
    name
}

/// A name as it can be typed.
pub(crate) fn written(name: &str) -> String {
    let mut written = String::with_capacity(name.len());
    for c in name.chars() {
        if SPECIAL.contains(&c) {
            written.push('\\');
        }
        written.push(c);
    }
    written
}

/// The name before the first separator, and the text behind it.
fn cut(text: &str, separator: char) -> (String, Option<&str>) {
    match find(text, separator) {
        Some(at) => (name(&text[..at]), Some(&text[at + separator.len_utf8()..])),
        None => (name(text), None),
    }
}

/// The place of the first separator that is not escaped.
fn find(text: &str, separator: char) -> Option<usize> {
    let mut is_escaped = false;
    text.find(|c| {
        let ends = c == separator && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_may_have_elements_to_try() {
        let of = |key: &str, elements: &[&str], counts| Choice {
            key: key.to_owned(),
            elements: elements.iter().map(|&name| name.to_owned()).collect(),
            counts,
        };
        assert_eq!(
            choices(r"X,m=raw.X|X,n=counts(raw.X|a\,b),c\=d,e\|f").unwrap(),
            [
                of("X", &["X"], false),
                of("m", &["raw.X", "X"], false),
                of("n", &["raw.X", "a,b"], true),
                of("c=d", &["c=d"], false),
                of("e|f", &["e|f"], false),
            ]
        );
        assert_eq!(choices("").unwrap(), []);
        assert_eq!(choices("a|b").unwrap(), [of("a|b", &["a|b"], false)]);
        for wrong in ["=a", "a=", "a=b|", "a=counts()"] {
            assert!(choices(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn backslash_makes_a_separator_part_of_a_name() {
        let cases: [(&str, &[&str]); 8] = [
            ("a,b", &["a", "b"]),
            ("age\\, years,b", &["age, years", "b"]),
            ("a\\\\,b", &["a\\", "b"]),
            ("a\\=b\\|c", &["a=b|c"]),
            ("a\\b\\", &["a\\b\\"]),
            ("", &[""]),
            ("a,,b,", &["a", "", "b", ""]),
            ("é\\,漢,ü", &["é,漢", "ü"]),
        ];
        for (list, names) in cases {
            assert_eq!(split(list), names, "{list}");
        }
    }

    #[test]
    fn names_can_all_be_typed() {
        let names = [
            "a", "a,b", "a=b", "\\", "\\,", "a\\\\=|", "x\\y", ",", "é\\",
        ];
        for name in names {
            assert_eq!(super::name(&written(name)), name);
            assert_eq!(split(&written(name)), [name]);
        }
        let list: Vec<String> = names.map(written).to_vec();
        assert_eq!(split(&list.join(",")), names);
    }

    #[test]
    fn key_ends_at_the_first_equals_sign() {
        let of = |key: &str, value: &str| Some((key.to_owned(), value.to_owned()));
        assert_eq!(key_and_value("a=b=c"), of("a", "b=c"));
        assert_eq!(key_and_value("a\\=b=c"), of("a=b", "c"));
        assert_eq!(key_and_value("a\\\\=c"), of("a\\", "c"));
        assert_eq!(key_and_value("a\\=b"), None);
    }
}
