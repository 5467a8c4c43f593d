"""Write the files of the command's tests (anndata 0.13, h5py 3.16).

`links_*.h5ad`: links that lead nowhere, or elsewhere, in every group that is read.
`names.h5ad`: names and labels that a terminal obeys, that a list of names cuts, or that look as if
they were missing.
"""

import pathlib

import anndata as ad
import h5py
import numpy as np
import pandas as pd

HERE = pathlib.Path(__file__).parent

for libver in ("earliest", "v110"):
    with h5py.File(HERE / f"links_{libver}.h5ad", "w", libver=(libver, "v110")) as f:
        obs = pd.DataFrame({"kind": pd.Categorical(["B", "T"])}, index=["c1", "c2"])
        x = np.eye(2, dtype="float32")
        parts = {"X": x, "obs": obs, "var": pd.DataFrame(index=["a", "b"]), "layers": {"fine": x}}
        for key, value in (parts | {"obsm": {}, "raw": {"var": pd.DataFrame(index=["a", "b"])}}).items():
            ad.io.write_elem(f, key, value)
        nowhere = h5py.SoftLink("/nothing/there")
        for element in ("layers/lost", "layers/deep/lost", "obs/lost", "obsm/lost", "var/lost", "raw/X", "uns/lost"):
            f[element] = nowhere
        f["layers/round"] = h5py.SoftLink("/layers/square")
        f["layers/square"] = h5py.SoftLink("/layers/round")
        # Links that lead somewhere are as good as what they lead to.
        f["layers/same"] = h5py.SoftLink("/X")
        f["layers/deep/fine"] = h5py.SoftLink("/layers/fine")
        f["layers/elsewhere"] = h5py.ExternalLink("other.h5ad", "/X")
        del f["obs/kind/codes"]
        f["obs/kind/codes"] = h5py.ExternalLink("other.h5ad", "/obs/kind/codes")

ACTS = ["\x1b[2J\x1b]0;owned\x07", "two\nlines\t", "\x9b31m\x7f", "\u202eabc\u2066\u200b", "plain"]
obs = pd.DataFrame(
    {
        "label": pd.Categorical([*ACTS, np.nan], categories=sorted(ACTS)),
        "age, years": [1, 2, 3, 4, 5, 6],
        "a=b|c\\d": pd.Categorical(["x", "x,y", "x=y", "(missing)", "nan", np.nan]),
        "text": ["nan", "(missing)", "missing", *ACTS[:3]],
        "key\x1b[1m\n": pd.Categorical(["a", "b"] * 3),
        "share": [0.5, np.nan, 1.0, 1.0, 2.0, 2.0],
    },
    index=[f"cell{i}\x1b" for i in range(6)],
)
data = ad.AnnData(np.eye(6, 3, dtype="float32"), obs=obs, var=pd.DataFrame(index=["g\x1b1", "g\n2", "g3"]))
data.layers["layer\x1b"] = data.X
with h5py.File(HERE / "names.h5ad", "w", libver=("earliest", "v110")) as f:
    ad.io.write_elem(f, "/", data)
    values = np.array([0.5, 1.5, np.nan])
    f.create_group("obs/score").attrs.update({"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False})
    for name, array in (("codes", np.array([0, 2, 1, -1, 2, 0], "i1")), ("categories", values)):
        ad.io.write_elem(f["obs/score"], name, array)
    f["obs"].attrs["column-order"] = [*f["obs"].attrs["column-order"], "score"]
