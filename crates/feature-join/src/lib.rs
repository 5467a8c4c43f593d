//! Aligns the variables (genes) of many tables and moves their rows into the joint order.
//!
//! Tables measured at different times list different genes, in different orders. This crate takes the lists of names,
//! decides which genes the joint table has and in which order ([`JointVars`], by an inner or an outer [`Join`] or by a given
//! list), and makes,
//! for every store (one table), a [`VarMap`] that moves a row of the store, dense or sparse, into a joint row while
//! converting its numbers in the same pass.
//!
//! # What it is not
//!
//! It reads no file and knows no matrix format: it takes slices and fills slices. It joins by name alone, and has no table of
//! synonyms: a [`NameRule`] takes yours. It never touches the row axis.
//!
//! # The types that matter
//!
//! - [`VarNames`]: the names of one store, in one allocation. Share it with [`Arc`](std::sync::Arc) between stores that
//!   list the same genes: then thousands of stores cost one list and one map.
//! - [`JointVars`]: the joint names, and one [`VarMap`] per store.
//! - [`JoinRule`]: a [`Join`], and what happens to names that a store repeats.
//! - [`VarMap`]: [`FileColumn`] to [`JointColumn`], with the loops that move rows. A store that needs no moving has the
//!   identity map, which is a straight copy.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use feature_join::{Join, JointVars, VarNames};
//!
//! let stores = [
//!     Arc::new(VarNames::from_iter(["CD3E", "CD8A", "MS4A1"])),
//!     Arc::new(VarNames::from_iter(["MS4A1", "GNLY"])),
//! ];
//! let joint = JointVars::new(Some(Join::Outer), &stores)?;
//! let names = joint.names().expect("a join was asked for");
//! assert_eq!(names.iter().collect::<Vec<_>>(), ["CD3E", "CD8A", "GNLY", "MS4A1"]);
//!
//! // A dense row of store 1, u16 in the file, wanted as f32 in the joint order.
//! let map = &joint.maps()[1];
//! let mut row = vec![0.0_f32; names.len()];
//! map.scatter_dense(0, &[7_u16, 9], &mut row, f32::from)?;
//! assert_eq!(row, [0.0, 0.0, 9.0, 7.0]);
//!
//! // The two zeros in front were filled in, not measured.
//! assert_eq!(map.presence(), [false, false, true, true]);
//!
//! // A sparse row of store 0: columns 0 and 2 hold 5 and 6.
//! row.fill(0.0);
//! joint.maps()[0].scatter_sparse(&[0, 2], &[5_u16, 6], &mut row, f32::from)?;
//! assert_eq!(row, [5.0, 0.0, 0.0, 6.0]);
//! # Ok::<(), feature_join::JoinError>(())
//! ```
//!
//! # Features
//!
//! - `serde` (off by default): [`Join`] and [`Duplicates`] as lower-case text.
//!
//! # Differs from lamindb
//!
//! The joint order and the positions are those of `lamindb.core.MappedCollection`, with these departures:
//!
//! - A name that one store lists twice, when a join is needed, is a [`JoinError::DuplicateName`] that names the store
//!   and the name; the reference fails inside pandas without either.
//! - [`VarMap::presence`] tells a gene that a store did not measure from one that it measured as zero; the reference
//!   has no such thing.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
mod gene_names;
mod join;
mod joint_vars;
mod scatter;
mod var_map;
mod var_names;

pub use error::JoinError;
pub use gene_names::{NameRule, is_ensembl_id, strip_version};
pub use join::{Duplicates, Join, JoinRule};
pub use joint_vars::JointVars;
pub use scatter::{RemappedEntry, SortScratch};
pub use var_map::{FileColumn, JointColumn, VarMap};
pub use var_names::{Iter, VarNames};
