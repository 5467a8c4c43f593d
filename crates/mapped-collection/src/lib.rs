//! mapped-collection
