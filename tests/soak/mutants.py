"""Mutation testing of the engine: plants one small fault at a time and reports those that no test detects.

    python3 -m tests.soak.mutants --seed 1 --count 150 [--module _wire/retry] [--list] [--jobs 2]

The same seed chooses the same mutants of the same lines. A mutant is killed when a test about its
module fails or does not end in time. Exit code 1: a survivor that `EXPLAINED` does not explain.

Invariant: the working tree is only read. Each job has a copy of it in a temporary directory, and each mutant a process
forked from one that has imported the libraries, but nothing of the package.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from .mutations import Mutant, mutants_of

ROOT = Path(__file__).parents[2]
PACKAGE = "amili_async"
COPIED = (PACKAGE, "tests", "pyproject.toml", "README.md", "CHANGELOG.md")
LIBRARIES = (
    *("aiohttp.web", "cryptography.hazmat.primitives.asymmetric.rsa", "jinja2", "jwt", "msgspec.json"),
    *("pyarrow.parquet", "pytest", "rich.console", "rich.table", "tenacity", "typer"),
)
FOLDERS = {
    "_wire": (
        *("decoding", "rate_limiter", "reported_quota", "token", "tokens", "faults*", "circuit", "streams", "client"),
        *("closing", "server_hints", "permanent_failures", "cancellation*", "secrets", "payments"),
    ),
    "_paging": (
        *("prefetch_window", "streams", "extraction*", "one_empty_page", "cached_pages", "incremental"),
        *("faults_pages", "cancellation*"),
    ),
    "extraction": ("extraction*", "one_empty_page", "cached_pages", "incremental", "cancellation*"),
    "payments": ("payment_lists", "payments*", "dropped_payments", "pay_command", "cancellation*"),
    "export": ("export*", "incremental", "records"),
    "reconciliation": ("reconcile", "reconcile_command", "cancellation*"),
}
"""Folder of the package -> names of the files about it in `tests/properties` and `tests/integration`, in that order."""

TEST_TIMEOUT = 40
"""Seconds after which a single test counts as hanging."""

EXPLAINED: tuple[tuple[str, str, str, str], ...] = (
    (
        "export/formats/parquet.py",
        "yield from file.iter_batches(batch_size=READ_BATCH, columns=columns, use_threads=False)",
        "yield from file.iter_batches(batch_size=READ_BATCH, columns=columns)",
        "threads read ahead: the rows are the same, only the memory differs",
    ),
    (
        "_paging/scan.py",
        "reaches_end = bool(page.keys) and page.keys[-1].id >= owner.end",
        "reaches_end = bool(page.keys) and page.keys[-1].id > owner.end",
        "a last id equal to the end is kept, so the range is fetched up to its end in either case",
    ),
    (
        "_wire/sliding_window.py",
        "for free, window in zip(slots, self._windows, strict=True):",
        "for free, window in zip(slots, self._windows, strict=False):",
        "a guard: the two always have the same length",
    ),
    (
        "export/formats/arrow.py",
        "if kind is not Scalar.MONEY or _is_within_arrow(values):",
        "if kind is not Scalar.MONEY and _is_within_arrow(values):",
        "values are then normalized one by one: the same arrays, only slower",
    ),
    (
        "reconciliation/run.py",
        "break",
        "continue",
        "without doubtful payouts each further round does nothing",
    ),
)
"""Mutants without an observable effect: file in the package, the lines before, the lines after, the reason."""


class Outcome(Struct, frozen=True):
    """How the tests of one mutant ended."""

    mutant: Mutant
    result: str
    """`killed`, `survived` or `timed out`."""
    seconds: float
    detail: str = ""
    """The first failing test."""

    @property
    def reason(self) -> str | None:
        """Why the mutant cannot be killed, where that is known."""
        key = (self.mutant.path.removeprefix(f"{PACKAGE}/"), self.mutant.before, self.mutant.after)
        return next((reason for *explained, reason in EXPLAINED if tuple(explained) == key), None)


def choose(seed: int, count: int, module: str) -> list[Mutant]:
    """*count* mutants of the modules whose path contains *module*, evenly over folders and kinds of fault."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / PACKAGE / folder).rglob("*.py"))]
    names = [str(path.relative_to(ROOT)) for path in paths]
    mutants = [each for name in names if module in name for each in mutants_of(name, (ROOT / name).read_bytes())]
    mutants.sort(key=lambda mutant: _draw(seed, mutant))
    seen: Counter[tuple[str, str]] = Counter()
    ranks = {}
    for mutant in mutants:
        group = (_folder(mutant), mutant.kind)
        ranks[mutant] = seen[group]
        seen[group] += 1
    return sorted(mutants, key=ranks.__getitem__)[:count]


def _draw(seed: int, mutant: Mutant) -> bytes:
    """A random place that depends on nothing but the mutant, so that other changes of the file keep the sample."""
    text = f"{seed} {mutant.path} {mutant.kind} {mutant.before} {mutant.after}"
    return blake2b(text.encode(), digest_size=8).digest()


def _folder(mutant: Mutant) -> str:
    return mutant.path.split("/")[1]


def tests_of(path: str) -> list[str]:
    """The test files about a module: its own, those of its folder, of every module, then properties and integration."""
    _, folder, *rest = Path(path).parts
    unit = ROOT / "tests/unit" / folder.strip("_")
    wanted = [unit / f"test_{Path(rest[-1]).stem}.py", *sorted(unit.rglob("test_*.py"))]
    wanted += sorted(unit.parent.glob("test_*.py"))
    for kind in ("properties", "integration"):
        wanted += [file for name in FOLDERS[folder] for file in sorted((ROOT / "tests" / kind).glob(f"test_{name}.py"))]
    return list(dict.fromkeys(str(file.relative_to(ROOT)) for file in wanted if file.exists()))


class Job:
    """One copy of the working tree, and the tests that run in it."""

    def __init__(self, place: Path) -> None:
        self.tree = place / "tree"
        self._log = place / "log"
        self.tree.mkdir(parents=True)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, self.tree / name)
        self._process = 0
        self._mutant: Mutant | None = None
        self._began = self._timeout = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether no tests run here."""
        return not self._process

    def start(self, mutant: Mutant, timeout: float) -> None:
        """Plant a mutant and start its tests."""
        self._mutant = mutant
        target = self.tree / mutant.path
        target.write_bytes(mutant.apply(target.read_bytes()))
        # Bytecode is trusted by the second and size of its source, which a mutant may share with the original.
        for cached in (target.parent / "__pycache__").glob(f"{target.stem}.*.pyc"):
            cached.unlink()
        self._launch(tests_of(mutant.path), timeout, writes_bytecode=False)

    def measure(self, files: list[str]) -> float:
        """Seconds that the tests need without a mutant; SystemExit where they fail."""
        self._launch(files, 3600.0, writes_bytecode=True)
        _, status = os.waitpid(self._process, 0)
        self._process = 0
        if status:
            sys.exit(f"the tests fail without a mutant:\n{self._log.read_text()[-4000:]}")
        return time.monotonic() - self._began

    def poll(self) -> Outcome | None:
        """The outcome, once there is one; the copy is clean afterwards."""
        finished, status = os.waitpid(self._process, os.WNOHANG)
        seconds = time.monotonic() - self._began
        if not finished and seconds < self._timeout:
            return None
        self._kill(reap=not finished)
        assert self._mutant is not None
        shutil.copy2(ROOT / self._mutant.path, self.tree / self._mutant.path)
        lines = self._log.read_text(errors="replace").splitlines()
        if not finished or any(line.startswith("Timeout (") for line in lines):
            return Outcome(self._mutant, "timed out", seconds)
        failure = next((line for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1] if lines else "")
        return Outcome(self._mutant, "killed" if status else "survived", seconds, failure)

    def _launch(self, files: list[str], timeout: float, *, writes_bytecode: bool) -> None:
        self._began, self._timeout = time.monotonic(), timeout
        self._process = os.fork()
        if not self._process:
            _run_tests(self.tree, files, self._log, writes_bytecode=writes_bytecode)

    def _kill(self, *, reap: bool) -> None:
        process, self._process = self._process, 0
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)  # with the processes that its tests have started
        if reap:
            os.waitpid(process, 0)

    def close(self) -> None:
        """End tests that run."""
        if self._process:
            self._kill(reap=True)


def _run_tests(tree: Path, files: list[str], log: Path, *, writes_bytecode: bool) -> NoReturn:
    """Run pytest in this process, which was forked for it, up to the first failure."""
    code = 70
    try:
        os.setsid()
        for number, opened in enumerate((os.open(os.devnull, os.O_RDONLY), *[os.open(log, _FRESH, 0o600)] * 2)):
            os.dup2(opened, number)
        os.chdir(tree)
        sys.path[:] = [str(tree), *(path for path in sys.path if Path(path or ".").resolve() not in (ROOT, tree))]
        sys.dont_write_bytecode = not writes_bytecode
        os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "" if writes_bytecode else "1"}
        for name in [name for name in sys.modules if name.split(".")[0] in ("tests", PACKAGE)]:
            del sys.modules[name]
        pytest = import_module("pytest")
        options = ["-x", "-q", "-n0", "--tb=line", "-pno:cacheprovider", "-pno:randomly"]
        options += ["-o", f"faulthandler_timeout={TEST_TIMEOUT}", "-o", "faulthandler_exit_on_timeout=true"]
        code = int(pytest.main([*options, f"--basetemp={tree.with_name('scratch')}", *files]))
    except BaseException:  # noqa: BLE001  # the process ends here, whatever happens
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)


_FRESH = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def outcomes(mutants: Iterable[Mutant], jobs: list[Job], timeouts: dict[str, float]) -> Iterator[Outcome]:
    """Each outcome as soon as it is known."""
    waiting = list(reversed(list(mutants)))
    while waiting or not all(job.is_idle for job in jobs):
        for job in jobs:
            if job.is_idle and waiting:
                mutant = waiting.pop()
                job.start(mutant, timeouts[_folder(mutant)])
            outcome = None if job.is_idle else job.poll()
            if outcome is not None:
                yield outcome
        time.sleep(0.05)


def measure(job: Job, mutants: Iterable[Mutant]) -> dict[str, float]:
    """The timeout of each folder: four times what its tests need without a mutant, and half a minute."""
    timeouts = {}
    for mutant in mutants:
        folder = _folder(mutant)
        if folder not in timeouts:
            seconds = job.measure(tests_of(mutant.path))
            timeouts[folder] = 30.0 + 4 * seconds
            print(f"the tests of {folder} take {seconds:.1f} s", flush=True)
    return timeouts


def run(mutants: list[Mutant], count_of_jobs: int, *, is_trusted: bool) -> int:
    """Run the tests of each mutant, print the survivors and a summary, and return the exit code."""
    for library in LIBRARIES:
        import_module(library)
    counts: Counter[str] = Counter()
    unexplained = []
    with tempfile.TemporaryDirectory() as directory:
        jobs = [Job(Path(directory, str(number))) for number in range(count_of_jobs)]
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the tests end with this process
        try:
            timeouts = dict.fromkeys(FOLDERS, 600.0) if is_trusted else measure(jobs[0], mutants)
            for outcome in outcomes(mutants, jobs, timeouts):
                explained = outcome.result == "survived" and outcome.reason
                counts["explained" if explained else outcome.result] += 1
                print(f"{outcome.result:9} {outcome.seconds:5.1f} s  {outcome.mutant}", flush=True)
                print(f"     {explained or outcome.detail}"[:160], flush=True)
                if outcome.result == "survived" and not explained:
                    unexplained.append(outcome.mutant)
        finally:
            for job in jobs:
                job.close()
    print(f"\n{len(mutants)} mutants: " + ", ".join(f"{number} {name}" for name, number in counts.items()))
    print(*unexplained, sep="\n")
    return 1 if unexplained else 0


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.soak.mutants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--module", default="", help="a part of the path, such as _wire/retry")
    parser.add_argument("--only", default="", help="a part of the lines that a mutant changes")
    parser.add_argument("--trust", action="store_true", help="skip the run of the tests without a mutant")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    options = parser.parse_args()
    mutants = choose(options.seed, options.count, options.module)
    mutants = [each for each in mutants if options.only in str(each)]
    if options.list:
        print(*mutants, sep="\n")
        return 0
    return run(mutants, options.jobs, is_trusted=options.trust)


if __name__ == "__main__":
    sys.exit(main())
