"""No clock is bound at import, so that a test that freezes time freezes all of the package."""

import ast
from pathlib import Path

import amili_async

CLOCKS = {
    *("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
}


def bound_clocks(tree: ast.Module) -> list[int]:
    """The lines where a default argument, a class or a module refers to a clock instead of looking it up."""
    outside = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
    inside = {id(each) for function in outside for part in _body(function) for each in ast.walk(part)}
    imported = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time" and id(node) not in inside
    ]
    return imported + [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in CLOCKS and id(node) not in inside
    ]


def _body(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[ast.AST]:
    return [function.body] if isinstance(function, ast.Lambda) else list(function.body)


def test_no_clock_is_bound_at_import() -> None:
    """A default argument or a name that holds a clock keeps the real time under a test that freezes it."""
    package = Path(amili_async.__file__).parent
    found = [
        f"{path.relative_to(package)}:{line}"
        for path in package.rglob("*.py")
        for line in bound_clocks(ast.parse(path.read_text()))
    ]
    assert found == []
