"""The source of this repository as the tests of its architecture read it: files, modules, parsed trees."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "amili_async"
TESTS = ROOT / "tests"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
"""Every module of the package by its dotted name within it; the package itself is the empty name."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text())


def is_within(module: str, folders: set[str]) -> bool:
    """Whether the module is one of those named, or lies in one of them."""
    return any(module == folder or (folder and module.startswith(f"{folder}.")) for folder in folders)


def find_functions(path: Path) -> list[Function]:
    """All functions and methods of a file, nested ones too."""
    return [node for node in ast.walk(parse(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def find_public_names(path: Path) -> list[str]:
    """Classes, functions, constants and type aliases that a module defines, but for names with a leading underscore."""
    names: list[str] = []
    for node in parse(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and not _is_type_variable(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def _is_type_variable(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) in {"TypeVar", "ParamSpec"}
