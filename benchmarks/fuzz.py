"""Answers spoilt in a hundred thousand ways: is anything raised that is none of our errors, and does any take long?"""

import time
from collections import Counter

from amili_async import ApiCodeCredentials
from amili_async.sandbox import Sandbox
from benchmarks.harness.report import Report
from tests.support.fuzzed_responses import READS, read_in_every_way
from tests.support.mutations import spoil

CASES = 120_000


def measure(*, quick: bool) -> Report:
    """Print how many were read and refused, and the seed of each that brought something else, which is a failure."""
    sandbox = Sandbox()
    credentials = ApiCodeCredentials(sandbox.api_code, sandbox.private_key)
    cases = CASES // 60 if quick else CASES
    refused, faults, longest = 0, Counter[str](), 0.0
    for seed in range(cases):
        response = spoil(seed)
        started = time.perf_counter()
        try:
            refused += read_in_every_way(response, credentials)
        except Exception as error:  # noqa: BLE001 - these are what is looked for
            faults[type(error).__name__] += 1
            print(f"seed {seed}: {type(error).__name__}")
        longest = max(longest, time.perf_counter() - started)
    print(f"\nfuzz: {cases:,} spoilt answers, each read in {READS} ways")
    print(f"refused with an error of ours: {refused / cases / READS:.0%} of the reads; the rest were read")
    print(f"anything else: {dict(faults) or 'nothing'}; longest for one answer: {1000 * longest:.0f} ms")
    if faults:
        raise SystemExit(f"fuzz: {faults.total()} answers brought what is no error of ours")
    return Report()
