//! Groups: their names and the targets of these, even if the named objects are damaged.

use std::collections::HashMap;
use std::sync::Arc;

use hdf5_reader::btree_v1;
use hdf5_reader::btree_v2::{self, BTreeV2Header, BTreeV2Record};
use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::fractal_heap::FractalHeap;
use hdf5_reader::io::Cursor;
use hdf5_reader::local_heap::LocalHeap;
use hdf5_reader::messages::symbol_table_msg::SymbolTableMessage;
use hdf5_reader::messages::{HdfMessage, MSG_LINK, MSG_LINK_INFO, MSG_SYMBOL_TABLE};
use hdf5_reader::symbol_table::SymbolTableNode;

use super::Hdf5Store;
use super::errors::{invalid, is_undefined};
use super::headers::ObjectKind;
use super::links::{Link, Target};
use crate::io::lock::lock;

/// The members of a group.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// In the order of creation, if it is known.
    pub(super) names: Vec<String>,
    pub(super) targets: HashMap<String, Target>,
    /// Members whose names cannot be asked for: the escaped name, and the fault.
    pub(super) unreadable: Vec<(String, &'static str)>,
    /// Whether there are members of unknown name: any name may be theirs.
    nameless: bool,
}

impl Members {
    /// Returns the target of a name; `None` if the group does not have it.
    pub(super) fn target(&self, name: &str) -> Result<Option<&Target>, Hdf5Error> {
        let target = self.targets.get(name);
        if target.is_none() && self.nameless {
            let what =
                format!("the group has members whose names cannot be read: {name} may be one");
            return Err(invalid(what));
        }
        Ok(target)
    }

    /// Returns the path to which a member leads, if it is a link to a path.
    pub(super) fn linked_path(&self, name: &str) -> Option<&str> {
        match self.targets.get(name) {
            Some(Target::Path(path)) => Some(path),
            _ => None,
        }
    }

    fn add(&mut self, Link { name, target, .. }: Link) -> Result<(), Hdf5Error> {
        let escaped = name.escape_ascii().to_string();
        match String::from_utf8(name) {
            Err(_) => self.unreadable.push((escaped, "a name that is not UTF-8")),
            // The C library would see only a part of it.
            Ok(name) if name.contains('\0') => {
                self.unreadable.push((escaped, "a name with a zero byte"));
            }
            Ok(name) => {
                if self.targets.insert(name.clone(), target).is_some() {
                    // If damage turned one name into another, one member would be mistaken for the
                    // other.
                    return Err(invalid(format!("the group has the name {name} twice")));
                }
                self.names.push(name);
            }
        }
        Ok(())
    }
}

impl Hdf5Store {
    /// Returns the members of the group at an address; `None` if it is not a group. Reads them
    /// once.
    pub(super) fn members(&self, address: u64) -> Result<Option<Arc<Members>>, Hdf5Error> {
        let known = || lock(&self.members);
        if let Some(members) = known().get(&address) {
            return Ok(Some(members.clone()));
        }
        let header = self.header(address)?;
        if header.kind() != ObjectKind::Group {
            return Ok(None);
        }
        let (_, offset_size, _) = self.structure();
        let mut members = Members::default();
        let mut links = Vec::new();
        for message in &header.messages {
            match message.kind {
                MSG_SYMBOL_TABLE => {
                    if let HdfMessage::SymbolTable(table) = self.parsed(message)? {
                        self.members_of_table(&table, &mut members)?;
                    }
                }
                MSG_LINK => links.push(Link::parse(&self.contents(message)?, offset_size)),
                MSG_LINK_INFO => {
                    if let HdfMessage::LinkInfo(info) = self.parsed(message)? {
                        let (heap, tree) =
                            (info.fractal_heap_address, info.btree_name_index_address);
                        self.objects_of_heap(heap, tree, |_, bytes| {
                            links.push(Link::parse(bytes, offset_size));
                        })?;
                    }
                }
                _ => {}
            }
        }
        let n_links = links.len();
        let mut links: Vec<Link> = links.into_iter().filter_map(Result::ok).collect();
        members.nameless |= links.len() < n_links;
        if members.nameless {
            let what = "a name that cannot be found";
            members.unreadable.push(("?".to_owned(), what));
        }
        if links.iter().all(|link| link.order.is_some()) {
            links.sort_by_key(|link| link.order);
        }
        links.into_iter().try_for_each(|link| members.add(link))?;
        let members = Arc::new(members);
        known().insert(address, members.clone());
        Ok(Some(members))
    }

    /// Returns the members in the table of an old group.
    fn members_of_table(
        &self,
        table: &SymbolTableMessage,
        members: &mut Members,
    ) -> Result<(), Hdf5Error> {
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
                let Some(name) = text_at(segment, entry.link_name_offset) else {
                    members.nameless = true;
                    continue;
                };
                let target = match entry.cache_type {
                    PATH => {
                        let [a, b, c, d, ..] = entry.scratch;
                        let path = text_at(segment, u32::from_le_bytes([a, b, c, d]).into());
                        path.map_or(
                            Target::Damaged("a link whose path is nowhere"),
                            Target::of_path,
                        )
                    }
                    _ => Target::Object(entry.object_header_address),
                };
                members.add(Link {
                    name: name.to_vec(),
                    order: None,
                    target,
                })?;
            }
        }
        Ok(())
    }

    /// Hands out the links or attributes that a heap holds and a tree lists. For a shared
    /// attribute, this is its id in the heap of shared messages.
    pub(super) fn objects_of_heap(
        &self,
        heap: u64,
        tree: u64,
        mut visit: impl FnMut(bool, &[u8]),
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
            let (heap_id, flags) = match record {
                BTreeV2Record::LinkNameHash { heap_id, .. } => (heap_id, 0),
                BTreeV2Record::AttributeNameHash { heap_id, flags, .. } => (heap_id, flags),
                _ => continue,
            };
            if flags & 2 != 0 {
                visit(true, &heap_id);
                continue;
            }
            let object = heap.get_object_storage(&heap_id, storage, offset_size, length_size)?;
            visit(false, &object);
        }
        Ok(())
    }
}

/// The kind of an old group's entry that leads to a path.
const PATH: u32 = 2;

/// Returns a text in the heap of an old group's names.
fn text_at(segment: &[u8], offset: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let rest = segment.get(start..)?;
    let end = rest.iter().position(|&byte| byte == 0)?;
    Some(&rest[..end])
}
