"""`python3 -m tests.architecture.figures`: how much code there is, how long functions are, how much is explained."""

import ast
import io
import re
import statistics
import tokenize
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from msgspec import Struct

from tests.architecture.source import PACKAGE, ROOT, TESTS, Function, find_functions, parse

LONGEST_FUNCTION = 40
_DIRECTIVE = re.compile(r"#\s*(noqa|type:|!|pragma|fmt:)")


class Figures(Struct, frozen=True, kw_only=True):
    """What is counted in a folder of Python files."""

    files: int
    """Files, `__init__.py` included."""
    lines: int
    """Lines, blank ones included."""
    median_file: float
    """Lines of the file in the middle."""
    longest_file: int
    """Lines of the longest file."""
    median_function: float
    """Lines of the function in the middle, without its docstring."""
    longest_functions: list[str]
    """Functions that are longer than allowed, each with its place and its lines."""
    comments: float
    """The share of lines that are comments or end with one, but for directives to tools."""
    docstrings: float
    """The share of lines that belong to docstrings, those of fields included."""


@cache
def measure(folder: Path) -> Figures:
    """Count the Python files below a folder."""
    paths = sorted(folder.rglob("*.py"))
    sizes = [path.read_text().count("\n") for path in paths]
    lengths = [count_lines(function) for path in paths for function in find_functions(path)]
    return Figures(
        files=len(paths),
        lines=sum(sizes),
        median_file=statistics.median(sizes),
        longest_file=max(sizes),
        median_function=statistics.median(lengths),
        longest_functions=[each for path in paths for each in find_long_functions(path)],
        comments=sum(map(count_comments, paths)) / sum(sizes),
        docstrings=sum(map(count_docstring_lines, paths)) / sum(sizes),
    )


def find_long_functions(path: Path) -> list[str]:
    """The functions of a file over the limit; the options of a command are a list, and do not count."""
    return [
        f"{path.relative_to(ROOT)}: {function.name} has {count_lines(function)} lines"
        for function in find_functions(path)
        if count_lines(function) > LONGEST_FUNCTION
    ]


def count_lines(function: Function) -> int:
    """The lines of a function with its decorators and without its docstring; of a command, those of its body."""
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    if "typer.Option" in ast.unparse(function.args):
        first = function.body[0].lineno
    lines = (function.end_lineno or 0) - first + 1
    return lines - (_count_node_lines(function.body[0]) if ast.get_docstring(function) else 0)


def count_comments(path: Path) -> int:
    """The comments of a file that address a reader, not a tool."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return sum(_DIRECTIVE.match(comment) is None or " - " in comment for comment in comments)


def count_docstring_lines(path: Path) -> int:
    """The lines of all strings that are statements."""
    strings = [
        node
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    return sum(map(_count_node_lines, strings))


def _count_node_lines(node: ast.stmt) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def describe(name: str, figures: Figures) -> Sequence[str]:
    """The figures of a folder, one a line."""
    return (
        f"{name}: {figures.files} files, {figures.lines:,} lines",
        f"  a file has {figures.median_file:g} lines in the median and {figures.longest_file} at most",
        f"  a function has {figures.median_function:g} lines in the median",
        f"  functions over {LONGEST_FUNCTION} lines: {len(figures.longest_functions)}",
        *(f"    {each}" for each in figures.longest_functions),
        f"  comments {figures.comments:.1%} of the lines, docstrings {figures.docstrings:.1%}",
    )


if __name__ == "__main__":
    for folder in (PACKAGE, TESTS, ROOT / "benchmarks"):
        print("\n".join(describe(folder.name, measure(folder))))
