//! mapped-anndata
