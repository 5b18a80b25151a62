"""Small faults for a source file: each replaces one expression or statement by another, as a careless change would."""

import ast
from collections.abc import Iterator
from itertools import pairwise

from msgspec import Struct

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
_OPERATORS: dict[type[ast.operator], str] = {ast.Add: "-", ast.Sub: "+", ast.Mult: "+", ast.FloorDiv: "*", ast.Div: "*"}


class Mutant(Struct, frozen=True):
    """One fault: bytes of a file, and what replaces them."""

    path: str
    line: int
    kind: str
    start: int
    end: int
    replacement: str
    before: str
    """The lines that change, as one line without indentation."""
    after: str

    def apply(self, source: bytes) -> bytes:
        """The file with the fault."""
        return source[: self.start] + self.replacement.encode() + source[self.end :]

    def __str__(self) -> str:
        return f"{self.path}:{self.line} ({self.kind})\n-    {self.before}\n+    {self.after}"


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """Every mutant of a file, in the order of its text."""
    found = {(each.start, each.end, each.replacement): each for each in _Finder(path, source).find()}
    return [found[key] for key in sorted(found)]


class _Finder:
    def __init__(self, path: str, source: bytes) -> None:
        self._path = path
        self._source = source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def find(self) -> Iterator[Mutant]:
        for node in _code_of(ast.parse(self._source)):
            for kind, (start, end), replacement in self._faults(node):
                yield self._mutant(kind, start, end, replacement)

    def _mutant(self, kind: str, start: int, end: int, replacement: str) -> Mutant:
        line = self._source.count(b"\n", 0, start)
        changed = self._source[:start] + replacement.encode() + self._source[end:]
        before = _lines_at(self._source, start, end)
        after = _lines_at(changed, start, start + len(replacement.encode()))
        return Mutant(self._path, line + 1, kind, start, end, replacement, before, after)

    def _span(self, node: ast.AST) -> tuple[int, int]:
        place = node
        assert isinstance(place, ast.expr | ast.stmt | ast.keyword)
        assert place.end_lineno is not None
        assert place.end_col_offset is not None
        return (
            self._starts[place.lineno - 1] + place.col_offset,
            self._starts[place.end_lineno - 1] + place.end_col_offset,
        )

    def _text(self, node: ast.AST) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()

    def _faults(self, node: ast.AST) -> Iterator[tuple[str, tuple[int, int], str]]:
        """Kind, place and replacement of each fault of one node, without those of its children."""
        for find in (self._in_operation, self._in_value, self._in_branch, self._in_statement):
            yield from find(node)

    def _in_operation(self, node: ast.AST) -> Iterator[tuple[str, tuple[int, int], str]]:
        match node:
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                for operator, first, second in zip(ops, [left, *comparators], comparators, strict=False):
                    yield "comparison", self._between(first, second), f" {_COMPARISONS[type(operator)]} "
            case ast.BoolOp(op=operator, values=values):
                word = " or " if isinstance(operator, ast.And) else " and "
                for first, second in pairwise(values):
                    yield "and/or", self._between(first, second), word
            case ast.BinOp(op=operator, left=left, right=right) if type(operator) in _OPERATORS:
                if not _is_text(left) and not _is_text(right):
                    yield "arithmetic", self._between(left, right), f" {_OPERATORS[type(operator)]} "
            case ast.AugAssign(op=ast.Add() | ast.Sub() as operator, target=target, value=value):
                yield "arithmetic", self._between(target, value), " -= " if isinstance(operator, ast.Add) else " += "

    def _in_value(self, node: ast.AST) -> Iterator[tuple[str, tuple[int, int], str]]:
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield "negation", self._span(node), f"({self._text(operand)})"
            case ast.Constant(value=bool() as value):
                yield "constant", self._span(node), str(not value)
            case ast.Constant(value=int() | float() as value):
                yield "off by one", self._span(node), repr(value + 1)
            case ast.Await(value=value):
                yield "await", self._span(node), self._text(value)
            case ast.Call():
                yield from self._without_keywords(node)

    def _in_branch(self, node: ast.AST) -> Iterator[tuple[str, tuple[int, int], str]]:
        match node:
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
                yield "condition", self._span(test), f"not ({self._text(test)})"
            case ast.Continue():
                yield "loop", self._span(node), "break"
            case ast.Break():
                yield "loop", self._span(node), "continue"

    def _in_statement(self, node: ast.AST) -> Iterator[tuple[str, tuple[int, int], str]]:
        match node:
            case ast.Expr(value=ast.Call() | ast.Await()):
                yield "removed call", self._span(node), "pass"
            case ast.Raise():
                yield "removed raise", self._span(node), "pass"
            case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
                yield "return", self._span(value), "None"

    def _without_keywords(self, call: ast.Call) -> Iterator[tuple[str, tuple[int, int], str]]:
        parts = [*call.args, *call.keywords]
        for keyword in call.keywords:
            if keyword.arg is None:
                continue
            place = parts.index(keyword)
            start, end = self._span(keyword)
            if place + 1 < len(parts):
                end = self._span(parts[place + 1])[0]
            elif place:
                start = self._span(parts[place - 1])[1]
                if isinstance(parts[place - 1], ast.GeneratorExp):
                    continue  # its parentheses may be those of the call
            yield "keyword argument", (start, end), ""

    def _between(self, first: ast.expr, second: ast.expr) -> tuple[int, int]:
        """The operator between two operands, without the parentheses around either."""
        start, end = self._span(first)[1], self._span(second)[0]
        text = self._source[start:end]
        return start + text.rfind(b")") + 1, end - (len(text) - text.find(b"(") if b"(" in text else 0)


def _lines_at(text: bytes, start: int, end: int) -> str:
    """The lines from one offset to another as one line, each space single."""
    first, last = text.rfind(b"\n", 0, start) + 1, text.find(b"\n", end)
    return " ".join(text[first : last if last >= 0 else len(text)].decode().split())


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def _code_of(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run: no annotations, decorators, base classes, protocols, imports for types only or f-strings."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases"):
            continue
        if isinstance(node, ast.ClassDef) and name == "keywords":
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr) and not _is_for_types(child):
                yield from _code_of(child)


def _is_for_types(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):  # a method of a protocol
        last = node.body[-1]
        return isinstance(last, ast.Expr) and isinstance(last.value, ast.Constant)
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("TypeVar", "ParamSpec", "cast", "overload")
    return (
        isinstance(node, ast.AnnAssign) and isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias"
    )
