#!/usr/bin/env python3
"""Other loaders behind one protocol, so that they can take turns with `bench`.

    python rivals.py lamindb-items --data DIR/medium/overlap --format csr_none

answers each line `time SEED SECONDS` or `check SEED ROWS` (0 for all) on standard input with one
JSON line, after a first line that says that it is ready. Every loader gives batches of 512 rows
of float32 with an integer label each, unless its name says items; a repetition ends with the epoch
or with the seconds or rows asked for. Each loader is used as its own documentation shows.
"""
import argparse
import functools
import json
import resource
import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import numpy as np

from checksum import Checksum, random_rows

BATCH = 512
LABEL = "cell_type"
LOADERS = {}


def loader(function):
    LOADERS[function.__name__.replace("_", "-")] = function
    return function


class Case:
    """What a loader gives: `epoch(seed)` yields `(x, codes)`, x dense or CSR of any library.

    `genes` names the columns of x and `categories` what each code means; None where both are
    those of the reference (inner join in the order of the first file, sorted labels).
    """

    def __init__(self, epoch, n_obs, genes=None, categories=None):
        self.epoch, self.n_obs, self.genes, self.categories = epoch, n_obs, genes, categories


def files_in(folder):
    found = sorted(folder.glob("part_*"))
    if not found:
        raise SystemExit(f"no files in {folder}: run generate.py")
    return found


def parts(options):
    return files_in(options.data / options.format)


def source_elements(data, element, read, n_files=None):
    """`read` of an element of every csr_none file, or of the first ones: what the checksums refer to."""
    import anndata as ad
    import h5py

    for path in files_in(data / "csr_none")[:n_files]:
        with h5py.File(path) as file:
            yield read(ad.io.read_elem(file[element]))


@functools.cache
def reference(data, n_files=None):
    """Joint genes, and sorted labels."""
    names = list(source_elements(data, "var", lambda var: var.index, n_files))
    shared = functools.reduce(lambda a, b: a[a.isin(b)], names)
    columns = source_elements(data, f"obs/{LABEL}", lambda column: column.categories, n_files)
    labels = set().union(*columns)
    return shared, sorted(labels)


# lamindb's MappedCollection


def mapped(options, **arguments):
    from lamindb.core._mapped_collection import MappedCollection

    paths = [str(path) for path in parts(options)]
    return MappedCollection(paths, obs_keys=[LABEL], join="inner", **arguments)


@loader
def lamindb_items(options):
    """__getitem__, one row a call, at random or in order (--order)"""
    return item_by_item(mapped(options), options)


def item_by_item(cells, options):
    def epoch(seed):
        start, random = 0, options.order == "random"
        while random or start < len(cells):
            rows = random_rows(seed, start, 1024, len(cells)) if random else range(start, min(start + 1024, len(cells)))
            for row in rows:
                item = cells[int(row)]
                yield item["X"], item[LABEL]
            start += 1024

    return Case(epoch, len(cells))


@loader
def lamindb_loader(options):
    """torch's DataLoader, shuffled or weighted (--sampler), with --workers"""
    import torch
    from torch.utils.data import DataLoader, WeightedRandomSampler

    cells = mapped(options, parallel=options.workers > 0)
    weights = cells.get_label_weights(LABEL) if options.sampler == "weighted" else None

    def epoch(seed):
        torch.manual_seed(seed)
        how = {"shuffle": True}
        if weights is not None:
            how = {"sampler": WeightedRandomSampler(weights, len(cells))}
        if options.workers:
            how["worker_init_fn"] = cells.torch_worker_init_fn
        for batch in DataLoader(cells, batch_size=BATCH, num_workers=options.workers, **how):
            yield batch["X"], batch[LABEL]

    return Case(epoch, len(cells))


# This workspace's Python package


def ours(options):
    import mapped_anndata

    pattern = "collection.zarr/dataset_*" if options.format == "annbatch" else "part_*"
    paths = sorted(str(path) for path in (options.data / options.format).glob(pattern))
    return mapped_anndata.MappedCollection(paths, obs_keys=[LABEL], join="inner", dtype="float32")


@loader
def ours_items(options):
    """__getitem__ of the Python package, one row a call"""
    return item_by_item(ours(options), options)


@loader
def ours_loader(options):
    """the Python package's loader as torch tensors: --shuffle, --memory-mib, --step-ms"""
    cells = ours(options)
    how = {"shuffle": options.shuffle} if options.sampler == "shuffle" else {"sampler": weighted(cells)}

    def epoch(seed):
        batches = cells.loader(
            BATCH, seed=seed, output=options.output, memory=options.memory_mib << 20, as_torch=True, rank=0, world_size=1, **how
        )
        for batch in batches:
            yield batch["X"], batch[LABEL]

    return Case(epoch, len(cells))


@loader
def ours_dataloader(options):
    """torch's DataLoader over the Python package's collection, shuffled, with --workers, --collate"""
    import mapped_anndata
    import torch
    from torch.utils.data import DataLoader

    cells = ours(options)
    how = {"collate_fn": mapped_anndata.collate} if options.collate == "ours" else {}

    def epoch(seed):
        torch.manual_seed(seed)
        for batch in DataLoader(cells, batch_size=BATCH, shuffle=True, num_workers=options.workers, **how):
            yield batch["X"], batch[LABEL]

    return Case(epoch, len(cells))


def weighted(cells):
    import mapped_anndata

    return mapped_anndata.Weighted(cells.get_label_weights(LABEL))


# anndata's AnnCollection, alone and under scDataset


def backed_collection(options):
    import anndata as ad
    from anndata.experimental import AnnCollection

    _, labels = reference(options.data)
    files = [ad.read_h5ad(path, backed="r") for path in parts(options)]
    for file in files:
        # Only what is asked for, with equal categories, or their concatenation costs as much as X.
        file.obs = file.obs[[LABEL]].copy()
        file.obs[LABEL] = file.obs[LABEL].cat.set_categories(labels)
    cells = AnnCollection(files, join_obs="inner", join_vars="inner", harmonize_dtypes=False)
    return cells, {label: code for code, label in enumerate(labels)}


@loader
def annloader(options):
    """AnnLoader over a backed AnnCollection, shuffled row by row"""
    from anndata.experimental import AnnLoader

    cells, code = backed_collection(options)
    dense = options.output == "dense"
    if dense:
        encode = lambda column: np.array([code[label] for label in column], np.int64)
        cells.convert = {"X": lambda x: x, "obs": {LABEL: encode}}

    def epoch(seed):
        np.random.seed(seed)
        for batch in AnnLoader(cells, batch_size=BATCH, shuffle=True, use_default_converter=dense):
            labels = batch.obs[LABEL]
            yield batch.X, labels if dense else np.array([code[label] for label in labels])

    return Case(epoch, len(cells), genes=cells.var_names)


@loader
def scdataset(options):
    """scDataset: blocks of --block rows, --fetch batches at a time, with --workers"""
    import torch
    from scdataset import BlockShuffling, MultiIndexable, scDataset
    from torch.utils.data import DataLoader

    cells, code = backed_collection(options)
    dense = options.output == "dense"

    def fetched(view):
        x, labels = view.X, np.array([code[label] for label in view.obs[LABEL]])
        return MultiIndexable({"x": x.toarray(), "y": labels}) if dense else {"x": x, "y": labels}

    def to_torch(batch):
        x = batch["x"]
        if dense:
            return torch.from_numpy(x), torch.from_numpy(batch["y"])
        return torch.sparse_csr_tensor(x.indptr, x.indices, x.data, size=x.shape), torch.from_numpy(batch["y"])

    # A scipy matrix has no length, which MultiIndexable needs: cut it here.
    cut = None if dense else lambda batch, rows: {"x": batch["x"][rows], "y": batch["y"][rows]}

    def epoch(seed):
        rows = scDataset(
            cells, BlockShuffling(block_size=options.block), batch_size=BATCH, fetch_factor=options.fetch,
            fetch_transform=fetched, batch_transform=to_torch, batch_callback=cut, seed=seed,
        )
        ahead = options.fetch + 1 if options.workers else None
        yield from DataLoader(rows, batch_size=None, num_workers=options.workers, prefetch_factor=ahead)

    return Case(epoch, len(cells), genes=cells.var_names)


# annbatch


@loader
def annbatch(options):
    """annbatch: --chunk rows x --preload chunks, over its own collection or zarr3 files"""
    import anndata as ad
    import torch
    import zarr
    from annbatch import DatasetCollection, Loader

    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    ad.settings.remove_unused_categories = False
    dense = options.output == "dense"

    def read(group):
        return ad.AnnData(X=ad.io.sparse_dataset(group["X"]), obs=ad.io.read_elem(group["obs"])[[LABEL]])

    if options.format == "annbatch":
        path = options.data / "annbatch" / "collection.zarr"
        collection = DatasetCollection(str(path), mode="r")
        groups = [group for _, group in zarr.open_group(str(path), mode="r").groups()]
        genes = ad.io.read_elem(groups[0]["var"]).index
        connect = lambda rows: rows.use_collection(collection, load_adata=read)
    else:
        _, labels = reference(options.data)
        groups = [zarr.open_group(str(path), mode="r") for path in parts(options)]
        genes = ad.io.read_elem(groups[0]["var"]).index
        files = [read(group) for group in groups]
        for file in files:
            file.obs[LABEL] = file.obs[LABEL].cat.set_categories(labels)
        connect = lambda rows: rows.add_adatas(files)

    def start(seed):
        rows = Loader(
            batch_size=BATCH, chunk_size=options.chunk, preload_nchunks=options.preload, shuffle=True,
            to="torch", preload_to_gpu=False, rng=np.random.default_rng(seed),
        )
        return connect(rows) or rows

    first = next(iter(start(0)))
    categories = list(first["obs"][LABEL].cat.categories)

    def epoch(seed):
        for batch in start(seed):
            codes = torch.from_numpy(batch["obs"][LABEL].cat.codes.to_numpy().astype(np.int64))
            yield batch["X"].to_dense() if dense else batch["X"], codes

    return Case(epoch, start(0).n_obs, genes=genes, categories=categories)


# BioNeMo SCDL


@loader
def scdl(options):
    """BioNeMo's SCDL over its own memory map, which is written first; identical genes only"""
    import torch
    from bionemo.scdl.io.single_cell_collection import SingleCellCollection
    from bionemo.scdl.io.single_cell_memmap_dataset import SingleCellMemMapDataset
    from torch.utils.data import DataLoader, Dataset

    if options.data.name != "same":
        raise SystemExit("SCDL cannot join genes")
    path = options.data / "scdl"
    if not (path / "done").exists():
        collection = SingleCellCollection(str(path / "parts"))
        for part in files_in(options.data / "csr_none"):
            collection.load_h5ad(str(part), use_X_not_raw=True)
        collection.flatten(str(path / "flat"), destroy_on_copy=True)
        (path / "done").touch()
    cells = SingleCellMemMapDataset(str(path / "flat"))
    genes, labels = reference(options.data)
    order = {label: code for code, label in enumerate(labels)}
    # It has no obs columns: labels stand beside it.
    columns = source_elements(options.data, f"obs/{LABEL}", lambda column: [order[label] for label in column])
    codes = np.concatenate([np.array(column, np.int64) for column in columns])
    dense = options.output == "dense"

    class Rows(Dataset):
        def __len__(self):
            return len(cells)

        def __getitem__(self, row):
            return cells[row], codes[row]

    def collate(rows):
        lengths = np.cumsum([0] + [row.shape[1] for row, _ in rows])
        columns = torch.cat([row[1] for row, _ in rows]).to(torch.int32)
        values = torch.cat([row[0] for row, _ in rows]).to(torch.float32)
        indptr = torch.from_numpy(lengths).to(torch.int32)
        x = torch.sparse_csr_tensor(indptr, columns, values, size=(len(rows), len(genes)))
        return x.to_dense() if dense else x, torch.tensor([code for _, code in rows])

    def epoch(seed):
        torch.manual_seed(seed)
        how = {"num_workers": options.workers, "collate_fn": collate}
        yield from DataLoader(Rows(), batch_size=BATCH, shuffle=True, **how)

    return Case(epoch, len(cells))


# The protocol


def count(x):
    return x.shape[0] if x.ndim == 2 else 1


def add_to(checksum, x, codes):
    codes = np.atleast_1d(np.asarray(codes))
    if hasattr(x, "layout"):
        import torch

        if x.layout == torch.sparse_csr:
            parts = x.crow_indices().numpy(), x.col_indices().numpy(), x.values().numpy()
            return checksum.csr(*parts, codes)
        x = x.numpy()
    elif hasattr(x, "indptr"):
        return checksum.csr(x.indptr, x.indices, x.data, codes)
    checksum.dense(np.atleast_2d(np.asarray(x)), codes)


def memory(field):
    for line in open("/proc/self/status"):
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024


def repetition(case, options, seed, check, limit):
    if check:
        # Of some formats there are fewer files.
        n_files = None if options.format == "annbatch" else len(parts(options))
        genes, labels = reference(options.data, n_files)
        columns = None if case.genes is None else genes.get_indexer(case.genes)
        if columns is not None and (columns < 0).any():
            raise SystemExit("this loader gives genes that are not shared by all files")
        checksum = Checksum(len(genes), columns)
        recode = None if case.categories is None else np.array([labels.index(label) for label in case.categories])
    rows, first = 0, None
    start = time.perf_counter()
    for x, codes in case.epoch(seed):
        rows += count(x)
        if first is None:
            first = time.perf_counter() - start
        if check:
            add_to(checksum, x, codes if recode is None else recode[np.asarray(codes)])
        if rows >= limit > 0 if check else time.perf_counter() - start >= limit:
            break
    seconds = time.perf_counter() - start
    report = {
        "seed": seed,
        "rows": rows,
        "seconds": seconds,
        "rows_per_second": rows / seconds,
        "first_batch_seconds": first,
        "peak_rss_bytes": memory("VmHWM"),
        "largest_child_rss_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
    }
    return report | (checksum.report() if check else {})


def serve_open(options):
    """lamindb's opening: time, and memory that stays after the first one."""
    from lamindb.core import _mapped_collection  # noqa: F401: an import is not an opening

    yield {"ready": True, "rss_bytes": memory("VmRSS")}
    first = True
    for line in sys.stdin:
        before = memory("RssAnon")
        start = time.perf_counter()
        cells = mapped(options)
        seconds = time.perf_counter() - start
        report = {"seed": int(line.split()[1]), "rows": len(cells), "seconds": seconds, "opens_per_second": 1 / seconds}
        if first:
            report["bytes_per_cell"] = (memory("RssAnon") - before) / len(cells)
            first = False
        cells.close()
        yield report


def serve(options):
    case = LOADERS[options.loader](options)
    yield {"ready": True, "rss_bytes": memory("VmRSS"), "n_obs": case.n_obs}
    for line in sys.stdin:
        what, seed, limit = line.split()
        yield repetition(case, options, int(seed), what == "check", float(limit))


def main():
    described = "\n".join(f"  {name}: {function.__doc__}" for name, function in LOADERS.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\nloaders:\n{described}\n  lamindb-open: the constructor",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("loader", choices=[*LOADERS, "lamindb-open"], metavar="LOADER")
    parser.add_argument("--data", type=Path, required=True, help="DIR/<size>/<genes> of generate.py")
    parser.add_argument("--format", default="csr_none")
    parser.add_argument("--output", choices=["dense", "csr"], default="dense")
    parser.add_argument("--order", choices=["random", "sequential"], default="random")
    parser.add_argument("--sampler", choices=["shuffle", "weighted"], default="shuffle")
    parser.add_argument("--shuffle", default="exact", help="of ours-loader")
    parser.add_argument("--memory-mib", type=int, default=1024, help="of ours-loader")
    parser.add_argument("--collate", choices=["ours", "torch"], default="ours", help="of ours-dataloader")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--block", type=int, default=16)
    parser.add_argument("--fetch", type=int, default=16)
    parser.add_argument("--chunk", type=int, default=32)
    parser.add_argument("--preload", type=int, default=256)
    options = parser.parse_args()
    for line in serve_open(options) if options.loader == "lamindb-open" else serve(options):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
