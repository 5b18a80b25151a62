"""The architecture: imports only go down, and each third-party library has its one place."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

from tests.architecture.source import MODULES, is_within, parse

MOST_LINES = 300
"""Lines of one file."""

FLOORS = [
    {"response_head", "version", "readable"},
    {"errors"},
    {"meter", "_wire.base_url", "_wire.checks", "_wire.frames", "events"},
    {"policies", "models.timestamps", "notebooks", "_wire.clock", "_wire.tasks", "_paging.partition"},
    {"models.record_type", "models.json"},
    {"models.portable"},
    {
        "auth",
        "models.fields",
        "observers",
        "pages",
        "_wire.announcer",
        "_wire.iteration",
        "_paging.prefetch",
        "_paging.scan_page",
        "_wire.quota",
    },
    {
        "_wire.sliding_window",
        "_paging.scan_checks",
        "models.payout",
        "models.payout_specification",
        "models.creditor_payment",
        "models.creditor",
        "models.case",
    },
    {"models.kinds"},
    {
        "models",
        "filters",
        "_wire.rate_limiter",
        "_wire.token_provider",
        "_wire.retry",
        "_wire.error_responses",
    },
    {"_wire.shared_token", "export.columns", "export.records", "export.formats.arrow", "export.arrow"},
    {"deliveries", "tables"},
    {"conditions", "reconciliation.comparison"},
    {"query"},
    {"_wire.protocol"},
    {"_wire.network", "_wire.decoding", "_wire.api_code", "_wire.context", "_wire.calls"},
    {"_wire.transport_errors"},
    {"_wire.session"},
    {"_wire.pipeline", "_wire.listing", "_paging.offset", "_paging.scan"},
    {"handlers", "_paging.keyset", "_wire.core"},
    {"extraction"},
    {"stream_checkpoint"},
    {"streams"},
    {"resources"},
    {"payments", "reconciliation", "shared", "payouts", "creditors", "cases", "locales", "litestar"},
    {"environment"},
    {"client", "export"},
    {"dask", "testing"},
    {"dask", "dlt"},
    {""},  # amili_async itself: the public names
    {"cli"},
    {"__main__"},
]
"""A module may import from lower floors only; the name of a folder means all modules in it."""

ONE_FLOOR = ("cli", "export", "extraction", "observers", "payments", "shared")
"""Folders whose modules may import from each other."""

HOMES = {
    "aiohttp": {"_wire.session", "_wire.transport_errors", "sandbox"},
    "yarl": {"_wire.session", "sandbox"},
    "tenacity": {"_wire.retry"},
    "jwt": {"auth", "_wire.api_code", "sandbox"},
    "cryptography": {"auth", "shared.tokens", "cli.diagnosis.handshake", "sandbox"},
    "redis": {"shared"},
    "asyncpg": {"cli"},
    "typer": {"cli"},
    "rich": {"cli"},
    "jinja2": {"cli"},
    "pyarrow": {"export"},
    "zstandard": {"export"},
    "fsspec": {"export"},
    "dlt": {"dlt"},
    "litestar": {"litestar"},
    "pydantic_core": {"models.portable"},
    "distributed": {"dask"},
    "opentelemetry": {"observers"},
    "IPython": {"notebooks"},
    "pytest": {"testing"},
    "pytest_asyncio": {"testing"},
}
"""The modules that may import each library."""

LAZY = {
    "IPython",
    "jwt",
    "cryptography",
    "opentelemetry",
    "typer",
    "rich",
    "jinja2",
    "pyarrow",
    "zstandard",
    "fsspec",
    "dlt",
    "litestar",
    "pydantic_core",
    "redis",
    "tenacity",
    "difflib",
    "html",
    "secrets",
}
"""Libraries that `import amili_async` must not load."""


def floor_of(module: str) -> int:
    """The floor that lists the module or its folder."""
    exact = [number for number, names in enumerate(FLOORS) if module in names]
    return exact[0] if exact else next(n for n, names in enumerate(FLOORS) if is_within(module, names - {"models"}))


@cache
def find_imports(module: str) -> tuple[str, ...]:
    """The modules that a module imports, as absolute names, without those that only type checkers import."""
    return tuple(_walk_imports(module))


def _walk_imports(module: str) -> Iterator[str]:
    tree = parse(MODULES[module])
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
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


CLIENT = [name for name in MODULES if not is_within(name, {"sandbox"})]
"""Every module outside the sandbox."""


def find_upward_imports(module: str) -> Iterator[str]:
    """The modules that this one imports although they are not on a lower floor, nor in its own folder on one floor."""
    for imported in find_imports(module):
        target = ours(imported)
        if target is None or (is_within(target, {"sandbox"}) and is_within(module, {"cli", "testing"})):
            continue
        is_in_folder = any(is_within(module, {folder}) and is_within(target, {folder}) for folder in ONE_FLOOR)
        if not is_in_folder and floor_of(target) >= floor_of(module):
            yield target


def test_imports_only_go_down() -> None:
    """Each module imports from lower floors only, or from its own folder where that folder shares one floor."""
    private_folders = {"_wire", "_paging"}
    assert [name for name in private_folders if find_imports(name)] == []
    upward = [
        f"{name} imports {target}"
        for name in CLIENT
        if name not in private_folders
        for target in find_upward_imports(name)
    ]
    assert upward == []


def test_the_sandbox_is_an_island() -> None:
    """The sandbox shares no code with the client, so that a mistake in one cannot hide in the other."""
    targets = {
        (name, ours(imported)) for name in MODULES if is_within(name, {"sandbox"}) for imported in find_imports(name)
    }
    assert [pair for pair in targets if pair[1] is not None and not is_within(pair[1], {"sandbox"})] == []


def test_each_library_is_imported_in_one_place() -> None:
    """Only the modules named in HOMES import the library."""
    imports = {name: {imported.split(".")[0] for imported in find_imports(name)} for name in MODULES}
    strays = [
        f"{name} imports {library}"
        for library, homes in HOMES.items()
        for name, imported in imports.items()
        if library in imported and not is_within(name, homes)
    ]
    assert strays == []


def test_importing_the_package_loads_no_optional_or_slow_library() -> None:
    """`import amili_async` loads aiohttp and msgspec; functions load the rest when they need it."""
    program = "import sys, amili_async; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "aiohttp" in loaded
    assert set(loaded) & LAZY == set()


def test_each_file_opens_with_a_sentence_and_answers_one_question() -> None:
    """Each module has a docstring, and none is so long that it answers two questions."""
    undocumented = [name for name, path in MODULES.items() if not (ast.get_docstring(parse(path)) or "").strip()]
    long = [name for name in CLIENT if MODULES[name].read_text().count("\n") > MOST_LINES]
    assert (undocumented, long) == ([], [])


def test_a_client_that_opens_has_loaded_what_its_calls_need() -> None:
    """No call imports a library after a failure: where the process has no file left to open, it could not."""
    program = """
import asyncio, sys
from amili_async import AmiliClient

async def main():
    async with AmiliClient(auth="token"):
        print({"html", "tenacity"} <= {*sys.modules})

print({"html", "tenacity"} <= {*sys.modules})
asyncio.run(main())
"""
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["False", "True"]
