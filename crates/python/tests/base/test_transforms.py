"""What happens to the values of matrices on their way into items and batches."""

import pickle

import helpers
import numpy as np
import pandas as pd
import pytest

from mapped_anndata import (
    Clip,
    Counts,
    DivideGenes,
    Downsample,
    Log1p,
    MappedCollection,
    NormalizeTotal,
    ScaleGenes,
)

STORES = [str(helpers.STORES / name) for name in ("base_a_csr.h5ad", "base_b_dense_v2.zarr")]
STEPS = [NormalizeTotal(1e4), Log1p()]


def opened(**options):
    return MappedCollection(STORES, **{"layers_keys": "counts", **options})


def test_a_list_is_for_the_first_matrix():
    with opened() as plain, opened(transforms=STEPS) as cells:
        assert plain[0]["counts"].dtype == np.int32 and cells[0]["counts"].dtype == np.float32
        assert "counts: NormalizeTotal > Log1p" in repr(cells)
        with opened(transforms={"counts": STEPS}) as named:
            np.testing.assert_array_equal(named[:]["counts"], cells[:]["counts"])
        with opened(layers_keys=["X", "counts"], transforms=Clip(max=1)) as first:
            assert first[:]["X"].max() == 1 and first[:]["counts"].max() > 1
    with opened(layers_keys={"n": Counts("X", "raw.X", "counts")}, transforms=STEPS) as cells:
        assert np.isfinite(cells[:]["n"]).all()
        tensors = cells.get_batch([0, 7], as_torch=False)["n"]
        np.testing.assert_array_equal(tensors, [cells[0]["n"], cells[7]["n"]])


def test_genes_have_numbers_by_name_or_in_order():
    with opened() as plain:
        genes, counts = list(plain.var_joint), plain[:]["counts"].astype(np.float64)
    numbers = {gene: 2.0 + number for number, gene in enumerate(genes)}
    expected = (counts / list(numbers.values())).astype(np.float32)
    for by in (
        numbers,
        {**numbers, "other": 0.0},
        pd.Series(numbers),
        pd.Series(numbers)[::-1],
        list(numbers.values()),
        np.array(list(numbers.values()), dtype=np.float32),
    ):
        with opened(transforms=DivideGenes(by)) as cells:
            np.testing.assert_array_equal(cells[:]["counts"], expected)


def test_a_median_is_found_once():
    steps = [NormalizeTotal("median"), Log1p()]
    with opened(transforms=steps) as cells, opened(transforms=steps) as unprepared:
        parts = []
        cells.prepare(parts.append)
        assert parts == sorted(parts) and parts[-1] == 1
        np.testing.assert_array_equal(cells[:]["counts"], unprepared[:]["counts"])
        with pickle.loads(pickle.dumps(cells)) as again:
            # The pickle has the number.
            assert isinstance(again._options.choices.transforms["counts"][0].target, float)
            np.testing.assert_array_equal(again[:]["counts"], cells[:]["counts"])


def test_downsampling_follows_the_epoch():
    with opened(transforms=Downsample(fraction=0.5, seed=4)) as cells:
        rows = cells[:]["counts"]
        loader = cells.loader(4)
        first, second = (np.concatenate([batch["counts"] for batch in loader]) for _ in range(2))
        np.testing.assert_array_equal(first, rows)
        assert not np.array_equal(second, rows)
    with opened(transforms=Downsample(fraction=0.5, seed=5)) as cells:
        assert not np.array_equal(cells[:]["counts"], rows)
    with opened(transforms=Downsample(1e9), dtype="int64") as cells, opened(dtype="int64") as plain:
        np.testing.assert_array_equal(cells[:]["counts"], plain[:]["counts"])


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: NormalizeTotal("mean"), TypeError, "target: expected a number, found 'mean'"),
        (lambda: NormalizeTotal(totals="sum"), ValueError, "totals: expected 'all' or 'joint'"),
        (lambda: NormalizeTotal(totals="joint", obs_key="n"), ValueError, "found both"),
        (lambda: Log1p("e"), TypeError, "base: expected a number, found 'e'"),
        (lambda: Clip(), ValueError, "Clip: expected a min or a max, found neither"),
        (lambda: Downsample(), ValueError, "expected either `to` or `fraction`"),
        (lambda: Downsample(5, fraction=0.5), ValueError, "expected either `to` or `fraction`"),
        (lambda: DivideGenes("genes"), TypeError, "by: expected a number for each gene"),
        (lambda: DivideGenes([10**400]), TypeError, "by: expected a number for each gene"),
        (lambda: DivideGenes(["1"]), TypeError, "for each gene: found str32 values"),
        (lambda: DivideGenes(np.ma.array([1, 2], mask=[0, 1])), ValueError, "found masked ones"),
        (lambda: DivideGenes(pd.Series({7157: 1.0})), TypeError, "names of genes, which are texts"),
        (lambda: ScaleGenes([[1.0]], [1.0]), ValueError, "mean: expected one dimension, found 2"),
        (lambda: opened(transforms=Log1p), TypeError, r"expected Log1p\(...\), found the class"),
        (lambda: opened(transforms=["log1p"]), TypeError, "expected NormalizeTotal, .*found str"),
        (lambda: opened(transforms=5), TypeError, "expected a list of steps, found int"),
        (lambda: opened(layers_keys=[], transforms=STEPS), ValueError, "a matrix in layers_keys"),
        (lambda: opened(transforms={"X": STEPS}), ValueError, r'keys of layers \("counts"\)'),
        (lambda: opened(transforms=NormalizeTotal(-1)), ValueError, "a positive target"),
        (lambda: opened(transforms=Log1p(1)), ValueError, "base of Log1p that is not 1, found 1"),
        (lambda: opened(transforms=Clip(2, 1)), ValueError, "a min of Clip that is not above"),
        (lambda: opened(transforms=[*STEPS, Downsample(5)]), ValueError, "as the first step"),
        (
            lambda: opened(transforms=[Log1p(), NormalizeTotal("median", totals="joint")]),
            ValueError,
            "a median target after another step",
        ),
        (lambda: opened(transforms=STEPS[::-1]), ValueError, "another step before NormalizeTotal"),
        (lambda: opened(transforms=STEPS, dtype="int32"), ValueError, "a type of floats"),
        (lambda: opened(transforms=DivideGenes([1.0])), ValueError, r"DivideGenes\(by\).*found 1,"),
        (
            lambda: opened(transforms=DivideGenes({"MYC": 1.0})),
            ValueError,
            r'a number for each gene in DivideGenes\(by\), found no number for "GATA1", "CD4"',
        ),
        (
            lambda: opened(transforms=NormalizeTotal(obs_key="scor")),
            ValueError,
            'no such column: did you mean "score"',
        ),
        (
            lambda: opened(transforms=Clip(min=1)).get_batch([0], output="csr"),
            ValueError,
            'expected dense, because the transforms of "counts" change zeros',
        ),
    ],
)
def test_errors_name_the_step(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_errors_name_the_row(tmp_path):
    values = np.ones((40, 3), "float32")
    values[17, 1] = -3
    path = helpers.write(tmp_path / "a.h5ad", X=values)
    with MappedCollection(path, transforms=Log1p()) as cells:
        for ask in (lambda: cells[17], lambda: cells[:], lambda: list(cells.loader(10))):
            with pytest.raises(ValueError, match=r"a\.h5ad: X: .*, found -3 \(row 17\)$"):
                ask()
    cells = MappedCollection(path, transforms=NormalizeTotal("median"))
    with pytest.raises(ValueError, match=r"found the total -1 \(row 17\)$"):
        cells.prepare()


def test_a_collection_keeps_its_steps():
    step = DivideGenes([2.0, 2.0, 2.0])
    with opened(transforms=step) as cells:
        step.by[0] = 100.0
        with pickle.loads(pickle.dumps(cells)) as again:
            np.testing.assert_array_equal(again[:]["counts"], cells[:]["counts"])
