"""`_core.pyi` says what the Rust half has: the same names, with the same parameters."""

import ast
import inspect
from pathlib import Path

import pytest

import mapped_anndata
from mapped_anndata import _core

STUB = ast.parse(Path(mapped_anndata.__file__).with_name("_core.pyi").read_text())


def is_public(name):
    return not name.startswith("_")


def test_the_module_has_these_names():
    defined = [node.name for node in STUB.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    assert sorted(defined) == sorted(filter(is_public, dir(_core)))


CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_these_members(name):
    of_rust = getattr(_core, name)
    members = {node.name: node for node in CLASSES[name].body if isinstance(node, ast.FunctionDef)}
    assert set(filter(is_public, members)) == set(filter(is_public, dir(of_rust)))
    for member, node in members.items():
        value = inspect.getattr_static(of_rust, member)
        is_property = any(ast.unparse(d) == "property" for d in node.decorator_list)
        assert inspect.isgetsetdescriptor(value) == is_property, member
        if is_public(member) and not is_property:
            same_parameters(node, value)
        elif member == "__new__":
            same_parameters(node, of_rust)


@pytest.mark.parametrize(
    "node", [n for n in STUB.body if isinstance(n, ast.FunctionDef)], ids=ast.unparse
)
def test_a_function_has_these_parameters(node):
    same_parameters(node, getattr(_core, node.name))


def same_parameters(node, value):
    arguments = node.args
    defaults = [inspect.Parameter.empty] * (len(arguments.args) - len(arguments.defaults))
    defaults += [ast.literal_eval(default) for default in arguments.defaults]
    expected = [(a.arg, d, False) for a, d in zip(arguments.args, defaults, strict=True)]
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        expected.append((argument.arg, ast.literal_eval(default), True))
    found = [
        (p.name, p.default, p.kind is inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(value).parameters.values()
    ]
    bare = [parameter for parameter in expected if parameter[0] not in ("self", "cls")]
    assert [parameter for parameter in found if parameter[0] != "self"] == bare
