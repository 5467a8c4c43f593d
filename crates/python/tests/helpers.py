"""What several tests need."""

import json
import math
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "fixtures"
STORES = FIXTURES / "stores"
DEMO = [str(ROOT / "crates/cli/demo" / name) for name in ("a.h5ad", "b.h5ad", "c.zarr", "d.zarr")]

# `record` and `observe` write the golden cases: here they ask the package the same questions.
sys.path.append(str(FIXTURES / "generate"))


def cases():
    """The golden cases by name."""
    paths = sorted((FIXTURES / "cases").glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in paths}


def options(case):
    """The options of a case as a user writes them: a missing value is nan."""
    options = dict(case["options"])
    if options.get("obs_filter") is not None:
        nan = lambda value: math.nan if value is None else value  # noqa: E731
        options["obs_filter"] = {
            key: [nan(v) for v in values] for key, values in options["obs_filter"]
        }
    if isinstance(options.get("layers_keys"), dict):
        from mapped_anndata import Counts

        layers = options["layers_keys"].items()
        options["layers_keys"] = {
            key: Counts(*source["counts"]) if isinstance(source, dict) else source
            for key, source in layers
        }
    if "transforms" in options:
        import mapped_anndata

        options["transforms"] = {
            key: [getattr(mapped_anndata, name)(**parameters) for name, parameters in steps]
            for key, steps in options["transforms"].items()
        }
    if "obs_table" in options:
        from mapped_anndata import ObsTable

        table = dict(options["obs_table"])
        options["obs_table"] = ObsTable(FIXTURES / "tables" / table.pop("table"), **table)
    if isinstance(options.get("var_key"), dict):
        options["var_key"] = {int(store): keys for store, keys in options["var_key"].items()}
    return options


def assert_same_value(found, expected, where=""):
    """Two values of items: of one type, and equal."""
    if isinstance(expected, np.ndarray):
        assert isinstance(found, np.ndarray), where
        assert found.dtype == expected.dtype.newbyteorder("="), where
        assert found.shape == expected.shape, where
        np.testing.assert_array_equal(found, expected, err_msg=where)
    elif expected is np.nan:
        assert found is np.nan, where
    else:
        kind = str if isinstance(expected, str) else type(expected)
        assert isinstance(found, kind) and isinstance(found, (str, int)) == isinstance(
            expected, (str, int)
        ), where
        assert found == expected or (found != found and expected != expected), where


def assert_same_item(found, expected, where=""):
    """Two items: the same keys in the same order, the same types, the same values."""
    assert list(found) == list(expected), where
    for key, value in expected.items():
        assert_same_value(found[key], value, f"{where} {key}")


def write(path, **anndata):
    """Writes an AnnData to a path that ends with .h5ad or .zarr."""
    import anndata as ad

    data = ad.AnnData(**anndata)
    (data.write_zarr if str(path).endswith(".zarr") else data.write_h5ad)(path)
    return str(path)
