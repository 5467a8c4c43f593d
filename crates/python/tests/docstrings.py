"""The docstrings of the public classes, methods, properties and functions, for tests of them."""

import doctest
import functools
import inspect
import re

import mapped_anndata
from mapped_anndata import types


def public():
    """The public objects by name: functions, classes, and members that classes define or inherit."""
    found = {}
    for module, prefix in ((mapped_anndata, ""), (types, "types.")):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isroutine(value) or inspect.isclass(value):
                found[prefix + name] = value
            if inspect.isclass(value) and value.__module__.startswith("mapped_anndata"):
                found |= {f"{prefix}{name}.{member}": of for member, of in members(value)}
    return found


def members(cls):
    """The public members of a class that this package defines, and special ones with a docstring."""
    bases = [base for base in cls.__mro__ if base.__module__.startswith("mapped_anndata")]
    for base in reversed(bases):
        for name, value in vars(base).items():
            value = getattr(value, "__func__", value)
            kinds = (property, functools.cached_property)
            is_member = inspect.isfunction(value) or isinstance(value, kinds)
            special = name in ("__getitem__", "__getitems__")
            if is_member and (special or not name.startswith("_")):
                yield name, value


def examples():
    """The examples of each public object, and of the package: lists of doctest's."""
    parser = doctest.DocTestParser()
    documented = {"mapped_anndata": mapped_anndata, **public()}
    found = {}
    for name, value in documented.items():
        text = inspect.getdoc(value) or ""
        if parser.get_examples(text):
            found[name] = parser.get_doctest(text, {}, name, None, 0)
    return found


def needs_torch(test):
    """Whether an example cannot run without torch."""
    wants = re.compile(r"(from|import) torch|\.to_torch\(|as_torch=True")
    return any(wants.search(example.source) for example in test.examples)


def run(test):
    """Runs the example of a docstring; fails with doctest's report."""
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


def sections(value):
    """The sections of a docstring in numpy's style: lines by heading."""
    lines = (inspect.getdoc(value) or "").splitlines()
    found, heading = {"": []}, ""
    for line, under in zip(lines, [*lines[1:], ""]):
        if line and under == "-" * len(line):
            heading = line
            found[heading] = []
        elif not (line and line == "-" * len(line)):
            found[heading].append(line)
    return found
