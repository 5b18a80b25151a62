"""A hundred thousand corrupted responses: only the errors of the package are raised, and none takes long to read."""

import time
from collections import Counter

from amili_async import ApiCodeCredentials
from amili_async.sandbox import Sandbox
from tests.support.corrupted_responses import corrupt
from tests.support.response_readers import READS, read_in_every_way

CASES = 120_000


def fuzz(cases: int) -> None:
    """Print how many reads raised an error of the package; `SystemExit` with the seeds that raised any other."""
    sandbox = Sandbox()
    credentials = ApiCodeCredentials(sandbox.api_code, sandbox.private_key)
    errors, faults, longest = 0, Counter[str](), 0.0
    for seed in range(cases):
        response = corrupt(seed)
        started = time.perf_counter()
        try:
            errors += read_in_every_way(response, credentials)
        except Exception as error:  # noqa: BLE001 - the search is for exactly these
            faults[type(error).__name__] += 1
            print(f"seed {seed}: {type(error).__name__}")
        longest = max(longest, time.perf_counter() - started)
    print(f"fuzz: {cases:,} corrupted responses, each read in {READS} ways")
    print(f"{errors / cases / READS:.0%} of the reads raised an error of the package; the rest succeeded")
    print(f"other errors: {dict(faults) or 'none'}; the slowest response took {1000 * longest:.0f} ms")
    if faults:
        raise SystemExit(f"fuzz: {faults.total()} responses raised an error that is not of the package")
