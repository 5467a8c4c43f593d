//! Names of genes that do not meet, and likely reasons.

use std::fmt;
use std::path::PathBuf;

use crate::error::quoted;

/// How much of a given list of genes a store has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GeneOverlap {
    /// The number of the store.
    pub store: usize,
    /// Its table of variables: `var`, or that of raw.
    pub table: &'static str,
    /// The number of given genes that the store has.
    pub n_found: usize,
    /// The number of given genes.
    pub n_given: usize,
    /// The number of distinct genes of the store.
    pub n_vars: usize,
}

impl GeneOverlap {
    /// The genes found ÷ min(genes given, genes of the store), from 0 to 1.
    pub fn fraction(&self) -> f64 {
        match self.n_given.min(self.n_vars) {
            0 => 0.0,
            n => self.n_found as f64 / n as f64,
        }
    }
}

/// A store that has few of the given genes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LowOverlap {
    /// The store.
    pub file: PathBuf,
    /// How many genes it has.
    pub overlap: GeneOverlap,
    /// At most five given genes that it lacks.
    pub lacking: Vec<String>,
    /// At most five of its genes that are not given.
    pub others: Vec<String>,
    /// A likely reason.
    pub mismatch: Option<NameMismatch>,
}

impl fmt::Display for LowOverlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GeneOverlap {
            table,
            n_found,
            n_given,
            n_vars,
            ..
        } = self.overlap;
        let percent = Percent(self.overlap.fraction());
        write!(f, "{}: {table}: ", self.file.display())?;
        match n_found {
            0 => write!(f, "has none of the {n_given} given genes")?,
            _ => write!(
                f,
                "has {n_found} of the {n_given} given genes, an overlap of {percent}"
            )?,
        }
        write!(f, " ({n_vars} genes); given {}", examples(&self.lacking))?;
        write!(f, ", found {}", examples(&self.others))?;
        match &self.mismatch {
            Some(mismatch) => write!(f, "; {mismatch}"),
            None => Ok(()),
        }
    }
}

/// A likely reason why the names of a store are not those that it is compared with.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NameMismatch {
    /// Another column of var has them.
    Column {
        /// The column; `_index` for the index.
        column: String,
        /// The overlap with this column.
        fraction: f64,
        /// Whether that is so only without versions.
        strip_version: bool,
    },
    /// They differ in their versions.
    Versions {
        /// The overlap without versions.
        fraction: f64,
    },
    /// They differ in capital letters, as the symbols of mouse and human do.
    Case {
        /// The overlap if capital letters do not count.
        fraction: f64,
    },
    /// The store has Ensembl ids, and symbols are expected.
    IdsForSymbols,
    /// The store has symbols, and Ensembl ids are expected.
    SymbolsForIds,
    /// Both are Ensembl ids, but of two species.
    Species {
        /// The prefix of the store's ids, such as `ENSMUSG`.
        found: String,
        /// The prefix of the expected ids.
        expected: String,
    },
}

impl fmt::Display for NameMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameMismatch::Column {
                column,
                fraction,
                strip_version,
            } => {
                let percent = Percent(*fraction);
                match column.as_str() {
                    "_index" => f.write_str("its index")?,
                    column => write!(f, "its column {column:?}")?,
                }
                write!(f, " has an overlap of {percent}: join by it (var_key)")?;
                match strip_version {
                    true => f.write_str(", without versions (strip_version)"),
                    false => Ok(()),
                }
            }
            NameMismatch::Versions { fraction } => write!(
                f,
                "without versions, the overlap is {}: strip them (strip_version)",
                Percent(*fraction)
            ),
            NameMismatch::Case { fraction } => write!(
                f,
                "if capital letters did not count, the overlap would be {}: are these genes of \
                 another species, such as Actb of the mouse and ACTB? Map them by a table (aliases)",
                Percent(*fraction)
            ),
            NameMismatch::IdsForSymbols => f.write_str(
                "its names are Ensembl ids, and symbols are expected: join by a column with symbols \
                 (var_key), or map them by a table (aliases)",
            ),
            NameMismatch::SymbolsForIds => f.write_str(
                "its names are symbols, and Ensembl ids are expected: join by a column with ids \
                 (var_key), or map them by a table (aliases)",
            ),
            NameMismatch::Species { found, expected } => write!(
                f,
                "its names are ids of another species: {found}, expected {expected}; map them by a \
                 table of orthologs (aliases)"
            ),
        }
    }
}

/// A fraction as a percentage.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * self.0;
        match percent < 10.0 && percent > 0.0 {
            true => write!(f, "{percent:.1} %"),
            // Not rounded up: a low overlap is never shown as the limit.
            false => write!(f, "{:.0} %", percent.floor()),
        }
    }
}

/// Names in quotes, or a word if there are none.
fn examples(names: &[String]) -> String {
    match names {
        [] => "no other".to_owned(),
        names => quoted(names),
    }
}
