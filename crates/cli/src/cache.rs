//! `cache`: packed rows on disk, which other commands and programs then read.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use mapped_anndata::io::{ByteSize, CacheOptions, PackCache};
use mapped_anndata::{Cached, MappedCollectionBuilder};
use serde::Serialize;

use crate::Result;
use crate::args::{CollectionArgs, bytes};
use crate::escape::escape;
use crate::json::write_line;
use crate::opened::Opened;
use crate::progress::{Progress, prepare};
use crate::report::warning;
use crate::storage::StorageArgs;
use crate::text;

/// Where packs are kept.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Cache")]
pub(crate) struct CacheArgs {
    /// Folder that keeps rows of compressed matrices packed, so that later epochs and programs need
    /// not decode them again, and what is read of files on servers. By default, files on servers are
    /// kept in the user's cache folder (at most 20 GiB), and others are not.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Keep nothing of files on servers.
    #[arg(long, conflicts_with = "cache")]
    pub(crate) no_cache: bool,
    /// Do not ask servers whether files that the cache knows are still the same.
    #[arg(long)]
    pub(crate) no_revalidate: bool,
    /// The most bytes that the folder may take, such as 50GiB [default: 100GiB; of the user's folder,
    /// 20GiB or a tenth of the free disk, whichever is less]
    #[arg(long, value_name = "SIZE", value_parser = bytes, conflicts_with = "no_cache")]
    pub(crate) cache_size: Option<usize>,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
}

impl CacheArgs {
    pub(crate) fn choose(
        &self,
        builder: MappedCollectionBuilder,
    ) -> Result<MappedCollectionBuilder> {
        let mut builder = self.storage.choose(builder)?;
        let size = self.cache_size.map(|size| size as u64);
        if let Some(size) = size {
            builder = builder.user_cache_size(size);
        }
        Ok(match &self.cache {
            Some(folder) => builder.cache(match size {
                Some(size) => CacheOptions::new(folder).size(size),
                None => CacheOptions::new(folder),
            }),
            None if self.no_cache => builder.cache(None),
            None => builder,
        })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// List the matrices of which a cache holds rows.
    List(FolderArgs),
    /// Fill a cache with the rows of a collection before they are first needed.
    Build(Box<BuildArgs>),
    /// Compare the checksums of all packed rows.
    Verify(FolderArgs),
    /// Remove all packed rows, also those that other processes use.
    Clear(FolderArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct FolderArgs {
    /// The folder of the cache; by default, that of the user, where files on servers are kept.
    folder: Option<PathBuf>,
    /// The same, as the other commands take it.
    #[arg(long, value_name = "DIR", conflicts_with = "folder")]
    cache: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BuildArgs {
    /// AnnData files (.h5ad, .zarr, .zarr.zip), in the order of their rows.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    collection: CollectionArgs,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  mapped-anndata cache build *.h5ad --cache packs --cache-size 20GiB
  mapped-anndata stream *.h5ad --cache packs --shuffle exact
  mapped-anndata cache list packs
  mapped-anndata cache verify packs
  mapped-anndata cache clear packs

Packed rows are those of the files, bit for bit. A file that changed is decoded anew. When the
folder is full, the matrices that were used least recently give way. What an open collection uses
stays.

JSON: list prints one object a line for each matrix (file, element, bands, elements, bytes; an empty
element stands for what was read of a file on a server when it was opened), and
last one for all (folder, bytes). build: {folder, bands, cached_bands, bytes}. verify: one object a
line for each damaged segment (segment, bands: how many are damaged, null if all may be), and last
one for all (folder, faults). clear: {folder, bytes}.";

/// Runs a command; the exit code is 1 if `verify` finds damage.
pub(crate) fn run(command: &CacheCommand, json: bool, out: &mut impl Write) -> Result<ExitCode> {
    match command {
        CacheCommand::List(args) => list(&open(args)?, json, out)?,
        CacheCommand::Build(args) => build(args, json, out)?,
        CacheCommand::Verify(args) => return verify(&open(args)?, json, out),
        CacheCommand::Clear(args) => clear(&open(args)?, json, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens a cache that exists.
fn open(args: &FolderArgs) -> Result<PackCache> {
    let given = args.folder.as_ref().or(args.cache.as_ref());
    let of_user = || CacheOptions::of_user().map(|cache| cache.get_folder().to_owned());
    let folder = given.cloned().or_else(of_user);
    let folder = folder.ok_or("pass the folder of the cache: this user has no home")?;
    if !folder.join("CACHEDIR.TAG").is_file() {
        let problem = match folder.exists() {
            true => "not a cache",
            false => "no such folder",
        };
        let folder = escape(&folder.display().to_string()).into_owned();
        return Err(format!("{folder}: {problem}").into());
    }
    Ok(PackCache::open(&CacheOptions::new(&folder))?)
}

#[derive(Serialize)]
struct Element {
    file: String,
    element: String,
    bands: u64,
    elements: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Total {
    folder: String,
    bytes: u64,
}

fn list(cache: &PackCache, json: bool, out: &mut impl Write) -> Result<()> {
    let elements = cache.list()?;
    let total = Total {
        folder: cache.path().display().to_string(),
        bytes: elements.iter().map(|element| element.n_bytes).sum(),
    };
    if json {
        for element in elements {
            let element = Element {
                file: element.file.display().to_string(),
                element: element.element,
                bands: element.n_bands,
                elements: element.n_elements,
                bytes: element.n_bytes,
            };
            write_line(out, &element)?;
        }
        return Ok(write_line(out, &total)?);
    }
    let rows = elements.into_iter().map(|element| {
        [
            element.file.display().to_string(),
            match &*element.element {
                "" => "(structure, names and labels)".to_owned(),
                name => name.to_owned(),
            },
            text::thousands(element.n_bands),
            text::thousands(element.n_elements),
            ByteSize(element.n_bytes).to_string(),
        ]
    });
    let header = ["file", "matrix", "bands", "elements", "packed"];
    writeln!(out, "{}", text::table(header, &[2, 3, 4], rows))?;
    writeln!(out, "\n{} in all", ByteSize(total.bytes))?;
    Ok(())
}

/// What a cache holds of a collection, in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct CachedLine {
    bands: usize,
    cached_bands: usize,
    bytes: u64,
}

impl From<Cached> for CachedLine {
    fn from(cached: Cached) -> Self {
        CachedLine {
            bands: cached.n_bands,
            cached_bands: cached.n_cached,
            bytes: cached.bytes,
        }
    }
}

#[derive(Serialize)]
struct Built {
    folder: String,
    #[serde(flatten)]
    cached: CachedLine,
}

fn build(args: &BuildArgs, json: bool, out: &mut impl Write) -> Result<()> {
    let opened = Opened::open(&args.paths, &args.collection)?;
    let io = opened.cells.io();
    let Some(cache) = io.cache() else {
        return Err("nowhere to build: pass --cache DIR".into());
    };
    prepare(&opened.cells)?;
    let cached = opened.cells.cached().expect("there is a cache");
    if json {
        let folder = cache.path().display().to_string();
        let cached = cached.into();
        return Ok(write_line(out, &Built { folder, cached })?);
    }
    writeln!(out, "{}", in_words(&cached))?;
    if cached.n_cached < cached.n_bands {
        let rest = text::count(cached.n_bands - cached.n_cached, "band");
        warning(&format!(
            "{rest} did not fit in --cache-size, or could not be decoded"
        ));
    }
    Ok(())
}

/// What a cache holds of a collection.
pub(crate) fn in_words(cached: &Cached) -> String {
    match cached.n_bands {
        0 => "cache: nothing to keep: no matrix with rows is compressed by row".to_owned(),
        n_bands => format!(
            "cache: {} of {} of chunks packed, {}",
            text::thousands(cached.n_cached as u64),
            text::count(n_bands, "band"),
            ByteSize(cached.bytes)
        ),
    }
}

#[derive(Serialize)]
struct Damaged {
    segment: String,
    bands: Option<usize>,
}

#[derive(Serialize)]
struct Verified {
    folder: String,
    faults: usize,
}

fn verify(cache: &PackCache, json: bool, out: &mut impl Write) -> Result<ExitCode> {
    let mut progress = Progress::of_segments();
    let faults = cache.verify(|done, of| progress.part_of_file(0, done as u64, of as u64))?;
    drop(progress);
    let n_faults = faults.len();
    for fault in faults {
        let damaged = Damaged {
            segment: fault.segment.display().to_string(),
            bands: fault.n_bands,
        };
        if json {
            write_line(out, &damaged)?;
            continue;
        }
        let segment = escape(&damaged.segment);
        match damaged.bands {
            Some(n) => writeln!(out, "{segment}: {} damaged", text::count(n, "band"))?,
            None => writeln!(out, "{segment}: cut short or damaged at its end")?,
        }
    }
    if json {
        let folder = cache.path().display().to_string();
        let faults = n_faults;
        write_line(out, &Verified { folder, faults })?;
    } else if n_faults == 0 {
        writeln!(out, "all checksums agree")?;
    } else {
        let segments = text::count(n_faults, "segment");
        writeln!(
            out,
            "{segments} damaged: the next epoch decodes those rows anew"
        )?;
    }
    Ok(match n_faults {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn clear(cache: &PackCache, json: bool, out: &mut impl Write) -> Result<()> {
    let total = Total {
        bytes: cache.clear()?,
        folder: cache.path().display().to_string(),
    };
    if json {
        return Ok(write_line(out, &total)?);
    }
    writeln!(out, "{} removed", ByteSize(total.bytes))?;
    Ok(())
}
