#!/usr/bin/env python3
"""Synthetic single-cell collections in many on-disk formats, the same for the same seed.

    python generate.py --out DIR --size small
    python generate.py --out DIR --size medium --genes overlap --formats csr_none csr_gzip

Writes DIR/<size>/<genes>/<format>/part_<i>.{h5ad,zarr}; format `annbatch` is one directory
`collection.zarr`, which annbatch itself writes (shuffled, sharded) from the csr_none files.
What is there already is left alone, unless --force.

Counts are geometric with mean `library size * expression[type, gene]`, scaled so that a cell has
about a twentieth of the genes. The matrix is float32, its indices int32, unless the format says
otherwise. `overlap` gives every file its own genes in its own order, four fifths of them in all
files; `same` gives all files the same. Cell types are skewed; files differ in the types they have
and in the order of their categories.
"""
import argparse
import functools
import json
import shutil
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

# Files, cells a file, genes a file; a dense file keeps the first cells only.
SIZES = {
    "small": dict(files=2, cells=2_000, genes=20_000, dense_cells=1_000),
    "medium": dict(files=4, cells=50_000, genes=20_000, dense_cells=6_000),
}
FORMATS = (
    "csr_none",  # h5ad, CSR, no filter, the chunks that anndata chooses
    "csr_gzip",
    "csr_lzf",
    "dense_none",  # h5ad, dense, contiguous
    "dense_gzip",
    "zarr2",  # zarr v2, blosc with lz4
    "zarr3",  # zarr v3 as anndata writes it: sharded, zstd
    "annbatch",  # annbatch's own collection
    "log1p_none",  # csr_none, but log1p of normalised counts, float64
    "log1p_gzip",
    "int64_gzip",  # csr_gzip with int64 indices and row pointers
    "many",  # 1,000 small h5ad files, of equal genes only
)
MANY = 1000
N_TYPES = 40
NNZ_SHARE = 0.05
SEED = 20


def gene_universe(n_genes):
    """Genes that files draw from: names, and the expression of each in each type."""
    rng = np.random.default_rng([SEED, 0])
    n = n_genes * 5 // 4
    base = rng.lognormal(0, 2, n)
    expression = base * rng.lognormal(0, 0.6, (N_TYPES, n))
    numbers = rng.choice(1_000_000, n, replace=False)
    return np.array([f"ENSG{k:011d}" for k in numbers], dtype=object), expression


def choose_genes(rng, n_genes, overlap):
    if not overlap:
        return np.arange(n_genes)
    core = n_genes * 4 // 5
    own = rng.choice(np.arange(core, n_genes * 5 // 4), n_genes - core, replace=False)
    return rng.permutation(np.concatenate([np.arange(core), own]))


def scale_for(expression, types, library, share):
    """The factor that makes `share` of the counts nonzero, found by bisection."""
    sample = slice(0, 200)
    unscaled = (library[sample, None] * expression[types[sample]]).astype(np.float32)
    low, high = 1.0, 1e7
    for _ in range(20):
        middle = (low * high) ** 0.5
        mean = unscaled * np.float32(middle)
        low, high = (middle, high) if (mean / (1 + mean)).mean() < share else (low, middle)
    return middle


def counts(rng, expression, types, library):
    """Geometric counts as CSR: with p = mean / (1 + mean), a count is at least k when u < p^k."""
    n_cells, n_genes = len(types), expression.shape[1]
    expression = expression.astype(np.float32)
    indptr, indices, values = [np.zeros(1, np.int64)], [], []
    for start in range(0, n_cells, 250):
        rows = slice(start, start + 250)
        p = expression[types[rows]] * library[rows, None].astype(np.float32)
        p /= 1 + p
        u = rng.random(p.shape, dtype=np.float32)
        hits = np.flatnonzero(u < p)
        u, p = u.ravel()[hits], p.ravel()[hits]
        floor = np.float32(2.0**-26)
        values.append(np.maximum(1, np.floor(np.log(np.maximum(u, floor)) / np.log(p))).astype(np.float32))
        indices.append((hits % n_genes).astype(np.int32))
        per_row = np.bincount(hits // n_genes, minlength=len(types[rows]))
        indptr.append(indptr[-1][-1] + np.cumsum(per_row))
    csr = (np.concatenate(values), np.concatenate(indices), np.concatenate(indptr).astype(np.int32))
    return sp.csr_matrix(csr, shape=(n_cells, n_genes))


def make_part(number, size, overlap):
    """File `number` of a collection, in memory."""
    rng = np.random.default_rng([SEED, 1 + overlap, number])
    names, expression = gene_universe(size["genes"])
    genes = choose_genes(rng, size["genes"], overlap)
    expression = expression[:, genes] / expression[:, genes].sum(1, keepdims=True)

    present = rng.permutation(N_TYPES)[: N_TYPES - 3 * (number % 3)]
    frequency = 1 / (1.0 + present) ** 1.3
    types = rng.choice(present, size["cells"], p=frequency / frequency.sum())
    library = rng.lognormal(0, 0.5, size["cells"])
    library *= scale_for(expression, types, library, NNZ_SHARE)

    labels = np.array([f"type {k:02d}" for k in range(N_TYPES)], dtype=object)
    order = [labels[k] for k in rng.permutation(np.unique(types))]
    donors = [f"donor {number}.{k}" for k in range(8)]
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(labels[types], categories=order),
            "donor": pd.Categorical.from_codes(rng.integers(0, 8, size["cells"]), donors),
        },
        index=[f"cell {number}.{k}" for k in range(size["cells"])],
    )
    return ad.AnnData(counts(rng, expression, types, library), obs=obs, var=pd.DataFrame(index=names[genes]))


def log1p_normalised(part):
    x = part.X.astype(np.float64)
    totals = np.asarray(x.sum(1)).ravel()
    x.data = np.log1p(x.data * np.repeat(1e4 / np.maximum(totals, 1), np.diff(x.indptr)))
    return ad.AnnData(x, obs=part.obs, var=part.var)


def write_wide_indices(part, path):
    """The part with int64 indices, which scipy would narrow: written element by element."""
    import h5py

    part.write_h5ad(path, compression="gzip")
    with h5py.File(path, "a") as file:
        for name in ("indices", "indptr"):
            old = file["X"][name]
            values, chunks = old[...].astype(np.int64), old.chunks
            del file["X"][name]
            file["X"].create_dataset(name, data=values, chunks=chunks, compression="gzip", maxshape=(None,))


def write_part(part, kind, path, dense_cells):
    compression = {"none": None}.get(kind.rpartition("_")[2], kind.rpartition("_")[2])
    if kind.startswith("csr_"):
        part.write_h5ad(path, compression=compression)
    elif kind.startswith("log1p_"):
        log1p_normalised(part).write_h5ad(path, compression=compression)
    elif kind.startswith("dense_"):
        few = part[:dense_cells].copy()
        few.X = few.X.toarray()
        few.write_h5ad(path, compression=compression)
    elif kind == "int64_gzip":
        write_wide_indices(part, path)
    elif kind == "zarr2":
        import numcodecs
        import zarr

        group = zarr.open_group(str(path), mode="w", zarr_format=2)
        blosc = numcodecs.Blosc("lz4", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)
        ad.io.write_elem(group, "/", part, dataset_kwargs={"compressor": blosc})
        zarr.consolidate_metadata(group.store)
    elif kind == "zarr3":
        import zarr

        ad.io.write_elem(zarr.open_group(str(path), mode="w", zarr_format=3), "/", part)
    else:
        raise ValueError(kind)


def write_annbatch(sources, path):
    """annbatch's own store, with its defaults; differing genes are joined here, beforehand."""
    import h5py
    import zarr
    from annbatch import DatasetCollection

    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})

    def load(source):
        lazy = ad.experimental.read_lazy(source)
        return ad.AnnData(X=lazy.X, obs=lazy.obs.to_memory()[["cell_type"]], var=lazy.var.to_memory())

    def var_names(source):
        with h5py.File(source) as file:
            return pd.Index(ad.io.read_elem(file["var"]).index)

    shared = functools.reduce(lambda a, b: a[a.isin(b)], map(var_names, sources))
    DatasetCollection(str(path)).add_adatas(
        adata_paths=[str(source) for source in sources],
        load_adata=load,
        shuffle=True,
        var_subset=list(shared),
        rng=np.random.default_rng(SEED),
    )


def write_many(part, folder):
    """The first cells of a part, 20 a file, with the first 500 genes."""
    folder.mkdir()
    for number in range(MANY):
        few = part[number * 20 : (number + 1) * 20, :500].copy()
        few.write_h5ad(folder / f"part_{number:04}.h5ad")


def size_of(path):
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def written(path, write, force):
    """Writes to a name beside `path` and moves it there when done, so that what is there is whole."""
    if path.exists():
        if not force:
            return False
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    partial = path.with_name("partial_" + path.name)
    if partial.exists():
        shutil.rmtree(partial) if partial.is_dir() else partial.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    write(partial)
    partial.rename(path)
    print(f"{path}: {size_of(path) / 1e6:.1f} MB in {time.perf_counter() - start:.1f} s", flush=True)
    return True


def generate(out, size_name, gene_sets, formats, force=False):
    size = SIZES[size_name]
    for genes in gene_sets:
        folder = out / size_name / genes
        for number in range(size["files"]):
            part = None
            for kind in formats:
                dense = kind.startswith("dense_")
                if kind in ("annbatch", "many") or (dense and number >= 2):
                    continue
                path = folder / kind / f"part_{number}.{'zarr' if kind.startswith('zarr') else 'h5ad'}"
                if part is None and (force or not path.exists()):
                    start = time.perf_counter()
                    part = make_part(number, size, genes == "overlap")
                    spent = time.perf_counter() - start
                    print(f"{genes} {number}: {part.X.nnz} nonzeros in {spent:.1f} s", flush=True)
                written(path, lambda to: write_part(part, kind, to, size["dense_cells"]), force)
        if "annbatch" in formats:
            sources = sorted((folder / "csr_none").glob("part_*.h5ad"))
            if len(sources) < size["files"]:
                raise SystemExit("annbatch's collection is written from csr_none: add that format")
            written(folder / "annbatch" / "collection.zarr", lambda to: write_annbatch(sources, to), force)
        if "many" in formats and genes == "same" and size["cells"] >= 20 * MANY:
            part = make_part(0, size, False)
            written(folder / "many", lambda to: write_many(part, to), force)
    sizes = {
        str(path.relative_to(out / size_name)): size_of(path)
        for path in sorted((out / size_name).glob("*/*"))
        if path.is_dir()
    }
    (out / size_name / "bytes.json").write_text(json.dumps(sizes, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--genes", nargs="+", choices=["same", "overlap"], default=["same", "overlap"])
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--force", action="store_true", help="write anew what is there")
    options = parser.parse_args()
    generate(options.out, options.size, options.genes, options.formats, options.force)


if __name__ == "__main__":
    main()
