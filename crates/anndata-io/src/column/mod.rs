//! Columns of obs and var: one label or number a row.

use crate::array::Array;
use crate::array::chunk_reader::ChunkReader;
use crate::array::convert::Conversion;
use crate::array::text::Strings;
use crate::dtype::{Bool, DType, Stored, Values, Wide};
use crate::error::Error;
use crate::store::{Attribute, Node, Store};

/// The way out of what is no column: anndata would write it again as it is.
const AS_COLUMN: &str = "leave it out, or write it as numbers, booleans, texts or a categorical";

/// A column of a table, opened. Categories and codes are in memory; numbers and texts are read
/// on demand.
#[derive(Debug, Clone)]
pub struct Column {
    len: u64,
    kind: Kind,
    /// Whether other, written data vouch for the length.
    known_length: bool,
}

/// What a column is made of in the file.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Categorical { codes: Array, categories: Values1d },
    Plain { values: Array, mask: Option<Array> },
}

/// Numbers or texts.
#[derive(Debug, Clone, PartialEq)]
pub enum Values1d {
    /// Numbers or booleans.
    Numbers(Values),
    /// Texts.
    Texts(Strings),
}

impl Values1d {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Values1d::Numbers(values) => values.len(),
            Values1d::Texts(texts) => texts.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A column as distinct values and, for each row, which of them it has.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelColumn {
    /// The categories of a categorical column as they stand in the file, used or not; the
    /// distinct values, in order of appearance, of any other.
    pub categories: Values1d,
    /// One code a row.
    pub codes: Codes,
}

/// One category number a row, in the narrowest integers that hold them. The largest number of
/// each type stands for a missing label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Codes {
    /// Up to 255 categories.
    U8(Vec<u8>),
    /// Up to 65,535 categories.
    U16(Vec<u16>),
    /// Any more.
    U32(Vec<u32>),
}

impl Codes {
    fn with_capacity(n_categories: usize, rows: usize) -> Codes {
        match n_categories {
            0..=0xff => Codes::U8(Vec::with_capacity(rows)),
            0x100..=0xffff => Codes::U16(Vec::with_capacity(rows)),
            _ => Codes::U32(Vec::with_capacity(rows)),
        }
    }

    fn push(&mut self, code: Option<u32>) {
        match self {
            Codes::U8(codes) => codes.push(code.map_or(u8::MAX, |code| code as u8)),
            Codes::U16(codes) => codes.push(code.map_or(u16::MAX, |code| code as u16)),
            Codes::U32(codes) => codes.push(code.unwrap_or(u32::MAX)),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Codes::U8(codes) => codes.len(),
            Codes::U16(codes) => codes.len(),
            Codes::U32(codes) => codes.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The category of a row; `None` when its label is missing.
    ///
    /// # Panics
    /// When `row` is out of bounds.
    #[inline]
    pub fn get(&self, row: usize) -> Option<u32> {
        match self {
            Codes::U8(codes) => Some(codes[row])
                .filter(|&code| code != u8::MAX)
                .map(u32::from),
            Codes::U16(codes) => Some(codes[row])
                .filter(|&code| code != u16::MAX)
                .map(u32::from),
            Codes::U32(codes) => Some(codes[row]).filter(|&code| code != u32::MAX),
        }
    }

    /// Bytes in memory.
    pub fn n_bytes(&self) -> usize {
        match self {
            Codes::U8(codes) => codes.len(),
            Codes::U16(codes) => codes.len() * 2,
            Codes::U32(codes) => codes.len() * 4,
        }
    }
}

/// Some rows of a column as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnRows {
    /// One value a row; anything where it is missing.
    pub values: Values1d,
    /// Whether each row has a value; `None` when all have. A NaN of a float column is a value
    /// here.
    pub valid: Option<Vec<bool>>,
}

impl Column {
    /// Opens column `name` of the table at `frame`; `None` when it has no such column.
    pub(crate) fn open(store: &Store, frame: &str, name: &str) -> Result<Option<Column>, Error> {
        let element = format!("{frame}/{name}");
        if name == "__categories" {
            return Ok(None);
        }
        let Some(node) = store.node(&element)? else {
            return Ok(None);
        };
        let encoding = store.text_attribute(&element, "encoding-type")?;
        let part = |name: &str| store.array(&format!("{element}/{name}"));
        let column = match (node, encoding.as_deref()) {
            (Node::Group, Some("categorical")) => {
                let categories = format!("{element}/categories");
                Column::categorical(part("codes")?, read_categories(store, &categories)?)?
            }
            (
                Node::Group,
                Some("nullable-integer" | "nullable-boolean" | "nullable-string-array"),
            ) => {
                let (values, mask) = (part("values")?, truth(part("mask")?)?);
                if mask.shape() != values.shape() || mask.dtype() != Some(DType::Bool) {
                    let expected = format!("booleans of shape {:?}", values.shape());
                    let found = format!(
                        "{} of shape {:?}",
                        mask.dtype().map_or("text", DType::name),
                        mask.shape()
                    );
                    return Err(mask.invalid(expected, found));
                }
                Column::plain(values, Some(mask))?
            }
            (Node::Array, None) => match legacy_categories(store, frame, name)? {
                Some(categories) => {
                    let categories = read_categories(store, &categories)?;
                    Column::categorical(store.array(&element)?, categories)?
                }
                None => Column::of_array(store, &element)?,
            },
            (Node::Array, Some("array" | "string-array")) => Column::of_array(store, &element)?,
            (Node::Group, None) => {
                let found = "a group without it";
                return Err(store.invalid(&element, "attribute encoding-type", found));
            }
            (_, encoding) => {
                let encoding = encoding.unwrap_or("none");
                let what = format!("the column encoding {encoding}");
                return Err(Error::unsupported(store.path(), element, what, AS_COLUMN));
            }
        };
        Ok(Some(column))
    }

    fn categorical(codes: Array, categories: Values1d) -> Result<Column, Error> {
        let codes = codes.into_integers()?;
        Column::checked(Kind::Categorical { codes, categories })
    }

    fn of_array(store: &Store, element: &str) -> Result<Column, Error> {
        let values = store.array(element)?;
        let mask = missing(&values, || store.array(element))?;
        Column::plain(truth(values)?, mask)
    }

    fn plain(values: Array, mask: Option<Array>) -> Result<Column, Error> {
        Column::checked(Kind::Plain { values, mask })
    }

    fn checked(kind: Kind) -> Result<Column, Error> {
        let (Kind::Categorical { codes: rows, .. } | Kind::Plain { values: rows, .. }) = &kind;
        match rows.shape() {
            &[len] => Ok(Column {
                len,
                kind,
                known_length: false,
            }),
            shape => Err(rows.invalid("one value a row", format!("shape {shape:?}"))),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The same column, whose length was found to be that of the written index.
    pub(crate) fn of_known_length(mut self) -> Column {
        self.known_length = true;
        self
    }

    fn read_array(&self, array: &Array) -> Result<Values, Error> {
        if self.known_length {
            array.read_all_of_known_length()
        } else {
            array.read_all()
        }
    }

    /// What it is made of in the file.
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The array with one element a row, for errors.
    pub(crate) fn rows_array(&self) -> &Array {
        let (Kind::Categorical { codes: rows, .. } | Kind::Plain { values: rows, .. }) = &self.kind;
        rows
    }

    /// The type of the numbers: of a plain column's values, or of the categories. `None` for
    /// text.
    pub fn dtype(&self) -> Option<DType> {
        match &self.kind {
            Kind::Categorical {
                categories: Values1d::Numbers(values),
                ..
            } => Some(values.dtype()),
            Kind::Categorical { .. } => None,
            Kind::Plain { values, .. } => values.dtype(),
        }
    }

    /// Whether the column has categories in the file.
    pub fn is_categorical(&self) -> bool {
        matches!(self.kind, Kind::Categorical { .. })
    }

    /// Whether a missing value of this column is no number of the column's own type: true but
    /// for plain float columns, whose missing value is NaN.
    pub fn is_nullable(&self) -> bool {
        match &self.kind {
            Kind::Plain { values, mask: None } => !values.dtype().is_some_and(DType::is_float),
            _ => true,
        }
    }

    /// The whole column as categories and codes. NaN is missing.
    ///
    /// # Errors
    /// When it cannot be read, or a code is no category.
    pub fn read_labels(&self) -> Result<LabelColumn, Error> {
        match &self.kind {
            Kind::Categorical {
                codes: array,
                categories,
            } => {
                let codes = check_codes(array, &self.read_array(array)?, categories)?;
                Ok(LabelColumn {
                    categories: categories.clone(),
                    codes,
                })
            }
            Kind::Plain { values, mask } => {
                let mask = mask
                    .as_ref()
                    .map(|mask| self.read_array(mask))
                    .transpose()?;
                let mask = mask.map(|mask| mask.as_slice().to_vec::<Bool>());
                let valid = |row: usize| mask.as_ref().is_none_or(|mask| mask[row].0 == 0);
                if values.dtype().is_none() {
                    let texts = values.read_strings()?;
                    let mut distinct = Distinct::default();
                    for (row, text) in texts.iter().enumerate() {
                        distinct.push(valid(row).then_some(text));
                    }
                    let categories = distinct.values.iter().copied().collect();
                    return Ok(LabelColumn {
                        codes: distinct.codes(),
                        categories: Values1d::Texts(categories),
                    });
                }
                let numbers = self.read_array(values)?;
                let mut distinct = Distinct::default();
                let mut first_rows = Vec::new();
                for row in 0..numbers.len() {
                    let key = if valid(row) {
                        number_key(numbers.as_slice().get(row))
                    } else {
                        None
                    };
                    if distinct.push(key) {
                        first_rows.push(row);
                    }
                }
                let categories = crate::with_dtype!(numbers.dtype(), T => {
                    let all = <T as Stored>::from_slice(numbers.as_slice()).expect("its own type");
                    Stored::into_values(first_rows.iter().map(|&row| all[row]).collect::<Vec<T>>())
                });
                Ok(LabelColumn {
                    categories: Values1d::Numbers(categories),
                    codes: distinct.codes(),
                })
            }
        }
    }

    /// All texts of a column that is nothing but text; `None` for any other.
    pub(crate) fn read_plain_texts(&self) -> Result<Option<Strings>, Error> {
        match &self.kind {
            Kind::Plain { values, mask: None } if values.dtype().is_none() => {
                values.read_strings().map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The values of some rows, in the order of `rows`, which need not ascend.
    ///
    /// # Errors
    /// When a row is out of bounds, the column cannot be read, or a code is no category.
    pub fn read_rows(&self, rows: &[u64]) -> Result<ColumnRows, Error> {
        match &self.kind {
            Kind::Categorical {
                codes: array,
                categories,
            } => {
                let codes = check_codes(array, &read_at(array, rows)?, categories)?;
                let codes = (0..codes.len()).map(|row| codes.get(row));
                Ok(ColumnRows::of_codes(categories, codes))
            }
            Kind::Plain { values, mask } => {
                let valid = match mask {
                    None => None,
                    Some(mask) => {
                        let mask = read_at(mask, rows)?.as_slice().to_vec::<Bool>();
                        Some(mask.into_iter().map(|masked| masked.0 == 0).collect())
                    }
                };
                let values = match values.dtype() {
                    Some(_) => Values1d::Numbers(read_at(values, rows)?),
                    None => Values1d::Texts(values.read_string_rows(rows)?),
                };
                Ok(ColumnRows { values, valid })
            }
        }
    }
}

impl ColumnRows {
    /// The values that codes stand for.
    pub fn of_codes(
        categories: &Values1d,
        codes: impl ExactSizeIterator<Item = Option<u32>> + Clone,
    ) -> ColumnRows {
        let valid: Vec<bool> = codes.clone().map(|code| code.is_some()).collect();
        let values = match categories {
            Values1d::Texts(texts) => {
                let text = |code| texts.get(code as usize).expect("codes are checked");
                Values1d::Texts(codes.map(|code| code.map_or("", text)).collect())
            }
            Values1d::Numbers(numbers) => crate::with_dtype!(numbers.dtype(), T => {
                let all = <T as Stored>::from_slice(numbers.as_slice()).expect("its own type");
                let values = codes.map(|code| code.map_or(T::default(), |code| all[code as usize]));
                Values1d::Numbers(Stored::into_values(values.collect::<Vec<T>>()))
            }),
        };
        let all_valid = valid.iter().all(|&valid| valid);
        ColumnRows {
            values,
            valid: (!all_valid).then_some(valid),
        }
    }

    /// Whether row number `index` of these has a value.
    pub fn is_valid(&self, index: usize) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid[index])
    }
}

/// Where the categories of a column are that keeps its codes apart from them, as those written
/// before anndata 0.8 do; `None` when it has none.
pub(crate) fn legacy_categories(
    store: &Store,
    frame: &str,
    name: &str,
) -> Result<Option<String>, Error> {
    let element = format!("{frame}/{name}");
    if store.node(frame)? == Some(Node::Table) {
        return table_categories(store, frame, name, &element);
    }
    match store.attribute(&element, "categories")? {
        // In zarr, a path within the table.
        Some(Attribute::Text(path)) => Ok(Some(format!("{frame}/{path}"))),
        Some(Attribute::Reference(path)) => Ok(Some(path)),
        Some(other) => {
            let expected = "attribute categories to name the categories";
            Err(store.invalid(&element, expected, other.to_string()))
        }
        None => {
            let beside = format!("{frame}/__categories/{name}");
            Ok(store.node(&beside)?.map(|_| beside))
        }
    }
}

/// Before anndata 0.7, categories of obs and of var are in `uns` under the name of the column.
fn table_categories(
    store: &Store,
    frame: &str,
    name: &str,
    element: &str,
) -> Result<Option<String>, Error> {
    let categories = format!("uns/{name}_categories");
    let codes = store.array(element)?;
    if store.node(&categories)?.is_none() || !codes.dtype().is_some_and(DType::is_integer) {
        return Ok(None);
    }
    // When both tables have such a column, they are those of the one whose codes they fit, obs
    // before var: what anndata does.
    if frame == "obs" && store.node(&format!("var/{name}"))?.is_some() {
        let values = read_categories(store, &categories)?;
        if check_codes(&codes, &codes.read_all()?, &values).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(categories))
}

/// The categories of a column: an array, or the values of a nullable one, none of them missing.
fn read_categories(store: &Store, element: &str) -> Result<Values1d, Error> {
    let (array, mask) = match store.node(element)? {
        Some(Node::Group) => {
            let mask = store.array(&format!("{element}/mask"))?;
            (store.array(&format!("{element}/values"))?, Some(mask))
        }
        _ => {
            let array = store.array(element)?;
            let mask = missing(&array, || store.array(element))?;
            (truth(array)?, mask)
        }
    };
    if let Some(mask) = mask {
        let masked = mask.read_all()?.as_slice().to_vec::<Bool>();
        if masked.iter().any(|masked| masked.0 != 0) {
            return Err(mask.invalid("categories without missing ones", "a missing category"));
        }
    }
    // A single one may be a scalar.
    if array.shape().len() > 1 {
        return Err(array.invalid("a list of categories", format!("shape {:?}", array.shape())));
    }
    match array.dtype() {
        Some(_) => Ok(Values1d::Numbers(array.read_all()?)),
        None => Ok(Values1d::Texts(array.read_strings()?)),
    }
}

/// R's logicals as booleans; other arrays as they are.
fn truth(array: Array) -> Result<Array, Error> {
    let size = array.parts().stored_size();
    match array.parts().missing {
        Some(_) => array.converted(Conversion::Truth(size)),
        None => Ok(array),
    }
}

/// Which of R's logicals are missing; `None` for other arrays. `again` opens the same array.
fn missing(
    array: &Array,
    again: impl FnOnce() -> Result<Array, Error>,
) -> Result<Option<Array>, Error> {
    let size = array.parts().stored_size();
    let equals = |value| again()?.converted(Conversion::Equals(size, value));
    array.parts().missing.map(equals).transpose()
}

/// Single elements of a 1-D array, in the order of `rows`.
fn read_at(array: &Array, rows: &[u64]) -> Result<Values, Error> {
    let mut out = Values::new(array.number_type()?);
    let ranges = rows.iter().map(|&row| row..row.saturating_add(1));
    array.read_ranges(ranges, &mut out, &mut ChunkReader::default())?;
    Ok(out)
}

pub(crate) fn check_code(
    array: &Array,
    code: i64,
    n_categories: usize,
) -> Result<Option<u32>, Error> {
    match code {
        -1 => Ok(None),
        0.. if (code as u64) < n_categories as u64 && code < i64::from(u32::MAX) => {
            Ok(Some(code as u32))
        }
        _ => {
            let expected = format!("codes from -1 to below the {n_categories} categories");
            Err(array.invalid(expected, code.to_string()))
        }
    }
}

/// The codes of rows, checked against the categories. A code whose category is NaN is missing.
fn check_codes(array: &Array, stored: &Values, categories: &Values1d) -> Result<Codes, Error> {
    let n_categories = categories.len();
    let has_nan = has_nan(categories);
    let mut codes = Codes::with_capacity(n_categories, stored.len());
    let stored = stored.as_slice();
    for row in 0..stored.len() {
        let code = match stored.get(row) {
            Wide::Signed(code) => code,
            Wide::Unsigned(code) => i64::try_from(code).unwrap_or(i64::MAX),
            _ => unreachable!("codes are integers: checked when the column was opened"),
        };
        let code = check_code(array, code, n_categories)?;
        codes.push(code.filter(|&code| !has_nan || !is_nan(categories, code as usize)));
    }
    Ok(codes)
}

/// Whether one of the categories is NaN, which no label is.
pub(crate) fn has_nan(categories: &Values1d) -> bool {
    (0..categories.len()).any(|i| is_nan(categories, i))
}

fn is_nan(categories: &Values1d, i: usize) -> bool {
    match categories {
        Values1d::Numbers(numbers) => number_key(numbers.as_slice().get(i)).is_none(),
        Values1d::Texts(_) => false,
    }
}

/// Numbers by value: what tells two of them apart. `None` for NaN.
pub(crate) fn number_key(value: Wide) -> Option<u64> {
    match value {
        Wide::Bool(value) => Some(value.into()),
        Wide::Signed(value) => Some(value as u64),
        Wide::Unsigned(value) => Some(value),
        // Adding zero makes -0.0 positive.
        Wide::F32(value) => (!value.is_nan()).then(|| u64::from((value + 0.0).to_bits())),
        Wide::F64(value) => (!value.is_nan()).then(|| (value + 0.0).to_bits()),
    }
}

/// Distinct values in order of appearance, and the code of each row.
struct Distinct<K> {
    numbers: std::collections::HashMap<K, u32>,
    values: Vec<K>,
    rows: Vec<u32>,
}

impl<K> Default for Distinct<K> {
    fn default() -> Self {
        Distinct {
            numbers: Default::default(),
            values: Vec::new(),
            rows: Vec::new(),
        }
    }
}

impl<K: Copy + Eq + std::hash::Hash> Distinct<K> {
    /// Adds a row; true when its value is new.
    fn push(&mut self, key: Option<K>) -> bool {
        let Some(key) = key else {
            self.rows.push(u32::MAX);
            return false;
        };
        let next = self.values.len() as u32;
        let code = *self.numbers.entry(key).or_insert(next);
        self.rows.push(code);
        if code == next {
            self.values.push(key);
        }
        code == next
    }

    fn codes(self) -> Codes {
        let mut codes = Codes::with_capacity(self.values.len(), self.rows.len());
        self.rows
            .iter()
            .for_each(|&code| codes.push(Some(code).filter(|&code| code != u32::MAX)));
        codes
    }
}
