"""The examples of docstrings that need torch."""

import docstrings
import helpers
import pytest

EXAMPLES = {
    name: test for name, test in docstrings.examples().items() if docstrings.needs_torch(test)
}


def test_there_are_some():
    assert {"CsrMatrix.to_torch", "collate", "Loader.collate_fn"} <= set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name, monkeypatch):
    monkeypatch.chdir(helpers.ROOT / "crates/cli")
    docstrings.run(EXAMPLES[name])
