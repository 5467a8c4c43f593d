//! Zarr through the crate zarrs, for features that `zarr.rs` refuses: the codecs pcodec, zfp and
//! reshape, shards within shards or inside other codecs, big-endian indexes of shards.
//!
//! zarrs supplies only elements. This crate's own code reads the hierarchy and attributes, which
//! are JSON, and the files, in a folder or in a zip archive. Arrays that zarrs decodes have the
//! same grid, cache and errors as all others. zarrs keeps a pool of threads, which does not survive
//! a fork: a forked child gets an error.

use super::zarr::ZarrStore;
use super::{Attribute, Backend, Node};
use crate::array::Array;
use crate::error::{Error, ErrorKind};

mod blocks;
mod bounds;
mod calls;
mod files;
mod open;
#[cfg(all(test, feature = "zarrs-zfp"))]
mod zfp;

/// A zarr store whose arrays zarrs reads: all of them, or those that the default reader refuses.
#[derive(Debug)]
pub(crate) struct ZarrsStore {
    pure: ZarrStore,
    refused_only: bool,
}

impl ZarrsStore {
    pub(crate) fn new(pure: ZarrStore, refused_only: bool) -> ZarrsStore {
        ZarrsStore { pure, refused_only }
    }
}

impl Backend for ZarrsStore {
    fn node(&self, element: &str) -> Result<Option<Node>, Error> {
        self.pure.node(element)
    }

    fn children(&self, group: &str) -> Result<Vec<String>, Error> {
        self.pure.children(group)
    }

    fn unreadable(&self, group: &str) -> Result<Vec<Error>, Error> {
        self.pure.unreadable(group)
    }

    fn attribute_names(&self, element: &str) -> Result<Vec<String>, Error> {
        self.pure.attribute_names(element)
    }

    fn attribute(&self, element: &str, name: &str) -> Result<Option<Attribute>, Error> {
        self.pure.attribute(element, name)
    }

    fn array(&self, element: &str) -> Result<Array, Error> {
        if self.refused_only {
            match self.pure.array(element) {
                Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => {}
                read => return read,
            }
        }
        open::array(&self.pure, element)
    }

    fn dangling(&self, group: &str) -> Result<Vec<(String, String)>, Error> {
        self.pure.dangling(group)
    }

    fn has_writer(&self) -> bool {
        self.pure.has_writer()
    }
}
