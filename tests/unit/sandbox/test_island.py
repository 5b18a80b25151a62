"""The sandbox is an island, and its public names exist."""

import ast
import sys
from pathlib import Path

import amili_async.sandbox as sandbox

FOLDER = Path(sandbox.__file__).parent
THIRD_PARTIES = {"aiohttp", "cryptography", "jwt", "msgspec"}


def imported(tree: ast.AST) -> set[str]:
    """The absolute modules that a file imports."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}


def test_the_sandbox_imports_nothing_of_the_package() -> None:
    """Every import is from the standard library, from few third parties, or relative and inside the folder."""
    offenders = []
    for path in sorted(FOLDER.rglob("*.py")):
        tree, depth = ast.parse(path.read_text()), len(path.relative_to(FOLDER).parts)
        foreign = {name.partition(".")[0] for name in imported(tree)} - THIRD_PARTIES - set(sys.stdlib_module_names)
        leading_out = [n.level for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level > depth]
        offenders += [(path.name, each) for each in (*foreign, *leading_out)]
    assert offenders == []


def test_every_public_name_exists() -> None:
    """Every name in `__all__` can be imported."""
    assert all(hasattr(sandbox, name) for name in sandbox.__all__)
