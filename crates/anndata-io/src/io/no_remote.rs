//! The types of `remote` in a build without that feature: they have no values, so that other modules
//! are the same in all builds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::context::IoContext;
use super::folder::FileBytes;
use crate::error::{Error, ErrorKind};

/// The bytes that servers sent to this process: 0 in builds without the feature `remote`.
pub fn fetched_bytes() -> u64 {
    0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Never {}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteUrl(Never);

impl RemoteUrl {
    pub(crate) fn parse(_: &str) -> Option<RemoteUrl> {
        None
    }

    pub(crate) fn why_not(_: &Path) -> ErrorKind {
        ErrorKind::invalid(
            "a file on a local disk: this program was built without the cargo feature `remote`, which \
             reads URLs (the command has it unless it is built with `--no-default-features`)",
            "a URL",
        )
    }

    pub(crate) fn name(&self) -> PathBuf {
        match self.0 {}
    }

    pub(crate) fn without_secrets(&self) -> PathBuf {
        match self.0 {}
    }

    pub(crate) fn extension(&self) -> Option<String> {
        match self.0 {}
    }

    pub(crate) fn is_bucket(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn is_listed(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn is_folder(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn split(&self) -> Option<(RemoteUrl, String)> {
        match self.0 {}
    }
}

#[derive(Debug, Clone)]
pub(crate) struct RemoteObject(Never);

impl RemoteObject {
    pub(crate) fn open(url: &RemoteUrl, _: &IoContext) -> Result<Option<RemoteObject>, Error> {
        match url.0 {}
    }

    pub(crate) fn len(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) fn head(&self) -> &[u8] {
        match self.0 {}
    }

    pub(crate) fn stamp(&self) -> Option<String> {
        match self.0 {}
    }

    pub(crate) fn stage(&self, _: &mut dyn Iterator<Item = (Range<u64>, u64)>) {
        match self.0 {}
    }

    pub(crate) fn give_up(&self, _: Range<u64>) {
        match self.0 {}
    }

    pub(crate) fn read_exact_at(&self, _: u64, _: &mut [u8]) -> Result<(), Error> {
        match self.0 {}
    }

    pub(crate) fn read_structure(&self, _: u64, _: &mut [u8]) -> Result<(), Error> {
        match self.0 {}
    }

    pub(crate) fn forget_structure(&self) {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) bytes: Vec<u8>,
    pub(crate) reads: FolderReads,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct FolderReads;

impl FolderReads {
    pub(crate) fn documents(
        &self,
        _: &IoContext,
        url: &RemoteUrl,
        _: &[&str],
        _: u64,
    ) -> Vec<Result<Option<Vec<u8>>, Error>> {
        match url.0 {}
    }
}

pub(crate) type Listing = BTreeMap<String, ()>;

pub(crate) fn listing(
    _: &IoContext,
    url: &RemoteUrl,
    _: &FolderReads,
    _: usize,
) -> Result<Option<Listing>, Error> {
    match url.0 {}
}

#[derive(Debug, Default)]
pub(crate) struct Keeping;

impl Keeping {
    pub(crate) fn set(&self, _: bool) {}
}

pub(crate) fn documents(
    _: &IoContext,
    url: &RemoteUrl,
    _: &[&str],
    _: u64,
) -> Vec<Result<Option<Document>, Error>> {
    match url.0 {}
}

#[derive(Debug, Clone)]
pub(crate) struct RemoteFolder(Never);

impl RemoteFolder {
    pub(crate) fn new(
        _: &IoContext,
        url: &RemoteUrl,
        _: &str,
        _: BTreeMap<String, Vec<u8>>,
        _: Option<Listing>,
        _: FolderReads,
    ) -> RemoteFolder {
        match url.0 {}
    }

    pub(crate) fn path(&self) -> &Path {
        match self.0 {}
    }

    pub(crate) fn documents(&self) -> &BTreeMap<String, Vec<u8>> {
        match self.0 {}
    }

    pub(crate) fn is_listed(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn file(&self, _: &str) -> Option<(u64, Option<String>)> {
        match self.0 {}
    }

    pub(crate) fn first_parts(&self, _: &str) -> Vec<String> {
        match self.0 {}
    }

    pub(crate) fn open(&self, _: &str) -> Option<FileBytes> {
        match self.0 {}
    }

    pub(crate) fn stamp(&self) -> Option<&str> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct RemoteFiles(Never);

impl RemoteFiles {
    pub(crate) fn new(folder: &RemoteFolder) -> RemoteFiles {
        match folder.0 {}
    }

    pub(crate) fn fetched(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) fn is_absent(&self, _: u64) -> bool {
        match self.0 {}
    }

    pub(crate) fn count_absent(&self, _: u64) -> u64 {
        match self.0 {}
    }

    pub(crate) fn count_part(&self, _: u64) {
        match self.0 {}
    }

    pub(crate) fn stage(&self, _: impl Iterator<Item = u64>, _: u64, _: impl Fn(u64) -> String) {
        match self.0 {}
    }

    pub(crate) fn give_up(&self, _: u64) {
        match self.0 {}
    }

    pub(crate) fn read(&self, _: u64, _: &str, _: u64) -> Result<Option<FileBytes>, Error> {
        match self.0 {}
    }

    pub(crate) fn open(
        &self,
        _: u64,
        _: &str,
        _: u64,
        _: bool,
    ) -> Result<Option<FileBytes>, Error> {
        match self.0 {}
    }
}
