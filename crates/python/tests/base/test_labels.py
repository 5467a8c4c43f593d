"""Labels of keys that are in memory: no file is needed for them."""

import os
import shutil

import helpers
import numpy as np
import pytest

from mapped_anndata import MappedCollection


def answers(collection, key):
    return (
        collection.get_merged_labels(key).tolist(),
        collection.get_label_weights(key).tolist(),
        collection.get_label_weights([key, key], 2.0, True),
        collection.get_merged_categories(key),
        [part.tolist() for part in collection.split([0.6, 0.4], stratify=key)],
        [part.tolist() for part in collection.split([0.6, 0.4], group=key, seed=1)],
    )


@pytest.mark.parametrize(
    "options", [{}, {"unknown_label": "T cell"}, {"encode_labels": False}, {"obs_keys": None}]
)
def test_labels_in_memory_need_no_file(tmp_path, options):
    paths = [shutil.copy(path, tmp_path) for path in helpers.DEMO if str(path).endswith(".h5ad")]
    chosen = {"obs_filter": {"cell_type": ["T cell", "B cell", np.nan]}}
    expected = answers(MappedCollection(paths, **chosen), "cell_type")
    collection = MappedCollection(paths, **({"obs_keys": "cell_type"} | options | chosen))
    from_files = MappedCollection(paths)
    for path in paths:
        os.unlink(path)
    found = answers(collection, "cell_type")
    np.testing.assert_equal(found, expected)
    with pytest.raises(OSError):
        from_files.get_merged_labels("cell_type")
    collection.close()
    with pytest.raises(ValueError, match="closed"):
        collection.get_merged_labels("cell_type")
