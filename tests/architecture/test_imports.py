"""The architecture: imports only go down, and each third-party library has its one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "amili_async"

FLOORS = [
    {"errors", "models.memo", "version"},
    {"events", "policies", "models.fields", "_wire.clock", "_wire.tasks", "_paging.partition"},
    {"models.record_type", "models.json", "observers", "_paging.prefetch", "_paging.scan_page", "_wire.sliding_window"},
    {"_paging.scan_checks", "models.payout", "models.payout_specification", "models.creditor_payment"},
    {"models", "filters", "_wire.rate_limiter", "_wire.token_provider", "_wire.retry", "_wire.error_responses"},
    {"query", "reconciliation.comparison"},
    {"_wire.protocol"},
    {"_wire.session", "_wire.decoding", "_wire.api_code"},
    {"_wire.pipeline", "_paging.offset", "_paging.scan", "_paging.keyset", "_wire.context"},
    {"streams", "extraction"},
    {"resources"},
    {"payments", "reconciliation"},
    {"client", "export"},
    {""},  # amili_async itself: the public names
    {"cli"},
    {"__main__"},
]
"""A module may import from lower floors only; a folder that is named stands for all that is in it."""

ONE_FLOOR = ("cli", "export", "extraction", "payments")
"""Folders whose modules may import from each other."""

HOMES = {
    "aiohttp": {"_wire.session", "sandbox"},
    "yarl": {"_wire.session", "sandbox"},
    "tenacity": {"_wire.retry"},
    "jwt": {"_wire.api_code", "sandbox"},
    "cryptography": {"_wire.api_code", "sandbox"},
    "typer": {"cli"},
    "rich": {"cli"},
    "jinja2": {"cli"},
    "pyarrow": {"export"},
    "opentelemetry": {"observers"},
    "pytest": {"sandbox"},
    "pytest_asyncio": {"sandbox"},
}
"""Which of our modules may know which library."""

LAZY = {"jwt", "cryptography", "opentelemetry", "typer", "rich", "jinja2", "pyarrow"}
"""Libraries that `import amili_async` must not load."""

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def find_home(module: str, homes: set[str]) -> bool:
    return any(module == home or (home and module.startswith(f"{home}.")) for home in homes)


def floor_of(module: str) -> int:
    """The floor that names the module, or the folder it is in."""
    exact = [number for number, names in enumerate(FLOORS) if module in names]
    return exact[0] if exact else next(n for n, names in enumerate(FLOORS) if find_home(module, names - {"models"}))


def find_imports(module: str, *, in_functions: bool = True) -> Iterator[str]:
    """The modules that a module imports, as absolute names; what is only for type checkers does not count."""
    tree = ast.parse(MODULES[module].read_text())
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        or (not in_functions and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if package else []
            base = ".".join(["amili_async", *parts[: len(parts) - node.level + 1]]) if node.level else ""
            source = ".".join(filter(None, [base, node.module]))
            for name in node.names:
                full = f"{source}.{name.name}"
                yield full if full.removeprefix("amili_async.") in MODULES and full != source else source


def ours(imported: str) -> str | None:
    if imported == "amili_async":
        return ""
    return imported.removeprefix("amili_async.") if imported.startswith("amili_async.") else None


@pytest.mark.parametrize("module", [name for name in MODULES if not find_home(name, {"sandbox"})])
def test_imports_only_go_down(module: str) -> None:
    """Each module imports from lower floors only, or from its own folder in one of those that stand on one floor."""
    if module in {"_wire", "_paging"}:
        assert list(find_imports(module)) == []
        return
    for imported in find_imports(module):
        target = ours(imported)
        if target is None or (find_home(target, {"sandbox"}) and find_home(module, {"cli"})):
            continue
        same_folder = any(find_home(module, {folder}) and find_home(target, {folder}) for folder in ONE_FLOOR)
        assert same_folder or floor_of(target) < floor_of(module), f"{module} imports {target}, which is not below it"


@pytest.mark.parametrize("module", [name for name in MODULES if find_home(name, {"sandbox"})])
def test_the_sandbox_is_an_island(module: str) -> None:
    """The sandbox shares no code with the client: a mistake in one cannot hide in the other."""
    for imported in find_imports(module):
        target = ours(imported)
        assert target is None or find_home(target, {"sandbox"})


@pytest.mark.parametrize("library", HOMES)
def test_each_library_has_its_place(library: str) -> None:
    """Only the modules named above know the library."""
    users = {name for name in MODULES if library in {imported.split(".")[0] for imported in find_imports(name)}}
    assert {name for name in users if not find_home(name, HOMES[library])} == set()


def test_importing_the_package_loads_no_optional_or_slow_library() -> None:
    """`import amili_async` costs aiohttp, msgspec and tenacity; the rest is loaded by the functions that need it."""
    import subprocess
    import sys

    program = "import sys, amili_async; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "aiohttp" in loaded
    assert set(loaded) & LAZY == set()


@pytest.mark.parametrize("module", [name for name in MODULES if not find_home(name, {"sandbox"})])
def test_each_file_opens_with_a_sentence_and_answers_one_question(module: str) -> None:
    """A docstring first; and no file so long that it must be answering two questions."""
    text = MODULES[module].read_text()
    assert (ast.get_docstring(ast.parse(text)) or "").strip()
    assert text.count("\n") <= 260
