"""What users can import, and the names that its signatures mention."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from tests.architecture.source import Function, parse

PUBLIC_MODULES = (
    "amili_async",
    "amili_async.auth",
    "amili_async.dask",
    "amili_async.errors",
    "amili_async.events",
    "amili_async.export",
    "amili_async.notebooks",
    "amili_async.observers",
    "amili_async.policies",
    "amili_async.shared",
)
RETURNED_ONLY = {"Stream", "Extraction", "Resource", "Payouts", "CreditorPayments", "Creditors", "Cases"}
"""Classes that callers get and never construct: the parameters of their constructors are not public."""
SIGNATURE_METHODS = {"__init__", "__call__", "__aiter__", "__aenter__"}
"""Special methods whose signature differs from class to class."""
INTERNAL_BASES = {"CheckedFilter", "ErrorWithHead", "SavedState", "Tabular"}
"""Base classes that a caller only meets through their subclasses."""


def find_public_values() -> dict[str, Any]:
    """Every public class, function and alias by its full name."""
    modules = [importlib.import_module(name) for name in PUBLIC_MODULES]
    return {f"{module.__name__}.{name}": getattr(module, name) for module in modules for name in _list_names(module)}


def _list_names(module: ModuleType) -> list[str]:
    """What `__all__` lists, or else the public names that the module itself defines."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not inspect.ismodule(getattr(module, name))]
    return [name for name in vars(module) if not name.startswith("_") and find_origin(module, name) == module.__name__]


def find_mentioned(value: Any) -> set[tuple[str, str]]:
    """The names of this package in the annotations and bases of a class or function, each with its module."""
    if not (inspect.isclass(value) or inspect.isfunction(value)) or not value.__module__.startswith("amili_async"):
        return set()
    module = importlib.import_module(value.__module__)
    node = next(
        node
        for node in _parse_module(module).body
        if isinstance(node, ast.ClassDef | Function) and node.name == value.__name__
    )
    names = {name for annotation in _find_annotations(node) for name in _find_names(annotation)}
    origins = {name: find_origin(module, name) for name in names}
    return {(origin, name) for name, origin in origins.items() if origin is not None}


def find_origin(module: ModuleType, name: str) -> str | None:
    """The module of this package that defines a name of *module*; `None` for type variables, modules, foreign names."""
    if isinstance(getattr(module, name, None), TypeVar | ParamSpec | ModuleType):
        return None
    for node in ast.walk(_parse_module(module)):
        if isinstance(node, ast.ImportFrom) and name in {each.asname or each.name for each in node.names}:
            return node.module if (node.module or "").startswith("amili_async") else None
    return module.__name__ if name in vars(module) else None


def _parse_module(module: ModuleType) -> ast.Module:
    return parse(Path(inspect.getfile(module)))


def _find_annotations(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, Function):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        # A parameter with a leading underscore exists for the tests alone.
        public = [each for each in arguments if each is not None and not each.arg.startswith("_")]
        yield from (each.annotation for each in [*public] if each.annotation is not None)
        yield from [] if node.returns is None else [node.returns]
    elif isinstance(node, ast.ClassDef):
        # Private bases only collect fields that two classes share.
        yield from (base for base in node.bases if not ast.unparse(base).startswith("_"))
        for inner in node.body:
            if isinstance(inner, ast.AnnAssign) and not ast.unparse(inner.target).startswith("_"):
                yield inner.annotation
            elif isinstance(inner, Function) and _is_public(inner.name, owner=node.name):
                yield from _find_annotations(inner)


def _is_public(method: str, *, owner: str) -> bool:
    if method == "__init__" and owner in RETURNED_ONLY:
        return False
    return not method.startswith("_") or method in SIGNATURE_METHODS


def _find_names(annotation: ast.expr) -> Iterator[str]:
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _find_names(ast.parse(node.value, mode="eval").body)
