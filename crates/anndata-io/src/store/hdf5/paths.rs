//! Paths, and the objects to which they lead.

use std::collections::HashSet;

use hdf5_reader::error::Error as Hdf5Error;

use super::Hdf5Store;
use super::errors::invalid;
use super::links::Target;
use super::members::Members;
use crate::limits::{MAX_LINK_DEPTH, MAX_LINKS};
use crate::path::member;

impl Hdf5Store {
    /// Returns the address of the object at a path; `None` if there is no object.
    pub(super) fn address(&self, path: &str) -> Result<Option<u64>, Hdf5Error> {
        let root = self.file.superblock().root_object_header_address()?;
        match path {
            "" => Ok(Some(root)),
            path => self.follow(root, path.split('/'), 0, &mut 0),
        }
    }

    fn follow<'a>(
        &self,
        start: u64,
        names: impl Iterator<Item = &'a str>,
        depth: u32,
        followed: &mut u32,
    ) -> Result<Option<u64>, Hdf5Error> {
        let mut at = start;
        for name in names {
            let Some(members) = self.members(at)? else {
                return Ok(None);
            };
            at = match members.target(name)? {
                None => return Ok(None),
                Some(Target::Object(address)) => *address,
                Some(Target::Unsupported(kind)) => {
                    return Err(Hdf5Error::UnsupportedLinkType(*kind));
                }
                Some(Target::Damaged(what)) => return Err(invalid(*what)),
                Some(Target::Path(path)) => {
                    *followed += 1;
                    if *followed > MAX_LINKS {
                        return Err(invalid(
                            "its links form a loop, or a chain that is too long",
                        ));
                    }
                    if depth == MAX_LINK_DEPTH {
                        return Ok(None);
                    }
                    let from = match path.starts_with('/') {
                        true => self.file.superblock().root_object_header_address()?,
                        false => at,
                    };
                    let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
                    let names: Box<dyn Iterator<Item = &str>> = Box::new(names);
                    match self.follow(from, names, depth + 1, followed)? {
                        Some(address) => address,
                        None => return Ok(None),
                    }
                }
            };
        }
        Ok(Some(at))
    }

    /// Returns the path of the object at an address: searches the group `likely` first, then the
    /// whole file.
    pub(super) fn path_of(&self, address: u64, likely: &str) -> Result<Option<String>, Hdf5Error> {
        let of = |members: &Members| {
            let leads_there = |name: &&String| matches!(members.targets.get(*name), Some(Target::Object(found)) if *found == address);
            members.names.iter().find(leads_there).cloned()
        };
        if let Ok(Some(group)) = self.address(likely)
            && let Ok(Some(members)) = self.members(group)
            && let Some(name) = of(&members)
        {
            return Ok(Some(member(likely, &name)));
        }
        let root = self.file.superblock().root_object_header_address()?;
        let mut seen = HashSet::from([root]);
        let mut groups = vec![(String::new(), root)];
        let mut failed = None;
        while let Some((path, group)) = groups.pop() {
            let members = match self.members(group) {
                Ok(Some(members)) => members,
                Ok(None) => continue,
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            if let Some(name) = of(&members) {
                return Ok(Some(format!("{path}{name}")));
            }
            for name in &members.names {
                if let Some(Target::Object(child)) = members.targets.get(name)
                    && seen.insert(*child)
                {
                    groups.push((format!("{path}{name}/"), *child));
                }
            }
        }
        failed.map_or(Ok(None), Err)
    }
}
