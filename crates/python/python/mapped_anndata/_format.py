"""The form of batches, as the core takes it."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _arguments as arguments
from ._tokens import Tokens
from .types import DTypeLike, Output


class BatchFormat(NamedTuple):
    """The layout and the type of matrices, the code of missing labels, and tokens."""

    output: Output
    dtype: str | None
    missing_code: int
    tokens: dict[str, Any] | None


def batch_format(
    output: Output, tokens: Tokens | None, dtype: DTypeLike | None, missing_code: int
) -> BatchFormat:
    """Checks the arguments of a batch."""
    output = arguments.choice("output", output, ("dense", "csr", "tokens"))
    if tokens is not None:
        arguments.instance("tokens", tokens, Tokens)
    elif output == "tokens":
        raise ValueError('tokens: expected Tokens(...) for output="tokens", found None')
    if output != "tokens" and tokens is not None:
        raise ValueError(f'output: expected "tokens", because tokens are given, found {output!r}')
    return BatchFormat(
        "dense" if output == "tokens" else output,
        arguments.dtype(dtype),
        arguments.code("missing_code", missing_code),
        None if tokens is None else tokens._to_core(),
    )
