//! `--hdf5` and `--zarr`: the reader of each format.

use clap::ValueEnum;
use mapped_anndata::{Hdf5Backend, ZarrBackend};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Hdf5Arg {
    #[default]
    Pure,
    Lib,
    Fallback,
}

impl From<Hdf5Arg> for Hdf5Backend {
    fn from(backend: Hdf5Arg) -> Self {
        match backend {
            Hdf5Arg::Pure => Hdf5Backend::Pure,
            Hdf5Arg::Lib => Hdf5Backend::LibHdf5,
            Hdf5Arg::Fallback => Hdf5Backend::PureThenLibHdf5,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ZarrArg {
    #[default]
    Pure,
    Lib,
    Fallback,
}

impl From<ZarrArg> for ZarrBackend {
    fn from(backend: ZarrArg) -> Self {
        match backend {
            ZarrArg::Pure => ZarrBackend::Pure,
            ZarrArg::Lib => ZarrBackend::Zarrs,
            ZarrArg::Fallback => ZarrBackend::PureThenZarrs,
        }
    }
}
