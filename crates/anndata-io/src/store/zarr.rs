//! Zarr directories, format 2 and 3.
//!
//! Only metadata is read here; chunks and shards become the same [`Chunks`] that HDF5 has, and go
//! through the same decoders. Nothing is cached between calls: a store is opened, asked for
//! arrays, and dropped.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::{Attribute, Backend, Node};
use crate::array::chunks::{ChunkFiles, Chunks, ShardFiles};
use crate::array::grid::Grid;
use crate::array::{Array, ArrayParts};
use crate::context::IoContext;
use crate::error::{Error, ErrorKind};

mod metadata;

use metadata::ArrayMetadata;

/// An open zarr directory.
#[derive(Debug)]
pub(crate) struct ZarrStore {
    context: IoContext,
    root: PathBuf,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    V2,
    V3,
}

impl ZarrStore {
    /// `None` when the directory holds no zarr.
    pub(crate) fn open(root: &Path, context: &IoContext) -> Result<Option<Self>, Error> {
        let format = if root.join("zarr.json").is_file() {
            Format::V3
        } else if [".zgroup", ".zarray", ".zmetadata"]
            .iter()
            .any(|name| root.join(name).is_file())
        {
            Format::V2
        } else {
            return Ok(None);
        };
        let store = ZarrStore {
            context: context.clone(),
            root: root.to_owned(),
            format,
        };
        let name = if format == Format::V3 {
            "zarr.json"
        } else {
            ".zgroup"
        };
        store.document("", name)?; // a store whose root cannot be read fails here
        Ok(Some(store))
    }

    /// The directory of an element. A name cannot lead out of the store.
    fn dir(&self, element: &str) -> Option<PathBuf> {
        let inside = |component| matches!(component, Component::Normal(_));
        Path::new(element)
            .components()
            .all(inside)
            .then(|| self.root.join(element))
    }

    /// A metadata document of an element; `None` when there is none.
    fn document(&self, element: &str, name: &str) -> Result<Option<Value>, Error> {
        if self.context.is_closed() {
            return Err(Error::new(&self.root, element, ErrorKind::Closed));
        }
        let Some(dir) = self.dir(element) else {
            return Ok(None);
        };
        let text = match std::fs::read_to_string(dir.join(name)) {
            Ok(text) => text,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(Error::io(&self.root, element, error)),
        };
        let document: Value = serde_json::from_str(&text)
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
        Error::invalid(&self.root, element, expected, found)
    }

    fn node_v3(&self, element: &str) -> Result<Option<(Node, Value)>, Error> {
        let Some(document) = self.document(element, "zarr.json")? else {
            return Ok(None);
        };
        match document["node_type"].as_str() {
            Some("group") => Ok(Some((Node::Group, document))),
            Some("array") => Ok(Some((Node::Array, document))),
            _ => {
                let found = document["node_type"].to_string();
                Err(self.invalid(element, "node_type group or array in zarr.json", found))
            }
        }
    }
}

fn is_absence(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

impl Backend for ZarrStore {
    fn node(&self, element: &str) -> Result<Option<Node>, Error> {
        match self.format {
            Format::V3 => Ok(self.node_v3(element)?.map(|(node, _)| node)),
            Format::V2 => {
                let Some(dir) = self.dir(element) else {
                    return Ok(None);
                };
                if dir.join(".zarray").is_file() {
                    return Ok(Some(Node::Array));
                }
                Ok(dir.join(".zgroup").is_file().then_some(Node::Group))
            }
        }
    }

    fn children(&self, group: &str) -> Result<Vec<String>, Error> {
        let Some(dir) = self.dir(group) else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(|error| Error::io(&self.root, group, error))? {
            let entry = entry.map_err(|error| Error::io(&self.root, group, error))?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let metadata: &[&str] = match self.format {
                Format::V3 => &["zarr.json"],
                Format::V2 => &[".zarray", ".zgroup"],
            };
            if metadata
                .iter()
                .any(|file| entry.path().join(file).is_file())
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn attribute(&self, element: &str, name: &str) -> Result<Option<Attribute>, Error> {
        let document = match self.format {
            Format::V3 => self
                .document(element, "zarr.json")?
                .map(|mut document| document["attributes"].take()),
            Format::V2 => self.document(element, ".zattrs")?,
        };
        let value = document.as_ref().and_then(|document| document.get(name));
        Ok(value.filter(|value| !value.is_null()).map(attribute))
    }

    fn array(&self, element: &str) -> Result<Array, Error> {
        let missing = || {
            Error::new(
                &self.root,
                element,
                ErrorKind::MissingElement { nearest: None },
            )
        };
        let parsed = match self.format {
            Format::V3 => {
                let (node, document) = self.node_v3(element)?.ok_or_else(missing)?;
                if node == Node::Group {
                    return Err(self.invalid(element, "an array", "a group"));
                }
                ArrayMetadata::from_v3(&document)
            }
            Format::V2 => {
                let document = self.document(element, ".zarray")?.ok_or_else(missing)?;
                ArrayMetadata::from_v2(&document)
            }
        };
        let metadata = parsed.map_err(|kind| Error::new(&self.root, element, kind))?;
        let dir = self.dir(element).ok_or_else(missing)?;
        let list = |grid: &Grid| {
            ChunkFiles::list(
                &self.context,
                &dir,
                metadata.key_prefix,
                metadata.separator,
                grid,
            )
        };
        let chunks = match metadata.sharding {
            None => Chunks::Files(list(&metadata.grid)?),
            Some(sharding) => {
                let files = list(&sharding.shards)?;
                let indexes = files.present.iter().map(|_| Default::default()).collect();
                let (index_at_end, index_checksum) =
                    (sharding.index_at_end, sharding.index_checksum);
                let shards = sharding.shards;
                Chunks::Shards(ShardFiles {
                    files,
                    shards,
                    index_at_end,
                    index_checksum,
                    indexes,
                })
            }
        };
        Ok(Array::new(ArrayParts {
            context: self.context.clone(),
            file: self.root.clone(),
            element: element.to_owned(),
            grid: metadata.grid,
            item: metadata.item,
            big_endian: metadata.big_endian,
            pipeline: metadata.pipeline,
            stored_axes: metadata.stored_axes,
            chunks,
            fill: metadata.fill,
            id: 0,
        }))
    }
}

fn attribute(value: &Value) -> Attribute {
    let texts = |values: &[Value]| -> Option<Vec<String>> {
        values
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect()
    };
    let integer = |value: &Value| value.as_i64().or_else(|| value.as_bool().map(i64::from));
    match value {
        Value::String(text) => Attribute::Text(text.clone()),
        Value::Array(values) => texts(values)
            .map(Attribute::Texts)
            .or_else(|| {
                values
                    .iter()
                    .map(integer)
                    .collect::<Option<_>>()
                    .map(Attribute::Integers)
            })
            .unwrap_or_else(|| Attribute::Other(value.to_string())),
        value => integer(value).map_or_else(
            || Attribute::Other(value.to_string()),
            |n| Attribute::Integers(vec![n]),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_lead_out_of_the_store() {
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
    fn attributes_of_every_kind() {
        let of = |text: &str| attribute(&serde_json::from_str(text).expect("valid JSON"));
        assert_eq!(of("\"a\""), Attribute::Text("a".into()));
        assert_eq!(
            of("[\"a\",\"b\"]"),
            Attribute::Texts(vec!["a".into(), "b".into()])
        );
        assert_eq!(of("[2,3]"), Attribute::Integers(vec![2, 3]));
        assert_eq!(of("true"), Attribute::Integers(vec![1]));
        assert_eq!(of("[]"), Attribute::Texts(vec![]));
        assert_eq!(of("1.5"), Attribute::Other("1.5".into()));
    }
}
