"""The public names: importable, listed in order, documented, and typed."""

import ast
import importlib
import inspect
from pathlib import Path

import msgspec
import pytest

import amili_async
from amili_async import errors, events

ROOT = Path(__file__).parents[2]
LISTING = [
    "amili_async",
    "amili_async.export",
    "amili_async.extraction",
    "amili_async.models",
    "amili_async.payments",
    "amili_async.sandbox",
]
PROMISED = {
    "AmiliClient": {"open", "aclose", "from_env", "payouts", "payout_specifications", "creditor_payments", "auth"},
    "Resource": {"get", "page", "count", "stream", "extract", "sweep", "plan"},
    "Extraction": {"batches", "checkpoint", "manifest", "aclose", "__aiter__", "__aenter__"},
    "Stream": {"pages", "first", "collect", "aclose", "__aiter__", "__aenter__"},
}
"""What the design promises of each; `auth` and the resources are attributes of the instance."""


@pytest.mark.parametrize("name", LISTING)
def test_all_is_what_is_importable_in_order(name: str) -> None:
    """`__all__` is sorted (constants, classes, the rest), without repeats, and nothing in it is missing."""
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    assert all(hasattr(module, public) for public in module.__all__)


def test_the_package_exports_exactly_what_it_lists() -> None:
    """No public name lies about in the package that `__all__` does not list, but for its own modules."""
    public = {name for name, value in vars(amili_async).items() if not name.startswith("_")}
    modules = {path.stem for path in Path(amili_async.__file__).parent.iterdir()}
    assert public - modules == set(amili_async.__all__) - modules


@pytest.mark.parametrize("name", PROMISED)
def test_the_promised_names_exist(name: str) -> None:
    """Users rely on these."""
    kind = getattr(amili_async, name)
    assert PROMISED[name] <= set(dir(kind)) | set(inspect.get_annotations(kind))


@pytest.mark.parametrize("name", amili_async.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    """Each public class and function, and each of their public methods, has a docstring."""
    value = getattr(amili_async, name)
    if not (inspect.isclass(value) or inspect.isfunction(value)) or value.__module__ == "builtins":
        return
    assert inspect.getdoc(value)
    for attribute, member in vars(value).items():
        if not attribute.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            assert inspect.getdoc(member), f"{name}.{attribute}"


LIBRARY = [path for path in sorted((ROOT / "amili_async").rglob("*.py")) if not {"cli", "sandbox"} & set(path.parts)]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_every_public_field_carries_its_sentence(path: Path) -> None:
    """A field of a public struct is followed by a docstring of its own."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and "Struct" in ast.unparse(node):
            for field, after in zip(node.body, [*node.body[1:], None], strict=True):
                is_field = isinstance(field, ast.AnnAssign) and any("Struct" in ast.unparse(b) for b in node.bases)
                if is_field:
                    assert isinstance(after, ast.Expr), f"{node.name}.{ast.unparse(field)} has no sentence"


def test_records_are_frozen_and_leave_the_collector_alone() -> None:
    """Records, events and options are values."""
    for module in (amili_async, events):
        for value in vars(module).values():
            if inspect.isclass(value) and issubclass(value, msgspec.Struct) and value is not msgspec.Struct:
                assert value.__struct_config__.frozen, value


def test_every_error_is_in_the_one_tree() -> None:
    """`except AmiliError` catches all."""
    for value in vars(errors).values():
        if inspect.isclass(value) and value.__module__ == errors.__name__:
            assert issubclass(value, errors.AmiliError)


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda path: path.stem)
def test_every_test_says_what_must_hold(path: Path) -> None:
    """Each test function opens with a sentence."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_the_top_level_is_the_one_agreed_on() -> None:
    """Nothing lies at the top of the repository but what belongs there."""
    allowed = {"pyproject.toml", "README.md", "CHANGELOG.md", "amili_async", "tests", "benchmarks"}
    built = {"build", "dist"}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".") and path.suffix != ".egg-info"}
    assert found - built == allowed
    assert (ROOT / "amili_async" / "py.typed").exists()
