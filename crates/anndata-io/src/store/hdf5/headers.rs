//! Object headers: the messages that describe an object. Each is kept as it stands in the file, so
//! that a damaged message fails only the reads that need it. Messages that objects share lie
//! elsewhere, and are looked up when they are needed.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use hdf5_reader::checksum::jenkins_lookup3;
use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::fractal_heap::FractalHeap;
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::shared::{self, SharedMessage};
use hdf5_reader::messages::{self, HdfMessage};

use super::Hdf5Store;
use super::errors::{invalid, is_undefined};
use crate::io::lock::lock;
use crate::limits::{HEADER_CACHE_BYTES, MAX_HEADER_BYTES, MAX_HEADER_PIECES};

/// The messages of an object.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) messages: Vec<Message>,
}

/// A message as it stands in the file.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: u16,
    /// Whether it holds a reference to the message instead of the message itself.
    is_shared: bool,
    bytes: Vec<u8>,
}

/// The kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectKind {
    Group,
    Dataset,
    /// A named datatype.
    Other,
}

impl Header {
    pub(super) fn kind(&self) -> ObjectKind {
        use messages::*;
        let has = |kinds: &[u16]| self.messages.iter().any(|m| kinds.contains(&m.kind));
        let of_group = [MSG_SYMBOL_TABLE, MSG_LINK, MSG_LINK_INFO, MSG_GROUP_INFO];
        let of_dataset = [
            MSG_DATASPACE,
            MSG_DATA_LAYOUT,
            MSG_FILL_VALUE,
            MSG_FILL_VALUE_OLD,
            MSG_FILTER_PIPELINE,
        ];
        if has(&of_group) {
            ObjectKind::Group
        } else if has(&of_dataset) {
            ObjectKind::Dataset
        } else if !has(&[MSG_DATATYPE]) && has(&[MSG_ATTRIBUTE, MSG_ATTRIBUTE_INFO]) {
            ObjectKind::Group
        } else {
            ObjectKind::Other
        }
    }

    fn len(&self) -> usize {
        let lens = self.messages.iter().map(|message| message.bytes.len() + 64);
        lens.sum()
    }
}

/// Headers by address, and the bytes of their messages.
#[derive(Default)]
pub(super) struct Headers {
    by_address: std::collections::HashMap<u64, Arc<Header>>,
    len: usize,
}

impl Hdf5Store {
    /// Returns the header at an address. Reads it once.
    pub(super) fn header(&self, address: u64) -> Result<Arc<Header>, Hdf5Error> {
        let headers = || lock(&self.headers);
        if let Some(header) = headers().by_address.get(&address) {
            return Ok(header.clone());
        }
        let header = Arc::new(self.read_header(address)?);
        let mut kept = headers();
        if kept.len.saturating_add(header.len()) > HEADER_CACHE_BYTES {
            *kept = Headers::default();
        }
        kept.len += header.len();
        kept.by_address.insert(address, header.clone());
        Ok(header)
    }

    fn read_header(&self, address: u64) -> Result<Header, Hdf5Error> {
        let storage = self.file.storage();
        let head = storage.read_range(address, 16)?;
        // The first piece: its start and length, without the checksum after it.
        let (is_new, ordered, start, len) = if head.starts_with(b"OHDR") {
            let (version, flags) = (head[4], head[5]);
            if version != 2 {
                return Err(Hdf5Error::UnsupportedObjectHeaderVersion(version));
            }
            // Times, and limits of attributes, if present.
            let start = 6 + 16 * (flags >> 5 & 1) as usize + 4 * (flags >> 4 & 1) as usize;
            let width = 1 << (flags & 3);
            let head = storage.read_range(address, start + width)?;
            let mut cursor = Cursor::new(&head);
            cursor.skip(start)?;
            (
                true,
                flags & 4 != 0,
                start + width,
                cursor.read_uvar(width)?,
            )
        } else {
            if head[0] != 1 {
                return Err(Hdf5Error::UnsupportedObjectHeaderVersion(head[0]));
            }
            let len = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
            (false, false, 16, u64::from(len))
        };
        let checksum = if is_new { 4 } else { 0 };
        let whole = (start as u64 + checksum).saturating_add(len);
        let mut header = Header::default();
        let mut pieces = vec![(address, whole, start)];
        let (mut seen, mut read) = (HashSet::new(), 0u64);
        while let Some((address, len, start)) = pieces.pop() {
            read = read.saturating_add(len);
            if !seen.insert(address) || seen.len() > MAX_HEADER_PIECES || read > MAX_HEADER_BYTES {
                return Err(invalid(
                    "an object header leads to the same bytes over and over",
                ));
            }
            let piece = storage.read_range(address, len as usize)?;
            let mut bytes = &piece[..];
            if is_new {
                let split = bytes.split_last_chunk::<4>();
                let (content, sum) = split.ok_or(Hdf5Error::InvalidObjectHeaderSignature)?;
                let (expected, actual) = (u32::from_le_bytes(*sum), jenkins_lookup3(content));
                if expected != actual {
                    return Err(Hdf5Error::ChecksumMismatch { expected, actual });
                }
                if seen.len() > 1 && !content.starts_with(b"OCHK") {
                    return Err(Hdf5Error::InvalidObjectHeaderSignature);
                }
                bytes = content;
            }
            let bytes = bytes
                .get(start..)
                .ok_or(Hdf5Error::InvalidObjectHeaderSignature)?;
            let first = header.messages.len();
            read_messages(bytes, is_new, ordered, &mut header.messages)?;
            for message in &header.messages[first..] {
                if message.kind == messages::MSG_CONTINUATION && !message.is_shared {
                    let (_, offset_size, length_size) = self.structure();
                    let mut cursor = Cursor::new(&message.bytes);
                    let address = cursor.read_offset(offset_size)?;
                    let len = cursor.read_length(length_size)?;
                    pieces.push((address, len, if is_new { 4 } else { 0 }));
                }
            }
        }
        Ok(header)
    }

    /// Returns the contents of a message, wherever they are stored.
    pub(super) fn contents<'a>(&self, message: &'a Message) -> Result<Cow<'a, [u8]>, Hdf5Error> {
        match message.is_shared {
            false => Ok(Cow::Borrowed(&message.bytes)),
            true => self.shared(message.kind, &message.bytes).map(Cow::Owned),
        }
    }

    /// Returns a parsed message.
    pub(super) fn parsed(&self, message: &Message) -> Result<HdfMessage, Hdf5Error> {
        let (_, offset_size, length_size) = self.structure();
        let bytes = self.contents(message)?;
        let (mut cursor, len) = (Cursor::new(&bytes), bytes.len());
        messages::parse_message(message.kind, len, &mut cursor, offset_size, length_size)
    }

    /// Returns the message of a kind that `reference` leads to: in the header of another object, or
    /// in the file's heap of shared messages.
    pub(super) fn shared(&self, kind: u16, reference: &[u8]) -> Result<Vec<u8>, Hdf5Error> {
        let (_, offset_size, length_size) = self.structure();
        let (mut cursor, len) = (Cursor::new(reference), reference.len());
        match shared::parse(&mut cursor, kind, offset_size, length_size, len)? {
            SharedMessage::SharedInOhdr { address, .. } => {
                let header = self.header(address)?;
                let mut found = header.messages.iter();
                let found = found.find(|message| message.kind == kind && !message.is_shared);
                let found = found.ok_or_else(|| invalid("a shared message that is not there"))?;
                Ok(found.bytes.clone())
            }
            SharedMessage::SharedInSohm { heap_id, .. } => self.shared_object(kind, &heap_id),
        }
    }

    /// Returns a message in the file's heap of shared messages, by its heap id.
    pub(super) fn shared_object(&self, kind: u16, heap_id: &[u8]) -> Result<Vec<u8>, Hdf5Error> {
        let (storage, offset_size, length_size) = self.structure();
        let heap = self.shared_heap(kind)?;
        let heap = FractalHeap::parse_at_storage(storage, heap, offset_size, length_size)?;
        heap.get_object_storage(heap_id, storage, offset_size, length_size)
    }

    /// Returns the heap of shared messages of a kind. The heap alone identifies its messages: the
    /// lists and trees beside it only serve to find equal ones.
    fn shared_heap(&self, kind: u16) -> Result<u64, Hdf5Error> {
        let (storage, offset_size, _) = self.structure();
        let extension = self.file.superblock().extension_address;
        let extension = extension.filter(|&address| !is_undefined(address, offset_size));
        let absent = || invalid("messages are shared in a table that the file does not have");
        let header = self.header(extension.ok_or_else(absent)?)?;
        let is_table = |message: &&Message| message.kind == messages::MSG_SHARED_TABLE;
        let message = header.messages.iter().find(is_table).ok_or_else(absent)?;
        // A version, the address of the table, and its number of indexes.
        let mut cursor = Cursor::new(&message.bytes);
        cursor.skip(1)?;
        let table = cursor.read_offset(offset_size)?;
        let n_indexes = usize::from(cursor.read_u8()?);
        // Per index: version, kind of list, kinds of messages, smallest message, two limits, number
        // of messages, then the addresses of the list and the heap.
        let entry_len = 14 + 2 * usize::from(offset_size);
        let len = 4 + n_indexes * entry_len;
        let bytes = storage.read_range(table, len + 4)?;
        let (content, sum) = bytes.split_at(len);
        let expected = Cursor::new(sum).read_u32_le()?;
        let actual = jenkins_lookup3(content);
        if !content.starts_with(b"SMTB") {
            return Err(invalid("a table of shared messages without its signature"));
        }
        if expected != actual {
            return Err(Hdf5Error::ChecksumMismatch { expected, actual });
        }
        // An old fill value counts as a new one.
        let kind = match kind {
            messages::MSG_FILL_VALUE_OLD => messages::MSG_FILL_VALUE,
            kind => kind,
        };
        for entry in content[4..].chunks_exact(entry_len) {
            let kinds = u16::from_le_bytes([entry[2], entry[3]]);
            if kinds
                .checked_shr(kind.into())
                .is_some_and(|kinds| kinds & 1 == 1)
            {
                let mut heap = Cursor::new(&entry[14 + usize::from(offset_size)..]);
                return heap.read_offset(offset_size);
            }
        }
        Err(absent())
    }
}

/// Reads the messages of one piece of a header.
fn read_messages(
    bytes: &[u8],
    is_new: bool,
    ordered: bool,
    out: &mut Vec<Message>,
) -> Result<(), Hdf5Error> {
    let mut cursor = Cursor::new(bytes);
    let envelope = match (is_new, ordered) {
        (true, true) => 6,
        (true, false) => 4,
        (false, _) => 8,
    };
    while cursor.remaining() >= envelope {
        let kind = match is_new {
            true => u16::from(cursor.read_u8()?),
            false => cursor.read_u16_le()?,
        };
        let len = cursor.read_u16_le()?;
        let flags = cursor.read_u8()?;
        cursor.skip(match (is_new, ordered) {
            (true, true) => 2,
            (true, false) => 0,
            (false, _) => 3,
        })?;
        let content = cursor.read_bytes(len.into())?;
        if kind == messages::MSG_NIL {
            continue;
        }
        out.push(Message {
            kind,
            is_shared: flags & 2 != 0,
            bytes: content.to_vec(),
        });
    }
    Ok(())
}
