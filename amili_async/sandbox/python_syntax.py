"""The other syntax that Eve reads filters in: Python comparisons, such as `amount > 60 and article == "capital"`."""

import ast
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from .bson_values import ObjectId
from .errors import Broken

_OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Eq: "",
    ast.NotEq: "$ne",
    ast.Gt: "$gt",
    ast.GtE: "$gte",
    ast.Lt: "$lt",
    ast.LtE: "$lte",
}


_PARTS = ("year", "month", "day", "hour", "minute", "second")


class NotAComparison(ValueError):
    """The text is neither a comparison nor several joined by `and` and `or`."""


def read_python_filter(text: str) -> dict[str, Any]:
    """The filter that the text means, as the JSON syntax would have written it."""
    try:
        body = ast.parse(text).body
    except SyntaxError as error:
        raise NotAComparison(text) from error
    if len(body) != 1 or not isinstance(body[0], ast.Expr):
        raise NotAComparison(text)
    return _read_condition(body[0].value)


def _read_condition(node: ast.expr) -> dict[str, Any]:
    if isinstance(node, ast.BoolOp):
        name = "$and" if isinstance(node.op, ast.And) else "$or"
        return {name: [_read_condition(value) for value in node.values]}
    if not isinstance(node, ast.Compare):
        raise NotAComparison(ast.dump(node))
    if type(node.ops[0]) not in _OPERATORS:
        raise Broken("Eve has no name for this operator")
    name = _read_name(node.left)
    operator, value = _OPERATORS[type(node.ops[0])], _read_value(node.comparators[0], name)
    return {name: {operator: value} if operator else value}


def _read_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_read_name(node.value)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise Broken("a name is a text")


def _read_value(node: ast.expr, name: str) -> Any:
    """The value compared with. Eve's visitor leaves the name in place of what it does not know, and loses a minus."""
    if isinstance(node, ast.UnaryOp):
        return _read_value(node.operand, name)
    if isinstance(node, ast.Constant):
        return _read_constant(node.value, name)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _read_call(node.func.id, [_read_value(argument, name) for argument in node.args]) or name
    return _read_name(node)


def _read_constant(value: object, name: str) -> Any:
    if isinstance(value, complex):
        raise Broken("the database holds no complex numbers")
    if isinstance(value, float):
        return Decimal(repr(value))
    return value if isinstance(value, str | int) and not isinstance(value, bool) else name


def _read_call(function: str, arguments: list[Any]) -> Any:
    try:
        if function == "ObjectId":
            return ObjectId(bytes.fromhex(arguments[0]).hex())
        if function == "datetime":
            return datetime(**dict(zip(_PARTS, arguments, strict=False)), tzinfo=UTC)
    except (ValueError, TypeError, IndexError):
        pass
    return None
