//! Files and their bytes.

pub(crate) mod buffers;
pub(crate) mod context;
pub(crate) mod folder;
pub(crate) mod fork;
pub(crate) mod location;
