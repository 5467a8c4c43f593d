"""Memory goes back to the system when loaders end."""

import subprocess
import sys
import textwrap

import anndata
import numpy as np
import pytest
import scipy.sparse

N_LOADERS = 20
MEMORY = 64 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_twenty_loaders_leave_no_memory_behind(tmp_path):
    """Each loader lets about 60 MiB of rows wait; together they would be 1.2 GiB."""
    counts = scipy.sparse.random(20_000, 2_000, 0.15, "csr", np.float32, np.random.default_rng(0))
    path = tmp_path / "cells.h5ad"
    anndata.AnnData(counts).write_h5ad(path, compression="gzip")
    program = f"""
        from mapped_anndata import IoOptions, MappedCollection

        def resident():
            with open("/proc/self/status") as status:
                line = next(line for line in status if line.startswith("RssAnon:"))
            return int(line.split()[1]) << 10

        io = IoOptions(cache_bytes=1 << 20)
        with MappedCollection([{str(path)!r}], io=io) as cells:
            before, most = resident(), 0
            for seed in range({N_LOADERS}):
                loader = cells.loader(
                    256, shuffle="exact", seed=seed, output="csr", memory={MEMORY}
                )
                for number, batch in enumerate(loader):
                    if number == 20:
                        break
                most = max(most, resident() - before)
                del loader, batch
            print(most, resident() - before)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    most, left = map(int, run.stdout.split())
    assert most < 2 * MEMORY, f"{most} bytes in use"
    assert left < MEMORY // 4, f"{left} bytes left, at most {most} in use"
