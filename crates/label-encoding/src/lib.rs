//! Categories, integer codes and class weights for the labels of many tables.
//!
//! A column such as `cell_type` is spread over many tables (stores), each with its own categories. This crate unites
//! them into one sorted list ([`Categories`]), turns labels into the integers that a classifier is trained on
//! ([`Encoder`]), and weighs rows by how rare their class is ([`LabelWeights`]).
//!
//! # What it is not
//!
//! It reads no file and holds no column: it takes slices of [`Label`]s, or of codes, and returns values. It has no
//! label for "missing": a missing value is the absence of a label (`Option<Label>`), never a class of an encoder, and
//! its code is the caller's choice ([`MISSING_CODE`] by custom).
//!
//! # The types that matter
//!
//! - [`Label`]: a boolean, a number or a text, with Python's order and Python's text.
//! - [`Encoder`]: label -> code. Classes are `0..n_classes`, the unknown label is [`UNKNOWN_CODE`].
//! - [`LabelWeights`]: classes with their counts, and one weight per row.
//!
//! # Example
//!
//! ```
//! use label_encoding::{Categories, Encoder, Label, LabelColumn, LabelWeights, MISSING, UNKNOWN_CODE};
//!
//! let store_0 = [Label::from("T cell"), Label::from("unknown")];
//! let store_1 = [Label::from("B cell"), Label::from("T cell")];
//! let categories = Categories::merge(&[(0, &store_0), (1, &store_1)])?;
//! let texts: Vec<_> = categories.labels().iter().map(Label::python_text).collect();
//! assert_eq!(texts, ["B cell", "T cell", "unknown"]);
//!
//! let unknown = categories.find_text("unknown").cloned();
//! let encoder = Encoder::new(categories, unknown.as_ref());
//! assert_eq!(encoder.n_classes(), 2);
//! assert_eq!(encoder.encode(&Label::from("T cell")), Some(1));
//! assert_eq!(encoder.encode(&Label::from("NK cell")), None);
//!
//! // Once a store: its categories as codes. A row is then one lookup.
//! assert_eq!(encoder.table(&store_0)?, [1, UNKNOWN_CODE]);
//!
//! // Four rows: T cell, T cell, missing, B cell.
//! let texts = ["T cell", "B cell"].map(String::from);
//! let column = LabelColumn { codes: &[0, 0, MISSING, 1], texts: &texts };
//! let weights = LabelWeights::count(4, &[column])?;
//! assert_eq!(weights.classes(), ["T cell", "nan", "B cell"]);
//! assert_eq!(weights.weights(None), [0.5, 0.5, 1.0, 1.0]);
//! # Ok::<(), label_encoding::EncodingError>(())
//! ```
//!
//! # Features
//!
//! It has none.
//!
//! # Differs from lamindb
//!
//! Codes and weights are those of `lamindb.core.MappedCollection`, with these departures:
//!
//! - Missing is never a class of an encoder; the reference gives one to the missing values of nullable and
//!   floating-point columns.
//! - A key without any label (all values missing) has an empty encoder; the reference crashes.
//! - Stores whose labels cannot be compared (a text and a number, a boolean and either) are an
//!   [`EncodingError::MixedKinds`] that names both; the reference fails without naming them, or takes `True` for `1`.
//! - A label that is neither a class nor the unknown label has no code. `-1` means the unknown label and nothing else.

mod categories;
mod encoder;
mod error;
mod label;
mod weights;

pub use categories::Categories;
pub use encoder::{Encoder, Lookup, MISSING_CODE, UNKNOWN_CODE};
pub use error::EncodingError;
pub use label::{Float, FloatWidth, Label, LabelKind};
pub use weights::{LabelColumn, LabelWeights, MISSING};
