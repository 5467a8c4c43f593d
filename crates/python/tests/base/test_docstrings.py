"""Docstrings: what they name exists, and their examples run."""

import inspect

import docstrings
import helpers
import pytest

PUBLIC = docstrings.public()
EXAMPLES = docstrings.examples()


def test_the_public_objects_are_found():
    assert {"MappedCollection", "MappedCollection.loader", "Loader.n_rows", "collate"} <= set(
        PUBLIC
    )
    assert {"CsrMatrix.nnz", "MappedCollection.var_joint", "types.Sampler"} <= set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_has_a_summary_and_an_example(name):
    summary = (inspect.getdoc(PUBLIC[name]) or "").partition("\n")[0]
    assert summary.endswith((".", ":")), name
    if name.startswith("types.") and "." in name.removeprefix("types."):
        return  # A method of a protocol: its class has the example.
    assert name in EXAMPLES, name


@pytest.mark.parametrize("name", [name for name in PUBLIC if not name.startswith("types.")])
def test_parameters_are_those_of_the_signature(name):
    value, found = PUBLIC[name], docstrings.sections(PUBLIC[name])
    if not callable(value):
        assert "Parameters" not in found
        return
    parameters = inspect.signature(value).parameters.values()
    bound = () if inspect.isclass(value) else ("self", "cls")
    expected = [p.name for p in parameters if p.name not in bound]
    documented = [
        parameter
        for line in found.get("Parameters", [])
        if line and not line.startswith(" ")
        for parameter in line.split(", ")
    ]
    assert documented == expected
    returns = inspect.signature(value).return_annotation
    is_function = not inspect.isclass(value)
    if is_function:
        assert ("Returns" in found) == (returns != "None")


@pytest.mark.parametrize(
    "name", [n for n, of in EXAMPLES.items() if not docstrings.needs_torch(of)]
)
def test_examples_run(name, monkeypatch):
    monkeypatch.chdir(helpers.ROOT / "crates/cli")
    docstrings.run(EXAMPLES[name])
