//! Rows as sequences of tokens: the ids and the values of their expressed genes.
//!
//! Opens no file. [`Tokens`] are the options; a [`RowTokens`](row::RowTokens) turns one row at a
//! time into tokens.
//!
//! ```text
//! columns and values of a row ─▶ ranking ─▶ bins ─▶ the genes that fit ─▶ ids, values, length
//!                                              sample ───────┘
//! ```

pub(crate) mod bins;
mod distinct;
mod keys;
mod lanes;
pub(crate) mod ranking;
pub(crate) mod row;
pub(crate) mod sample;

use crate::error::option::OptionError;

/// How the rows of a batch become sequences of tokens, for models that read a cell as a sequence of
/// its genes.
///
/// A token is a gene whose value is not 0 (a negative one counts, too). In place of the matrix, a
/// batch has three: `ids` and `values` (`[n_obs, length]`), and `lengths` (`[n_obs]`, the number of
/// tokens of each row, special ones included). `ids` and `lengths` are int64; `values` have the
/// type of the matrix. Padding fills the rest of a row.
///
/// Values are ordered, drawn by and put into bins as they are delivered: in the `dtype` of the batch.
///
/// The id of a gene is that of the [vocabulary](crate::GeneList::from_vocabulary) that the collection
/// was opened with, otherwise the number of its column.
///
/// ```
/// use mapped_collection::{BatchFormat, GeneList, MappedCollection, MemoryStore, Tokens, Values};
///
/// let store = MemoryStore::new("a")
///     .dataframe("obs", &["c1", "c2"])
///     .dataframe("var", &["A", "B", "C"])
///     .array("X", &[2, 3], Values::F32(vec![1.0, 5.0, 0.0, 0.0, 0.0, 2.0]));
/// let vocabulary = [("<pad>", 0), ("<cls>", 1), ("A", 10), ("B", 11), ("C", 12)];
/// let cells = MappedCollection::builder([store])
///     .genes(GeneList::from_vocabulary(vocabulary, None)?)
///     .open()?;
/// let format = BatchFormat::new().tokens(Tokens::new(4).cls("<cls>"));
/// let batch = cells.get_batch_with(&[0, 1], &format)?;
/// let matrix = |name| batch.matrix(name).expect("one of three");
/// assert_eq!(matrix("ids").dense::<i64>()?, [1, 11, 10, 0, 1, 12, 0, 0]);
/// assert_eq!(matrix("values").dense::<f32>()?, [0., 5., 1., 0., 0., 2., 0., 0.]);
/// assert_eq!(matrix("lengths").dense::<i64>()?, [3, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Tokens {
    pub(crate) length: usize,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) key: Option<String>,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) select: TokenSelection,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) bins: Option<u32>,
    #[cfg_attr(feature = "serde", serde(default = "SpecialToken::pad"))]
    pub(crate) pad: SpecialToken,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) pad_value: f64,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) cls: Option<SpecialToken>,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) cls_value: f64,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) eos: Option<SpecialToken>,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) seed: u64,
}

/// Which genes a row keeps, and in which order.
///
/// The draws of a sample depend only on the seed, the epoch, the number of the store, the row in its
/// file, and the expressed genes of the row. Batches by index have those of epoch 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum TokenSelection {
    /// Those with the highest values, by descending value; of equal ones, the gene of the first
    /// column comes first. NaN comes last.
    #[default]
    Highest,
    /// A random sample without replacement, in the order of the columns. Each gene is equally
    /// likely to be in it.
    Uniform,
    /// A random sample without replacement, in the order of the columns. One gene is drawn after
    /// the other, each with a probability proportional to its value. A negative or infinite value
    /// and NaN are errors that name the row.
    ByValue,
}

impl std::str::FromStr for TokenSelection {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "highest" => Ok(TokenSelection::Highest),
            "uniform" => Ok(TokenSelection::Uniform),
            "by_value" => Ok(TokenSelection::ByValue),
            _ => {
                let expected = "highest, uniform or by_value";
                Err(OptionError::new("select", expected, format!("{text:?}")))
            }
        }
    }
}

/// A token that stands for no gene.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(untagged))]
// Exhaustive: a token has an id, by itself or by its name.
pub enum SpecialToken {
    /// This id.
    Id(i64),
    /// The id of a [special name](crate::GeneList::special) of the vocabulary.
    Name(String),
}

impl SpecialToken {
    pub(crate) fn pad() -> SpecialToken {
        SpecialToken::Name("<pad>".to_owned())
    }
}

impl From<i64> for SpecialToken {
    fn from(id: i64) -> Self {
        SpecialToken::Id(id)
    }
}

impl From<&str> for SpecialToken {
    fn from(name: &str) -> Self {
        SpecialToken::Name(name.to_owned())
    }
}

impl From<String> for SpecialToken {
    fn from(name: String) -> Self {
        SpecialToken::Name(name)
    }
}

impl Tokens {
    /// At most `length` tokens per row: the genes with the highest values, and no special token.
    /// Shorter rows are padded with the id of `<pad>` and the value 0.
    pub fn new(length: usize) -> Tokens {
        Tokens {
            length,
            key: None,
            select: TokenSelection::Highest,
            bins: None,
            pad: SpecialToken::pad(),
            pad_value: 0.0,
            cls: None,
            cls_value: 0.0,
            eos: None,
            seed: 0,
        }
    }

    /// The matrix: X, `raw.X` or a layer. By default, the first one. Other matrices of a batch stay
    /// as they are.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Which genes a row keeps if it has more than fit, and the order of all. By default, those
    /// with the highest values.
    pub fn select(mut self, select: TokenSelection) -> Self {
        self.select = select;
        self
    }

    /// Replaces each value with the number of its bin, from 1 to `bins - 1`; scGPT keeps bin 0 for
    /// genes that are not expressed. The edges of a row's bins are quantiles of the values of all its
    /// expressed genes, whether they are kept or not: those that `numpy.quantile` returns for
    /// `numpy.linspace(0, 1, bins - 1)`, in float64. A value is in the bin of the last edge that is
    /// not above it, as `numpy.digitize` has it. A value that is not finite is an error that names the
    /// row.
    ///
    /// The rule is that of scGPT's `binning` (Cui et al., Nature Methods 21, 2024), where a value
    /// on several edges is put into a random one of their bins; here, it is in the last one.
    pub fn bins(mut self, bins: u32) -> Self {
        self.bins = Some(bins);
        self
    }

    /// The token that fills a row after its last token. By default, `<pad>` of the vocabulary.
    pub fn pad(mut self, pad: impl Into<SpecialToken>) -> Self {
        self.pad = pad.into();
        self
    }

    /// The value of padding. By default, 0.
    pub fn pad_value(mut self, value: f64) -> Self {
        self.pad_value = value;
        self
    }

    /// A token before the genes. By default, rows begin with a gene.
    pub fn cls(mut self, cls: impl Into<SpecialToken>) -> Self {
        self.cls = Some(cls.into());
        self
    }

    /// The value of the token before the genes. By default, 0, as in scGPT's tokenizer for
    /// fine-tuning; its embedding of cells uses the value of padding.
    pub fn cls_value(mut self, value: f64) -> Self {
        self.cls_value = value;
        self
    }

    /// A token after the genes, with the value 0. By default, rows end with a gene.
    pub fn eos(mut self, eos: impl Into<SpecialToken>) -> Self {
        self.eos = Some(eos.into());
        self
    }

    /// The seed of samples: below 2^63. By default, 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}
