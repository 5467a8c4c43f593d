//! Objects on servers, read by ranges over http and https.
//!
//! Takes a [`RemoteUrl`]. Returns a [`RemoteObject`]: bytes at any position, all of them of the object
//! that was opened.
//!
//! ```text
//! RemoteUrl ─▶ RemoteObject: version, from the first answer ─▶ reads ─┬─ staged: asked for ahead
//!                                                                     ├─ blocks: structure
//!                                                                     └─ one request
//! client.rs: one runtime and one pool of connections per process ─▶ object_store
//! ```
//!
//! Every request has the condition that the object is unchanged, and every answer is compared with
//! the first: servers may ignore the condition. A forked child makes its own runtime and
//! connections, and asks for its own ranges.

mod blocks;
mod bucket;
mod client;
mod connector;
mod documents;
mod failure;
mod folder;
mod hub;
mod kept;
mod object;
mod profile;
mod staged;
mod storage;
mod stores;
mod url;

pub use client::fetched_bytes;
pub(crate) use documents::{Document, FolderReads, Listing, documents, listing};
pub(crate) use folder::{RemoteFiles, RemoteFolder};
pub(crate) use kept::Keeping;
pub(crate) use object::RemoteObject;
pub use storage::StorageOptions;
pub(crate) use url::RemoteUrl;
