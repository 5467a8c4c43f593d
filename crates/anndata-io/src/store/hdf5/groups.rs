//! Groups: the names in them, whatever is wrong with what they name.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use hdf5_reader::btree_v1;
use hdf5_reader::btree_v2::{self, BTreeV2Header, BTreeV2Record};
use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::fractal_heap::FractalHeap;
use hdf5_reader::group::Group;
use hdf5_reader::io::Cursor;
use hdf5_reader::local_heap::LocalHeap;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::link::{self, LinkTarget};
use hdf5_reader::messages::symbol_table_msg::SymbolTableMessage;
use hdf5_reader::symbol_table::SymbolTableNode;

use super::{Hdf5Store, is_undefined};

/// The members of a group.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) names: Vec<String>,
    /// For those that are links to a path: that path.
    paths: HashMap<String, String>,
}

impl Members {
    /// The path that a member leads to, when it is a link to one.
    pub(super) fn target(&self, name: &str) -> Option<&str> {
        self.paths.get(name).map(String::as_str)
    }
}

impl Hdf5Store {
    /// The group at a path. Each group on the way has each of its names once: where a name was
    /// damaged into another, one of two would be taken for the other.
    pub(super) fn group(&self, path: &str) -> Result<Group, Hdf5Error> {
        let ends = path.match_indices('/').map(|(at, _)| at);
        for end in [0].into_iter().chain(ends).chain([path.len()]) {
            self.members(&path[..end])?;
        }
        self.file.group(path)
    }

    /// The members of a group, in the order of their creation where that is known. They are read
    /// once.
    pub(super) fn members(&self, path: &str) -> Result<Arc<Members>, Hdf5Error> {
        let lock = || self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(members) = lock().get(path) {
            return Ok(members.clone());
        }
        let members = self.read_members(&self.file.group(path)?)?;
        if members.paths.values().any(String::is_empty) {
            // To the C library it leads to the group itself, to `hdf5-reader` to the root.
            let what = format!("the group /{path} has a link to an empty path");
            return Err(Hdf5Error::InvalidData(what));
        }
        if members.names.iter().any(|name| name.contains('\0')) {
            // The C library would see a part of it.
            let what = format!("the group /{path} has a name with a zero byte");
            return Err(Hdf5Error::InvalidData(what));
        }
        let mut names = HashSet::new();
        if let Some(twice) = members.names.iter().find(|name| !names.insert(*name)) {
            let what = format!("the group /{path} has the name {twice} twice");
            return Err(Hdf5Error::InvalidData(what));
        }
        let members = Arc::new(members);
        lock().insert(path.to_owned(), members.clone());
        Ok(members)
    }

    /// The path that a member stands for, when it is a link to one.
    pub(super) fn path_behind(&self, group: &str, name: &str) -> Result<Option<String>, Hdf5Error> {
        let members = self.members(group)?;
        let path = members
            .paths
            .get(name)
            .map(|path| match path.strip_prefix('/') {
                Some(path) => path.to_owned(),
                None if group.is_empty() => path.clone(),
                None => format!("{group}/{path}"),
            });
        Ok(path)
    }

    fn read_members(&self, group: &Group) -> Result<Members, Hdf5Error> {
        let (_, offset_size, length_size) = self.structure();
        let header = self.file.get_or_parse_header(group.address())?;
        let mut links = Vec::new();
        let mut heap = None;
        for message in &header.messages {
            match message {
                HdfMessage::SymbolTable(table) => return self.members_of_table(table),
                HdfMessage::Link(link) => links.push(link.clone()),
                HdfMessage::LinkInfo(info) => heap = Some(info),
                _ => {}
            }
        }
        if let Some(info) = heap {
            let (heap, tree) = (info.fractal_heap_address, info.btree_name_index_address);
            self.objects_of_heap(heap, tree, |bytes| {
                let (mut cursor, len) = (Cursor::new(bytes), bytes.len());
                links.push(link::parse(&mut cursor, offset_size, length_size, len)?);
                Ok(())
            })?;
        }
        if links.iter().all(|link| link.creation_order.is_some()) {
            links.sort_by_key(|link| link.creation_order);
        }
        let mut members = Members::default();
        for link in links {
            if let LinkTarget::Soft { path } = link.target {
                members.paths.insert(link.name.clone(), path);
            }
            members.names.push(link.name);
        }
        Ok(members)
    }

    /// The members in the table of an old group.
    fn members_of_table(&self, table: &SymbolTableMessage) -> Result<Members, Hdf5Error> {
        let (storage, offset_size, length_size) = self.structure();
        let heap =
            LocalHeap::parse_at_storage(storage, table.heap_address, offset_size, length_size)?;
        let nodes = btree_v1::collect_btree_v1_leaves_storage(
            storage,
            table.btree_address,
            offset_size,
            length_size,
            None,
            &[],
            None,
        )?;
        let mut segment = None;
        let mut members = Members::default();
        for (_, address) in nodes {
            let head = storage.read_range(address, 8)?;
            let n_entries = usize::from(u16::from_le_bytes([head[6], head[7]]));
            let entry = 2 * usize::from(offset_size) + 24;
            let bytes = storage.read_range(address, 8 + n_entries * entry)?;
            let node = SymbolTableNode::parse(&mut Cursor::new(&bytes), offset_size, length_size)?;
            if segment.is_none() && n_entries > 0 {
                let len = usize::try_from(heap.data_segment_size).unwrap_or(usize::MAX);
                segment = Some(storage.read_range(heap.data_segment_address, len)?);
            }
            let segment: &[u8] = segment.as_deref().unwrap_or_default();
            for entry in node.entries {
                let name = text_at(segment, entry.link_name_offset)?;
                if entry.cache_type == PATH {
                    let [a, b, c, d, ..] = entry.scratch;
                    let path = text_at(segment, u32::from_le_bytes([a, b, c, d]).into())?;
                    members.paths.insert(name.clone(), path);
                }
                members.names.push(name);
            }
        }
        Ok(members)
    }

    /// Hands out the links or attributes that a heap holds and a tree lists.
    pub(super) fn objects_of_heap(
        &self,
        heap: u64,
        tree: u64,
        mut visit: impl FnMut(&[u8]) -> Result<(), Hdf5Error>,
    ) -> Result<(), Hdf5Error> {
        let (storage, offset_size, length_size) = self.structure();
        if is_undefined(heap, offset_size) || is_undefined(tree, offset_size) {
            return Ok(());
        }
        let heap = FractalHeap::parse_at_storage(storage, heap, offset_size, length_size)?;
        let tree = BTreeV2Header::parse_at_storage(storage, tree, offset_size, length_size)?;
        let records = btree_v2::collect_btree_v2_records_storage(
            storage,
            &tree,
            offset_size,
            length_size,
            None,
            &[],
            None,
        )?;
        for record in records {
            if let BTreeV2Record::LinkNameHash { heap_id, .. }
            | BTreeV2Record::AttributeNameHash { heap_id, .. }
            | BTreeV2Record::AttributeCreationOrder { heap_id, .. } = record
            {
                visit(&heap.get_object_storage(&heap_id, storage, offset_size, length_size)?)?;
            }
        }
        Ok(())
    }
}

/// What an entry of an old group holds when it leads to a path.
const PATH: u32 = 2;

/// A text in the heap of an old group's names.
fn text_at(segment: &[u8], offset: u64) -> Result<String, Hdf5Error> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let rest = segment.get(start..).unwrap_or_default();
    let end = rest.iter().position(|&byte| byte == 0);
    let end = end.ok_or(Hdf5Error::OffsetOutOfBounds(offset))?;
    let text = str::from_utf8(&rest[..end]);
    let text = text.map_err(|error| Hdf5Error::InvalidData(error.to_string()))?;
    Ok(text.to_owned())
}
