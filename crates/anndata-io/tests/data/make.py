"""Writes `tables.h5mu` beside it: a MuData file of two tables, and an old table in a group of its own.

Run with h5py 3.16.0 and numpy 2.4.6; other versions may write other bytes.
"""

from pathlib import Path

import h5py
import numpy as np


def encoded(element, encoding, version="0.2.0"):
    element.attrs["encoding-type"], element.attrs["encoding-version"] = encoding, version
    return element


def texts(group, name, values):
    return encoded(group.create_dataset(name, data=values, dtype=h5py.string_dtype()), "string-array")


def frame(group, name, index, columns=()):
    made = encoded(group.create_group(name), "dataframe")
    made.attrs["_index"], made.attrs["column-order"] = "_index", np.array(columns, dtype=h5py.string_dtype())
    texts(made, "_index", index)
    return made


def table(group, n_genes, start):
    """Three cells of kinds b, none and a; X counts from `start`."""
    encoded(group, "anndata", "0.1.0")
    obs = frame(group, "obs", ["c1", "c2", "c3"], ["kind"])
    frame(group, "var", [f"g{i}" for i in range(n_genes)])
    x = np.arange(start, start + 3 * n_genes, dtype="f4").reshape(3, n_genes)
    encoded(group.create_dataset("X", data=x, chunks=(2, n_genes), compression="gzip"), "array")
    return obs


with h5py.File(Path(__file__).parent / "tables.h5mu", "w", userblock_size=512) as file:
    file.attrs["encoding-type"] = "MuData"
    for axis in ("obs", "var"):
        frame(file, axis, ["c1", "c2", "c3"])
    for name, n_genes, start in [("rna", 4, 0), ("atac", 2, 100)]:
        obs = table(file.create_group(f"mod/{name}"), n_genes, start)
        kind = encoded(obs.create_group("kind"), "categorical")
        kind.attrs["ordered"] = False
        kind["codes"] = np.array([1, -1, 0], dtype="i1")
        texts(kind, "categories", ["a", "b"])
    # As anndata 0.7 has it: codes whose categories an object reference names.
    obs = table(file.create_group("archive/of/old"), 2, 50)
    obs["kind"] = np.array([1, -1, 0], dtype="i1")
    obs["__categories/kind"] = np.array([b"a", b"b"])
    obs["kind"].attrs["categories"] = obs["__categories/kind"].ref
