"""stub"""
import numpy as np
def is_rows(value):
    return isinstance(value, (list, tuple, range, slice, np.ndarray)) or type(value).__module__.split(".")[0] in ("torch","pandas") and hasattr(value, "dtype")
def rows(name, value, n_obs):
    rows = np.asarray(value)
    if rows.size == 0:
        return np.empty(0, np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected numbers of rows, found {rows.dtype} {rows.shape}")
    rows = np.where(rows < 0, rows + n_obs, rows)
    if (bad := rows[(rows < 0) | (rows >= n_obs)]).size:
        raise IndexError(f"{name}: index {bad[0]} is out of bounds for axis 0 with size {n_obs}")
    return rows
