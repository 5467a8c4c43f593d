"""Batches as torch tensors: over the memory that was read into, with the values of numpy's."""

import helpers
import numpy as np
import pytest
import torch

from mapped_anndata import MappedCollection, Matched, collate


@pytest.fixture(scope="module")
def collection():
    return MappedCollection(
        helpers.DEMO, obs_keys=["cell_type", "donor"], unknown_label={"cell_type": "unknown"}
    )


@pytest.mark.parametrize("output", ["dense", "csr"])
@pytest.mark.parametrize("workers", [0, 2])
def test_tensors_have_the_values_of_arrays(collection, output, workers):
    options = dict(shuffle="exact", output=output, workers=workers)
    arrays = collection.loader(500, **options)
    tensors = collection.loader(500, as_torch=True, **options)
    n_batches = 0
    for expected, found in zip(arrays, tensors, strict=True):
        assert list(found) == list(expected)
        assert all(isinstance(value, torch.Tensor) for value in found.values())
        X = found["X"]
        if output == "csr":
            assert X.layout == torch.sparse_csr
            torch._validate_sparse_csr_tensor_args(
                X.crow_indices(), X.col_indices(), X.values(), X.shape
            )
            assert np.array_equal(X.to_dense().numpy(), expected["X"].toarray())
        else:
            assert np.array_equal(X.numpy(), expected["X"])
        for key in ("cell_type", "donor", "_store_idx", "_row_idx"):
            assert found[key].dtype == torch.int64 and np.array_equal(
                found[key].numpy(), expected[key]
            )
        n_batches += 1
    assert n_batches == 7


def test_no_copy_is_made(collection):
    batch = collection.get_batch(range(100))
    assert torch.from_numpy(batch["X"]).data_ptr() == batch["X"].ctypes.data
    sparse = collection.get_batch(range(100), output="csr")["X"]
    tensor = sparse.to_torch()
    assert tensor.values().data_ptr() == sparse.data.ctypes.data
    assert tensor.col_indices().data_ptr() == sparse.indices.ctypes.data
    assert tensor.crow_indices().data_ptr() == sparse.indptr.ctypes.data
    items = collection.__getitems__(range(100))
    assert collate(items)["X"].data_ptr() == items.block["X"].ctypes.data


def test_tensors_keep_their_memory(collection):
    held = [
        (batch["X"], batch["X"].clone())
        for batch in collection.loader(64, shuffle="exact", as_torch=True)
    ]
    for _ in collection.loader(64, shuffle="exact", seed=1, as_torch=True):
        pass
    assert all(torch.equal(now, then) for now, then in held)


def test_a_sparse_layer_learns(collection):
    """A linear layer on sparse rows has the gradient that it has on dense ones."""
    gradients = []
    for output in ("csr", "dense"):
        batch = collection.get_batch(range(256), output=output, as_torch=True)
        weights = torch.full((300, 10), 0.01, requires_grad=True)
        loss = torch.nn.functional.cross_entropy(batch["X"] @ weights, batch["donor"].clamp(0, 9))
        loss.backward()
        gradients.append(weights.grad)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6) and gradients[0].abs().sum() > 0


def test_missing_labels_are_ignored_by_the_loss(collection):
    batch = collection.get_batch(range(3350), as_torch=True)
    missing = batch["cell_type"] == -100
    assert missing.any()
    # A model that is right wherever there is a label, and nowhere else.
    scores = torch.nn.functional.one_hot(batch["cell_type"].clamp(0), 9) * 100.0
    scores[missing] = torch.randn(int(missing.sum()), 9)
    labels = batch["cell_type"].masked_fill(batch["cell_type"] == -1, -100)
    assert torch.nn.functional.cross_entropy(scores, labels).item() < 1e-6


@pytest.mark.parametrize("dtype", ["float16", "float64", torch.float32, torch.int32])
def test_types(collection, dtype):
    X = next(iter(collection.loader(8, dtype=dtype, as_torch=True)))["X"]
    assert str(X.dtype) == f"torch.{str(dtype).removeprefix('torch.')}"


def test_other_libraries_take_arrays_by_dlpack(collection):
    array = collection.get_batch(range(8))["X"]
    tensor = torch.from_dlpack(array)
    assert tensor.data_ptr() == array.ctypes.data


@pytest.mark.parametrize("output", ["dense", "csr"])
def test_controls_are_tensors_too(collection, output):
    matched = Matched("donor", {"donor": "donor1"}, unmatched="drop")
    options = dict(matched=matched, output=output)
    arrays = next(iter(collection.loader(50, **options)))
    tensors = next(iter(collection.loader(50, as_torch=True, **options)))
    control = tensors["control"]
    assert list(control) == [key for key in tensors if key != "control"]
    assert all(isinstance(value, torch.Tensor) for value in control.values())
    expected = arrays["control"]["X"]
    expected = expected if output == "dense" else expected.toarray()
    assert np.array_equal(control["X"].to_dense().numpy(), expected)
