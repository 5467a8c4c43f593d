//! Names of genes that mean the same: ids with versions, and old names.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// The prefixes of RefSeq accessions, before their underscore.
const REFSEQ: [&str; 15] = [
    "AC", "AP", "NC", "NG", "NM", "NP", "NR", "NT", "NW", "NZ", "WP", "XM", "XP", "XR", "YP",
];

/// The fewest digits of an id. Ensembl's have 11, RefSeq's 6 or more.
const MIN_DIGITS: usize = 6;

/// Returns a name without its version, if it looks like an Ensembl or RefSeq id with one: `ENSG00000141510.16` is
/// `ENSG00000141510`, and `NM_000546.6` is `NM_000546`. A suffix that begins with `_` or `-` stays:
/// `ENSG00000182378.14_PAR_Y` is `ENSG00000182378_PAR_Y`. Other names, such as the symbols `AC233755.1` and `HLA-A.2`, are
/// returned as they are.
///
/// ```
/// use feature_join::strip_version;
///
/// assert_eq!(strip_version("ENSMUSG00000051951.5"), "ENSMUSG00000051951");
/// assert_eq!(strip_version("AL627309.1"), "AL627309.1");
/// ```
pub fn strip_version(name: &str) -> Cow<'_, str> {
    let Some((id, rest)) = name.split_once('.') else {
        return Cow::Borrowed(name);
    };
    let version_end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (version, suffix) = rest.split_at(version_end);
    let is_id = is_ensembl_id(id) || is_refseq_id(id);
    if !is_id || version.is_empty() || !(suffix.is_empty() || suffix.starts_with(['_', '-'])) {
        return Cow::Borrowed(name);
    }
    match suffix {
        "" => Cow::Borrowed(id),
        suffix => Cow::Owned(format!("{id}{suffix}")),
    }
}

/// Whether a name looks like an Ensembl id, without a version: `ENS`, at least one capital letter for the species and
/// the kind of feature, and digits.
pub fn is_ensembl_id(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("ENS") else {
        return false;
    };
    let digits = rest.trim_start_matches(|c: char| c.is_ascii_uppercase());
    digits.len() < rest.len() && is_number(digits)
}

fn is_refseq_id(name: &str) -> bool {
    let Some((prefix, rest)) = name.split_once('_') else {
        return false;
    };
    // Accessions of whole assemblies have letters before their digits: NZ_CP012345.
    let digits = rest.trim_start_matches(|c: char| c.is_ascii_uppercase());
    REFSEQ.contains(&prefix) && is_number(digits)
}

fn is_number(digits: &str) -> bool {
    digits.len() >= MIN_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// What is done to a name before it is joined. By default, nothing.
///
/// ```
/// use feature_join::NameRule;
///
/// let rule = NameRule::new()
///     .strip_version(true)
///     .aliases([("SEPT1", "SEPTIN1"), ("ENSG00000284733", "ENSG00000278566")]);
/// assert_eq!(rule.apply("SEPT1"), "SEPTIN1");
/// assert_eq!(rule.apply("ENSG00000284733.2"), "ENSG00000278566");
/// assert_eq!(rule.apply("CD4"), "CD4");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct NameRule {
    strip_version: bool,
    aliases: HashMap<String, String>,
}

impl NameRule {
    /// A rule that changes no name.
    pub fn new() -> Self {
        NameRule::default()
    }

    /// Whether [`strip_version`] is applied.
    pub fn strip_version(mut self, strip: bool) -> Self {
        self.strip_version = strip;
        self
    }

    /// New names for old ones. A name is looked up as it is and, if versions are stripped, without its version. The new
    /// name loses its version, too, but is not looked up again.
    pub fn aliases<O: Into<String>, N: Into<String>>(
        mut self,
        aliases: impl IntoIterator<Item = (O, N)>,
    ) -> Self {
        let aliases = aliases.into_iter();
        self.aliases = aliases.map(|(old, new)| (old.into(), new.into())).collect();
        self
    }

    /// Whether the rule changes no name.
    pub fn is_empty(&self) -> bool {
        !self.strip_version && self.aliases.is_empty()
    }

    /// Whether versions are stripped.
    pub fn strips_version(&self) -> bool {
        self.strip_version
    }

    /// Drops the aliases that would take a name away from a list: the list has the old name, and not the new one.
    pub fn for_list<'a>(mut self, list: impl IntoIterator<Item = &'a str>) -> Self {
        let list: HashSet<Cow<'_, str>> =
            list.into_iter().map(|name| self.stripped(name)).collect();
        let is_kept = |old: &str, new: &str| !list.contains(old) || list.contains(new);
        let aliases = self.aliases.iter();
        let aliases =
            aliases.filter(|(old, new)| is_kept(&self.stripped(old), &self.stripped(new)));
        self.aliases = aliases
            .map(|(old, new)| (old.clone(), new.clone()))
            .collect();
        self
    }

    fn stripped<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match self.strip_version {
            true => strip_version(name),
            false => Cow::Borrowed(name),
        }
    }

    /// The name to join by.
    pub fn apply<'a>(&'a self, name: &'a str) -> Cow<'a, str> {
        if self.aliases.is_empty() {
            return self.stripped(name);
        }
        if let Some(new) = self.aliases.get(name) {
            return self.stripped(new);
        }
        let stripped = self.stripped(name);
        match self.aliases.get(&*stripped) {
            Some(new) => self.stripped(new),
            None => stripped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_of_an_id_is_stripped() {
        let cases = [
            ("ENSG00000141510.16", "ENSG00000141510"),
            ("ENSMUSG00000051951.5", "ENSMUSG00000051951"),
            ("ENST00000456328.2", "ENST00000456328"),
            ("ENSG00000182378.14_PAR_Y", "ENSG00000182378_PAR_Y"),
            ("ENSG00000182378.14-1", "ENSG00000182378-1"),
            ("NM_000546.6", "NM_000546"),
            ("XR_001737835.1", "XR_001737835"),
            ("NZ_CP012345.1", "NZ_CP012345"),
        ];
        for (name, expected) in cases {
            assert_eq!(strip_version(name), expected);
        }
    }

    #[test]
    fn names_that_are_no_ids_keep_their_dots() {
        let names = [
            "AC233755.1",
            "AL627309.1",
            "RP11-34P13.7",
            "CTD-2510F5.4",
            "HLA-A.2",
            "Y_RNA.1",
            "7SK.2",
            "ENSG00000141510",
            "ENSG00000141510.",
            "ENSG00000141510.x",
            "ENSG00000141510.1.2",
            "ENSG00000141510.1x",
            "ENS00000141510.1",
            "ENSG12.1",
            "ensg00000141510.16",
            "FOO_000546.6",
            "NM_12.1",
            "AT1G01010.1",
            "WBGene00000001.2",
            ".1",
            "",
            ".",
            "ENSG",
        ];
        for name in names {
            assert_eq!(strip_version(name), name);
        }
    }

    #[test]
    fn alias_is_looked_up_with_and_without_the_version() {
        let aliases = [
            ("NM_000546.6", "first"),
            ("NM_000546", "other"),
            ("first", "again"),
        ];
        let rule = NameRule::new().aliases(aliases);
        assert_eq!(rule.apply("NM_000546.6"), "first");
        assert_eq!(rule.apply("NM_000546.7"), "NM_000546.7");
        let rule = rule.strip_version(true);
        assert_eq!(rule.apply("NM_000546.6"), "first");
        assert_eq!(rule.apply("NM_000546.7"), "other");
        assert_eq!(rule.apply("first"), "again");
        let rule = NameRule::new().aliases([("OLD", "ENSG00000141510.3")]);
        assert_eq!(rule.apply("OLD"), "ENSG00000141510.3");
        assert_eq!(rule.strip_version(true).apply("OLD"), "ENSG00000141510");
    }

    #[test]
    fn alias_takes_no_name_away_from_a_list() {
        let rule = NameRule::new().aliases([("OLD", "NEW"), ("A", "B"), ("X", "Y")]);
        let rule = rule.for_list(["OLD", "A", "B", "Y"]);
        assert_eq!(rule.apply("OLD"), "OLD");
        assert_eq!(rule.apply("A"), "B");
        assert_eq!(rule.apply("X"), "Y");
    }
}
