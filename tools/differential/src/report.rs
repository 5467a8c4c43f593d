//! What a comparison found.

use std::fmt;

use serde_json::{Value, json};

/// A place where the backends differ.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) file: String,
    pub(super) element: String,
    /// What differs: shape, attribute NAME, element.
    pub(super) what: String,
    /// Number of the element, row-major, where elements differ.
    pub(super) index: Option<u64>,
    /// What the default backend gives.
    pub(super) pure: String,
    /// What the C library gives.
    pub(super) library: String,
}

/// A place that one backend or both do not read, and why.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) file: String,
    pub(super) element: String,
    pub(super) reason: String,
}

/// Damaged files that were not compared.
#[derive(Debug, Default)]
pub(super) struct Mutants {
    /// Files whose process ended early: by a signal, or for want of memory.
    pub(super) died: u64,
    /// Files whose process took too long.
    pub(super) hung: u64,
}

#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) files: u64,
    pub(super) groups: u64,
    pub(super) attributes: u64,
    /// Arrays whose elements were compared, all of them.
    pub(super) arrays: u64,
    /// Bytes of numbers and texts.
    pub(super) bytes: u64,
    pub(super) different: Vec<Difference>,
    /// What the default backend refuses as valid, but not supported.
    pub(super) refused: Vec<Unread>,
    /// What there is nothing to compare with.
    pub(super) not_judged: Vec<Unread>,
    /// Of a comparison of damaged files.
    pub(super) mutants: Option<Mutants>,
}

impl Report {
    pub(super) fn differences(&self) -> usize {
        self.different.len()
    }

    /// Adds what another process found, as [`to_json`](Self::to_json) gives it; what it did not
    /// read is left out.
    pub(super) fn add(&mut self, other: &Value) {
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
                pure: text(at, "pure"),
                library: text(at, "libhdf5"),
            });
        }
    }

    pub(super) fn to_json(&self) -> Value {
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
                "pure": at.pure,
                "libhdf5": at.library,
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
            writeln!(f, "    default backend  {}", at.pure)?;
            writeln!(f, "    C library        {}", at.library)?;
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
                "{died} of the files ended their process, which holds the C library, and {hung} took too long"
            ),
            None => Ok(()),
        }
    }
}
