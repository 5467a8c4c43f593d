//! Zarr directories and zip archives of them, format 2 and 3.
//!
//! Takes a folder, on disk or in an archive. Reads only metadata; chunks and shards become the same
//! [`Chunks`] as in HDF5, and go through the same decoders. Nothing is cached between calls: a
//! store is opened, asked for arrays, and dropped.
//!
//! ```text
//! documents ─┬─ metadata/: shape, type, grid ─┐
//!            ├─ codecs.rs: the pipeline       ├─▶ ArrayParts ─▶ Array
//!            ├─ fill.rs: the fill value       │
//!            └─ names of files ───▶ Chunks ───┘
//! attributes.rs · extension.rs: unknown members are refused · parsed.rs: errors
//! ```

use std::path::{Component, Path};

use serde_json::Value;

use super::{Attribute, Backend, Node};
use crate::array::chunks::{ChunkFiles, Chunks, ShardFiles};
use crate::array::grid::Grid;
use crate::array::{Array, ArrayParts};
use crate::error::{Error, ErrorKind};
use crate::io::bytes::ByteSource;
use crate::io::context::IoContext;
use crate::io::folder::Folder;
use crate::limits::MAX_DOCUMENT_BYTES;
use crate::path::member;

mod attributes;
mod codecs;
mod consolidated;
mod extension;
mod fill;
mod metadata;
mod parsed;

use attributes::attribute;
use metadata::{ArrayMetadata, field_names};

/// An open zarr directory or archive.
#[derive(Debug)]
pub(crate) struct ZarrStore {
    context: IoContext,
    folder: Folder,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    V2,
    V3,
}

impl ZarrStore {
    /// Opens a directory; `None` if it holds no zarr.
    pub(crate) fn open(root: &Path, context: &IoContext) -> Result<Option<Self>, Error> {
        ZarrStore::of_folder(Folder::Disk(root.to_owned()), context)
    }

    /// Opens the store in a zip archive, or the part of it that `inner` names; if there is none,
    /// describes the archive instead.
    pub(crate) fn open_zip(
        path: &Path,
        source: ByteSource,
        inner: &str,
        context: &IoContext,
    ) -> Result<Result<Self, String>, Error> {
        let roots = [ROOT_V3, ROOTS_V2[0], ROOTS_V2[1], ROOTS_V2[2]];
        let folder = match Folder::open_zip(path, source, inner, &roots)? {
            Ok(folder) => folder,
            Err(found) => return Ok(Err(found)),
        };
        let store = ZarrStore::of_folder(folder, context)?;
        Ok(store.ok_or_else(|| "a zip archive without zarr.json or .zgroup".to_owned()))
    }

    pub(super) fn of_folder(folder: Folder, context: &IoContext) -> Result<Option<Self>, Error> {
        let is_there = |name: &str| Ok(folder.len(name)?.is_some());
        let format = if is_there(ROOT_V3)? {
            Format::V3
        } else if is_there(ROOTS_V2[0])? || is_there(ROOTS_V2[1])? || is_there(ROOTS_V2[2])? {
            Format::V2
        } else {
            return Ok(None);
        };
        let store = ZarrStore {
            context: context.clone(),
            folder,
            format,
        };
        // A store whose root cannot be read fails here.
        match format {
            Format::V3 => {
                if let Some((_, document)) = store.node_v3("")? {
                    extension::check_consolidated(&document)
                        .map_err(|(element, kind)| Error::new(store.path(), element, kind))?;
                }
            }
            Format::V2 => {
                store.document("", ROOTS_V2[0])?;
            }
        }
        Ok(Some(store))
    }

    fn attributes(&self, element: &str) -> Result<Option<Value>, Error> {
        Ok(match self.format {
            Format::V3 => self
                .node_v3(element)?
                .map(|(_, mut document)| document["attributes"].take()),
            Format::V2 => self.document(element, ".zattrs")?,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the name of a file of an element; `None` if it would lead out of the store.
    fn file(&self, element: &str, name: &str) -> Option<String> {
        let inside = |component| matches!(component, Component::Normal(_));
        if !Path::new(element).components().all(inside) {
            return None;
        }
        Some(member(element, name))
    }

    fn has_file(&self, element: &str, name: &str) -> Result<bool, Error> {
        match self.file(element, name) {
            Some(file) => Ok(self.folder.len(&file)?.is_some()),
            None => Ok(false),
        }
    }

    /// Reads a metadata document of an element; `None` if the element has no such document.
    fn document(&self, element: &str, name: &str) -> Result<Option<Value>, Error> {
        if self.context.is_closed() {
            return Err(Error::new(self.path(), element, ErrorKind::Closed));
        }
        let Some(file) = self.file(element, name) else {
            return Ok(None);
        };
        let Some(len) = self.folder.len(&file)? else {
            return Ok(None);
        };
        if len > MAX_DOCUMENT_BYTES {
            let expected = format!("{name} of at most {MAX_DOCUMENT_BYTES} bytes");
            return Err(self.invalid(element, expected, len.to_string()));
        }
        let Some(text) = self.folder.read(&file)? else {
            return Ok(None);
        };
        let document: Value = serde_json::from_slice(&text)
            .map_err(|error| self.invalid(element, format!("JSON in {name}"), error.to_string()))?;
        match document {
            Value::Object(_) => Ok(Some(document)),
            _ => Err(self.invalid(element, format!("an object in {name}"), "another value")),
        }
    }

    fn invalid(
        &self,
        element: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        Error::invalid(self.path(), element, expected, found)
    }

    /// For a field of a table, returns the table, the field, and the document of the table.
    fn table_of<'a>(&self, element: &'a str) -> Result<Option<(&'a str, &'a str, Value)>, Error> {
        let Some((table, field)) = element.rsplit_once('/') else {
            return Ok(None);
        };
        let document = self.document(table, ".zarray")?;
        let document = document.filter(|document| {
            let names = field_names(&document["dtype"]);
            names.iter().any(|name| name == field)
        });
        Ok(document.map(|document| (table, field, document)))
    }

    /// Returns the metadata of an array unchanged, for another reader of it.
    #[cfg(feature = "zarrs")]
    pub(super) fn array_document(&self, element: &str) -> Result<Value, Error> {
        let is_array = self.node(element)? == Some(Node::Array);
        let name = match self.format {
            Format::V3 => ROOT_V3,
            Format::V2 => ".zarray",
        };
        let document = is_array.then(|| self.document(element, name)).transpose()?;
        document
            .flatten()
            .ok_or_else(|| match self.table_of(element) {
                Ok(Some(_)) => {
                    let what = "a field of a table of records by zarrs";
                    Error::unsupported(self.path(), element, what, "use the default reader")
                }
                _ => Error::new(
                    self.path(),
                    element,
                    ErrorKind::MissingElement { nearest: None },
                ),
            })
    }

    #[cfg(feature = "zarrs")]
    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    #[cfg(feature = "zarrs")]
    pub(super) fn context(&self) -> &IoContext {
        &self.context
    }

    fn node_v3(&self, element: &str) -> Result<Option<(Node, Value)>, Error> {
        let Some(document) = self.document(element, "zarr.json")? else {
            return Ok(None);
        };
        match extension::is_array(&document) {
            Ok(true) => Ok(Some((Node::Array, document))),
            Ok(false) => Ok(Some((Node::Group, document))),
            Err(kind) => Err(Error::new(self.path(), element, kind)),
        }
    }
}

/// The document of a group or an array in format 3.
const ROOT_V3: &str = "zarr.json";
/// Documents that are signs of format 2.
const ROOTS_V2: [&str; 3] = [".zgroup", ".zarray", ".zmetadata"];

impl Backend for ZarrStore {
    fn has_writer(&self) -> bool {
        false
    }

    fn node(&self, element: &str) -> Result<Option<Node>, Error> {
        match self.format {
            Format::V3 => Ok(self.node_v3(element)?.map(|(node, _)| node)),
            Format::V2 => {
                if let Some(document) = self.document(element, ".zarray")? {
                    let is_table = !field_names(&document["dtype"]).is_empty();
                    return Ok(Some(if is_table { Node::Table } else { Node::Array }));
                }
                if self.has_file(element, ".zgroup")? {
                    return Ok(Some(Node::Group));
                }
                Ok(self.table_of(element)?.map(|_| Node::Array))
            }
        }
    }

    fn children(&self, group: &str) -> Result<Vec<String>, Error> {
        if self.format == Format::V2
            && let Some(document) = self.document(group, ".zarray")?
        {
            return Ok(field_names(&document["dtype"]));
        }
        if self.file(group, "").is_none() {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for name in self.folder.names(group)? {
            let element = self.file(group, &name).unwrap_or_default();
            let documents: &[&str] = match self.format {
                Format::V3 => &[ROOT_V3],
                Format::V2 => &ROOTS_V2[..2],
            };
            // An unreadable document still exists.
            let mut documents = documents.iter();
            if documents.any(|name| self.has_file(&element, name).unwrap_or(true)) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn dangling(&self, group: &str) -> Result<Vec<(String, String)>, Error> {
        let members = self.children(group)?;
        let mut dangling = Vec::new();
        for name in self.folder.names(group)? {
            let element = self.file(group, &name).unwrap_or_default();
            let is_known = name.starts_with('.') || members.contains(&name);
            if !is_known && self.folder.len(&element)?.is_none() {
                let found = "a folder without metadata of zarr, or a link to nothing";
                dangling.push((name, found.to_owned()));
            }
        }
        Ok(dangling)
    }

    fn unreadable(&self, group: &str) -> Result<Vec<Error>, Error> {
        if self.file(group, "").is_none() {
            return Ok(Vec::new());
        }
        let folders = self.folder.unreadable_folders(group)?.into_iter();
        let error = |name: String| {
            let element = self.file(group, &name).unwrap_or(name);
            self.invalid(
                &element,
                "a member that can be asked for",
                "a name that is not UTF-8",
            )
        };
        Ok(folders.map(error).collect())
    }

    fn attribute_names(&self, element: &str) -> Result<Vec<String>, Error> {
        let attributes = self.attributes(element)?;
        let attributes = attributes.as_ref().and_then(Value::as_object);
        let present = attributes.into_iter().flatten();
        let present = present.filter(|(_, value)| !value.is_null());
        Ok(present.map(|(name, _)| name.clone()).collect())
    }

    fn attribute(&self, element: &str, name: &str) -> Result<Option<Attribute>, Error> {
        let document = self.attributes(element)?;
        let value = document.as_ref().and_then(|document| document.get(name));
        Ok(value.filter(|value| !value.is_null()).map(attribute))
    }

    fn array(&self, element: &str) -> Result<Array, Error> {
        let missing = || {
            Error::new(
                self.path(),
                element,
                ErrorKind::MissingElement { nearest: None },
            )
        };
        // The element whose chunks hold those of the array.
        let mut stored = element;
        let parsed = match self.format {
            Format::V3 => {
                let (node, document) = self.node_v3(element)?.ok_or_else(missing)?;
                if node == Node::Group {
                    return Err(self.invalid(element, "an array", "a group"));
                }
                ArrayMetadata::from_v3(&document)
            }
            Format::V2 => match self.document(element, ".zarray")? {
                Some(document) => ArrayMetadata::from_v2(&document, None),
                None => {
                    let (table, field, document) = self.table_of(element)?.ok_or_else(missing)?;
                    stored = table;
                    ArrayMetadata::from_v2(&document, Some(field))
                }
            },
        };
        let metadata = parsed.map_err(|kind| Error::new(self.path(), element, kind))?;
        let list = |grid: &Grid| {
            ChunkFiles::list(
                &self.context,
                &self.folder,
                stored,
                metadata.key_prefix,
                metadata.separator,
                grid,
            )
        };
        let chunks = match metadata.sharding {
            None => Chunks::Files(Box::new(list(&metadata.grid)?)),
            Some(sharding) => {
                let files = list(&sharding.shards)?;
                let (at_end, checksum) = (sharding.index_at_end, sharding.index_checksum);
                let shards = ShardFiles::new(files, sharding.shards, at_end, checksum);
                Chunks::Shards(Box::new(shards))
            }
        };
        Ok(Array::new(ArrayParts {
            context: self.context.clone(),
            file: self.path().to_owned(),
            element: element.to_owned(),
            grid: metadata.grid,
            item: metadata.item,
            big_endian: metadata.big_endian,
            pipeline: metadata.pipeline,
            stored_axes: metadata.stored_axes,
            chunks,
            fill: metadata.fill,
            record: metadata.record,
            conversion: None,
            missing: None,
            id: 0,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_names_cannot_lead_out_of_the_store() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let inside = root.path().join("a.zarr");
        std::fs::create_dir(&inside).expect("a new folder");
        for dir in [root.path(), &inside] {
            std::fs::write(dir.join(".zgroup"), "{}").expect("a small file");
        }
        let store = ZarrStore::open(&inside, &IoContext::default());
        let store = store.expect("readable").expect("a group");
        assert_eq!(store.node("").expect("readable"), Some(Node::Group));
        assert_eq!(store.node("..").expect("readable"), None);
        assert_eq!(store.node("/etc").expect("readable"), None);
    }

    #[test]
    fn children_of_a_group_with_a_broken_member_are_listed() {
        use std::os::unix::ffi::OsStrExt;
        let v3 = r#"{"zarr_format": 3, "node_type": "group"}"#;
        let formats = [(ROOT_V3, ROOT_V3, v3), (".zgroup", ".zarray", "{}")];
        for (name, broken, group) in formats {
            let root = tempfile::tempdir().expect("a temporary folder");
            let member = |folder: &[u8], document: &str, text: &str| {
                let folder = root.path().join(std::ffi::OsStr::from_bytes(folder));
                std::fs::create_dir_all(&folder).expect("a new folder");
                std::fs::write(folder.join(document), text).expect("a small file");
            };
            member(b"", name, group);
            member(b"fine", name, group);
            member(b"broken", broken, "no JSON");
            member(b"caf\xe9", name, group);
            let store = crate::Store::open(root.path(), &IoContext::default()).expect("a group");
            let mut names = store.children("").expect("readable");
            names.sort_unstable();
            assert_eq!(names, ["broken", "fine"]);
            assert_eq!(store.node("fine").expect("readable"), Some(Node::Group));
            store.node("broken").expect_err("no JSON");
            let errors = store.unreadable("").expect("readable");
            let mut errors: Vec<&str> = errors.iter().map(crate::Error::element).collect();
            errors.sort_unstable();
            assert_eq!(errors, ["broken", r"caf\xe9"]);
        }
    }
}
