//! The findings of a comparison.

use std::fmt;

use serde_json::{Value, json};

/// A place where the readers differ.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) file: String,
    pub(crate) element: String,
    /// The kind of difference: shape, attribute NAME, element.
    pub(crate) what: String,
    /// The number of the element, row-major, if elements differ.
    pub(crate) index: Option<u64>,
    /// The value of our reader.
    pub(crate) ours: String,
    /// The value of the other reader.
    pub(crate) other: String,
}

/// A place that one or both readers refuse, and why.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) file: String,
    pub(crate) element: String,
    pub(crate) reason: String,
}

/// Damaged files that were not compared.
#[derive(Debug, Default)]
pub(crate) struct Mutants {
    /// Files whose process ended early: by a signal, or for want of memory.
    pub(crate) died: u64,
    /// Files whose process took too long.
    pub(crate) hung: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The name of the other reader.
    pub(crate) other_name: &'static str,
    pub(crate) files: u64,
    pub(crate) groups: u64,
    pub(crate) attributes: u64,
    /// The number of arrays of which all elements were compared.
    pub(crate) arrays: u64,
    /// The bytes of numbers and texts that were compared.
    pub(crate) bytes: u64,
    pub(crate) different: Vec<Difference>,
    /// Places that our reader refuses as valid but not supported.
    pub(crate) refused: Vec<Unread>,
    /// Places where there is nothing to compare with.
    pub(crate) not_judged: Vec<Unread>,
    /// Only for damaged files.
    pub(crate) mutants: Option<Mutants>,
}

impl Report {
    pub(crate) fn new(other_name: &'static str) -> Report {
        Report {
            other_name,
            ..Report::default()
        }
    }

    pub(crate) fn differences(&self) -> usize {
        self.different.len()
    }

    /// Adds the findings of another process, in the form of [`to_json`](Self::to_json). Leaves out the places that it
    /// did not read.
    pub(crate) fn add(&mut self, other: &Value) {
        let number = |key: &str| other[key].as_u64().unwrap_or_default();
        self.groups += number("groups");
        self.attributes += number("attributes");
        self.arrays += number("arrays");
        self.bytes += number("bytes");
        let text = |at: &Value, key: &str| at[key].as_str().unwrap_or_default().to_owned();
        for at in other["different"].as_array().into_iter().flatten() {
            self.different.push(Difference {
                file: text(at, "file"),
                element: text(at, "element"),
                what: text(at, "what"),
                index: at["index"].as_u64(),
                ours: text(at, "ours"),
                other: text(at, "other"),
            });
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let unread = |list: &[Unread]| -> Vec<Value> {
            let one =
                |at: &Unread| json!({"file": at.file, "element": at.element, "reason": at.reason});
            list.iter().map(one).collect()
        };
        let difference = |at: &Difference| {
            json!({
                "file": at.file,
                "element": at.element,
                "what": at.what,
                "index": at.index,
                "ours": at.ours,
                "other": at.other,
            })
        };
        json!({
            "files": self.files,
            "groups": self.groups,
            "attributes": self.attributes,
            "arrays": self.arrays,
            "bytes": self.bytes,
            "different": self.different.iter().map(difference).collect::<Vec<_>>(),
            "refused": unread(&self.refused),
            "not_judged": unread(&self.not_judged),
            "died": self.mutants.as_ref().map(|mutants| mutants.died),
            "hung": self.mutants.as_ref().map(|mutants| mutants.hung),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, list) in [("refused", &self.refused), ("not judged", &self.not_judged)] {
            for Unread {
                file,
                element,
                reason,
            } in list
            {
                writeln!(f, "{title}: {file}: {element}: {reason}")?;
            }
        }
        for at in &self.different {
            let index = at
                .index
                .map(|index| format!(" {index}"))
                .unwrap_or_default();
            writeln!(
                f,
                "DIFFERENT: {}: {}: {}{index}",
                at.file, at.element, at.what
            )?;
            writeln!(f, "    {:<12} {}", "ours", at.ours)?;
            writeln!(f, "    {:<12} {}", self.other_name, at.other)?;
        }
        writeln!(
            f,
            "{} files: {} groups, {} attributes, {} arrays of {} bytes compared; {} different, {} refused, {} not judged",
            self.files,
            self.groups,
            self.attributes,
            self.arrays,
            self.bytes,
            self.different.len(),
            self.refused.len(),
            self.not_judged.len(),
        )?;
        match &self.mutants {
            Some(Mutants { died, hung }) => writeln!(
                f,
                "{died} of the files ended their process, in which the other reader ({}) runs too, and {hung} took too long",
                self.other_name
            ),
            None => Ok(()),
        }
    }
}
