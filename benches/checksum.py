"""The checksum of src/checksum.rs and the random rows of src/task.rs, in numpy.

`python checksum.py` prints the example that the Rust test holds.
"""
import numpy as np

MISSING = -100
_MASK = (1 << 64) - 1


def mix(x):
    """Splitmix64 at state `x`: uint64 array in, uint64 array out."""
    x = np.asarray(x, np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def random_rows(seed, start, count, n_obs):
    """Rows to draw at random, with replacement: draws `start` to `start + count`."""
    numbers = np.arange(start, start + count, dtype=np.uint64) + np.uint64(seed << 32)
    return ((mix(numbers) >> np.uint64(32)) * np.uint64(n_obs) >> np.uint64(32)).astype(np.int64)


class Checksum:
    """Checksums of rows over joint columns.

    `columns`: for each column of the rows that will be added, its position in the joint
    matrix that both sides agree on; None when they are the same.
    """

    def __init__(self, n_vars, columns=None):
        columns = np.arange(n_vars) if columns is None else columns
        self._keys = mix(np.asarray(columns, np.uint64)) | np.uint64(1)
        self._set = self._sequence = self._position = 0

    def dense(self, rows, labels):
        """Adds rows `[n, n_vars]` with their integer labels `[n]`."""
        bits = np.ascontiguousarray(rows, np.float32).view(np.uint32)
        row, column = np.nonzero(bits)
        indptr = np.searchsorted(row, np.arange(len(bits) + 1))
        self._add(indptr, column, bits[row, column], labels)

    def csr(self, indptr, indices, values, labels):
        """Adds rows in compressed form with their integer labels `[n]`."""
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        self._add(np.asarray(indptr), np.asarray(indices), bits, labels)

    def _add(self, indptr, columns, bits, labels):
        products = self._keys[columns] * bits.astype(np.uint64)
        running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(products, dtype=np.uint64)])
        values = running[indptr[1:]] - running[indptr[:-1]]
        labels = np.asarray(labels, np.int64).view(np.uint64)
        numbers = mix(values + mix(labels + np.uint64(1 << 32)))
        weights = 2 * np.arange(self._position, self._position + len(numbers), dtype=np.uint64) + np.uint64(1)
        self._set = (self._set + int(numbers.sum(dtype=np.uint64))) & _MASK
        self._sequence = (self._sequence + int((numbers * weights).sum(dtype=np.uint64))) & _MASK
        self._position += len(numbers)

    def report(self):
        return {"set": f"{self._set:016x}", "sequence": f"{self._sequence:016x}"}


if __name__ == "__main__":
    example = Checksum(3)
    example.dense(np.array([[0, 1, 2.5], [3, 0, 0], [0, 0, 0]]), [0, 7, MISSING])
    print(example.report())
    print(random_rows(3, 5, 4, 200_000).tolist())
