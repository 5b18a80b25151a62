"""The sandbox is an island, and what it promises is there."""

import ast
import sys
from pathlib import Path

import pytest

import amili_async.sandbox as sandbox

FOLDER = Path(sandbox.__file__).parent
OTHERS = {"aiohttp", "cryptography", "jwt", "msgspec", "pytest_asyncio"}


def imported(tree: ast.AST) -> set[str]:
    """The absolute modules that a file imports."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_nothing_of_ours_is_imported(path: Path) -> None:
    """Only the standard library and few others, and no relative import that leads out of the folder."""
    tree = ast.parse(path.read_text())
    assert {name.partition(".")[0] for name in imported(tree)} <= OTHERS | set(sys.stdlib_module_names)
    depth = len(path.relative_to(FOLDER).parts)
    assert all(node.level <= depth for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))


def test_every_promised_name_is_there() -> None:
    """What `__all__` lists can be imported."""
    assert all(hasattr(sandbox, name) for name in sandbox.__all__)
