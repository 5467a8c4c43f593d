//! Groups: the names in them, whatever is wrong with what they name.

use std::collections::HashSet;
use std::sync::PoisonError;

use hdf5_reader::btree_v1;
use hdf5_reader::btree_v2::{self, BTreeV2Header, BTreeV2Record};
use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::fractal_heap::FractalHeap;
use hdf5_reader::group::Group;
use hdf5_reader::io::Cursor;
use hdf5_reader::local_heap::LocalHeap;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::link;
use hdf5_reader::messages::symbol_table_msg::SymbolTableMessage;
use hdf5_reader::symbol_table::SymbolTableNode;

use super::{Hdf5Store, is_undefined};

impl Hdf5Store {
    /// The group at a path. Each group on the way has each of its names once: where a name was
    /// damaged into another, one of two would be taken for the other.
    pub(super) fn group(&self, path: &str) -> Result<Group, Hdf5Error> {
        let ends = path
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([path.len()]);
        for end in std::iter::once(0).chain(ends) {
            let path = &path[..end];
            let lock = || self.checked.lock().unwrap_or_else(PoisonError::into_inner);
            if lock().contains(path) {
                continue;
            }
            let mut names = self.link_names(&self.file.group(path)?)?;
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|two| two[0] == two[1]) {
                let what = format!("the group /{path} has the name {} twice", twice[0]);
                return Err(Hdf5Error::InvalidData(what));
            }
            lock().insert(path.to_owned());
        }
        self.file.group(path)
    }

    /// The names of all links of a group, in the order of their creation where that is known.
    pub(super) fn link_names(&self, group: &Group) -> Result<Vec<String>, Hdf5Error> {
        let superblock = self.file.superblock();
        let (offset_size, length_size) = (superblock.offset_size, superblock.length_size);
        let header = self.file.get_or_parse_header(group.address())?;
        let mut links = Vec::new();
        let mut heap = None;
        for message in &header.messages {
            match message {
                HdfMessage::SymbolTable(table) => return self.names_of_table(table),
                HdfMessage::Link(link) => links.push((link.creation_order, link.name.clone())),
                HdfMessage::LinkInfo(info) => heap = Some(info),
                _ => {}
            }
        }
        if let Some(info) = heap {
            let (heap, tree) = (info.fractal_heap_address, info.btree_name_index_address);
            self.objects_of_heap(heap, tree, |bytes| {
                let mut cursor = Cursor::new(bytes);
                let link = link::parse(&mut cursor, offset_size, length_size, bytes.len())?;
                links.push((link.creation_order, link.name));
                Ok(())
            })?;
        }
        if links.iter().all(|(order, _)| order.is_some()) {
            links.sort_by_key(|(order, _)| *order);
        }
        // A link may stand both in the header and in the heap.
        let mut seen = HashSet::new();
        let names = links.into_iter().map(|(_, name)| name);
        Ok(names.filter(|name| seen.insert(name.clone())).collect())
    }

    /// The names in the table of an old group.
    fn names_of_table(&self, table: &SymbolTableMessage) -> Result<Vec<String>, Hdf5Error> {
        let (storage, superblock) = (self.file.storage(), self.file.superblock());
        let (offset_size, length_size) = (superblock.offset_size, superblock.length_size);
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
        let mut names = Vec::new();
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
                let at = usize::try_from(entry.link_name_offset).unwrap_or(usize::MAX);
                let name = segment.get(at..).unwrap_or_default();
                let name = name
                    .iter()
                    .position(|&byte| byte == 0)
                    .map(|end| &name[..end]);
                let name = name.ok_or(Hdf5Error::OffsetOutOfBounds(entry.link_name_offset))?;
                let name = str::from_utf8(name);
                let name = name.map_err(|error| Hdf5Error::InvalidData(error.to_string()))?;
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Hands out the links or attributes that a heap holds and a tree lists.
    pub(super) fn objects_of_heap(
        &self,
        heap: u64,
        tree: u64,
        mut visit: impl FnMut(&[u8]) -> Result<(), Hdf5Error>,
    ) -> Result<(), Hdf5Error> {
        let (storage, superblock) = (self.file.storage(), self.file.superblock());
        let (offset_size, length_size) = (superblock.offset_size, superblock.length_size);
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
