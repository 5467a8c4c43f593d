"""Keys that are taken from the first of several elements, counts, and labels that are replaced."""

import pickle

import helpers
import numpy as np
import pytest

from mapped_anndata import Counts, MappedCollection

STORES = [str(helpers.STORES / name) for name in ("base_a_csr.h5ad", "base_b_dense_v2.zarr")]
COUNTS = {"n": Counts("X", "raw.X", "counts")}
TYPES = {"T": "lymphocyte", "B": "lymphocyte", "unknown": None}


def opened(**options):
    return MappedCollection(STORES, **options)


def test_counts_are_found_in_each_store():
    with opened(layers_keys=COUNTS, dtype="float64") as cells:
        assert cells.layers_keys == ["n"]
        assert cells.source_keys == {"n": ["raw.X", "counts"]}
        rows = cells[:]["n"]
        assert (rows == np.floor(rows)).all() and rows.any()
        assert cells.vars_of("n").tolist() == cells.var_joint.tolist()
        with pickle.loads(pickle.dumps(cells)) as again:
            np.testing.assert_array_equal(again[:]["n"], rows)
    assert repr(COUNTS["n"]) == "Counts('X', 'raw.X', 'counts')"


def test_row_that_is_no_count_is_named(tmp_path):
    values = np.arange(100, dtype="float32").reshape(50, 2)
    values[1, 1] = 0.5
    path = helpers.write(tmp_path / "a.h5ad", X=values)
    with MappedCollection(path, {"n": Counts("X")}) as cells:
        assert cells[3]["n"].tolist() == [6, 7]
        for ask in (lambda: cells[1], lambda: cells[[0, 1]], lambda: list(cells.loader(10))):
            with pytest.raises(ValueError, match=r"a\.h5ad: X: expected counts .*, found 0\.5"):
                ask()
    values[0, 0] = -1
    path = helpers.write(tmp_path / "b.h5ad", X=values)
    with pytest.raises(ValueError, match=r"in one of X, found X: -1 in row 0"):
        MappedCollection(path, {"n": Counts("X")})


def test_labels_are_replaced_everywhere(tmp_path):
    table = tmp_path / "map.csv"
    table.write_text("T,lymphocyte\nB,lymphocyte\n")
    columns = {"type": ["celltype", "cell_type"]}
    with opened(obs_keys=columns, label_map={"type": TYPES}) as cells:
        assert cells.obs_keys == ["type"]
        assert cells.source_keys["type"] == ["cell_type", "cell_type"]
        assert cells.encoders["type"] == {"NK": 0, "lymphocyte": 1, "mono": 2}
        labels = cells.get_merged_labels("type")
        codes = cells[:]["type"]
        assert len(cells.get_label_weights("type")) == len(cells)
        for label, code in zip(labels, codes, strict=True):
            assert code == (-100 if label is np.nan else cells.encoders["type"][label])
        n_lymphocytes = int((codes == 1).sum())
    with opened(
        obs_keys=columns,
        label_map={"type": table},
        obs_filter={"type": "lymphocyte"},
        unmapped="missing",
    ) as cells:
        assert len(cells) == n_lymphocytes
        assert cells.encoders["type"] == {"lymphocyte": 0}
    with pytest.raises(
        ValueError, match=r"expected labels that the label map mentions, found .*row"
    ):
        opened(obs_keys=columns, label_map={"type": {"T": "t"}}, unmapped="error")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"layers_keys": {"n": []}}, ValueError, "layers_keys: expected at least one name"),
        ({"layers_keys": {"n": 3}}, TypeError, "layers_keys: expected a text or several"),
        ({"obs_keys": {"a": []}}, ValueError, "obs_keys: expected at least one name"),
        ({"label_map": {"donor": {"a": "b"}}}, ValueError, "label_map: expected obs keys"),
        ({"label_map": "x"}, TypeError, "label_map: expected a dict of obs keys"),
        ({"label_map": {"donor": 3}}, TypeError, "label_map: expected a dict or a file"),
        ({"label_map": {"donor": {None: "b"}}}, ValueError, "a missing label cannot be replaced"),
        ({"label_map": {"donor": "no file"}}, FileNotFoundError, "no file"),
        ({"unmapped": "drop"}, ValueError, "unmapped: expected 'keep', 'missing' or 'error'"),
    ],
)
def test_choices_that_make_no_sense_are_errors(options, error, text):
    with pytest.raises(error, match=text):
        opened(**options)
    with pytest.raises(ValueError, match="Counts: expected names of matrices"):
        Counts()


def test_keys_that_no_store_has_are_told_with_all_alternatives():
    with pytest.warns(
        UserWarning, match=r"no store has the obs key 'cell_typ\|kind': did you mean"
    ):
        opened(obs_keys={"type": ["cell_typ", "kind"]}).close()
