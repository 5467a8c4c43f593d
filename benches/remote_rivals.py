"""How others read from a server, for `remote.py`: `python benches/remote_rivals.py NAME URL…`.

`annbatch` reads an epoch of its own collection, `anndata` whole files, and `anndata-rows` batches of
random rows for ten seconds, both by fsspec. Prints rows and seconds as JSON.
"""

import json
import sys
import time

import anndata as ad
import fsspec
import h5py
import numpy as np

BATCH = 512


def annbatch(urls):
    """The datasets of a collection, with annbatch's own settings, as in `rivals.py`."""
    import zarr
    from annbatch import Loader

    def opened(url):
        group = zarr.open_group(zarr.storage.FsspecStore.from_url(url), mode="r")
        return ad.AnnData(
            X=ad.io.sparse_dataset(group["X"]), obs=ad.io.read_elem(group["obs"])[["cell_type"]]
        )

    rows = Loader(
        batch_size=BATCH, chunk_size=512, preload_nchunks=32, shuffle=True, to=None,
        preload_to_gpu=False, rng=np.random.default_rng(0),
    )
    rows.add_adatas([opened(url) for url in urls])
    return sum(batch["X"].shape[0] for batch in rows)


def opened_h5ad(url):
    return h5py.File(fsspec.open(url, block_size=1 << 20).open())


def anndata(urls):
    return sum(ad.io.read_elem(opened_h5ad(url)["X"]).shape[0] for url in urls)


def anndata_rows(urls):
    matrices = [ad.io.sparse_dataset(opened_h5ad(url)["X"]) for url in urls]
    random, n_rows, started = np.random.default_rng(0), 0, time.monotonic()
    while time.monotonic() - started < 10:
        for matrix in matrices:
            rows = np.sort(random.choice(matrix.shape[0], BATCH // len(matrices), replace=False))
            n_rows += matrix[rows].shape[0]
    return n_rows


def main():
    read = {"annbatch": annbatch, "anndata": anndata, "anndata-rows": anndata_rows}[sys.argv[1]]
    started = time.monotonic()
    n_rows = read(sys.argv[2:])
    print(json.dumps({"rows": n_rows, "seconds": round(time.monotonic() - started, 3)}))


if __name__ == "__main__":
    main()
