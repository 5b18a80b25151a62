"""Dicts decoded out of memory by `json.loads`, all of which are kept."""

import json
from functools import cache
from typing import Any

from benchmarks.workload.sample_pages import write_pages

LABEL = "json.loads, dicts kept"
PAGES = 100


@cache
def prepare() -> list[bytes]:
    """The pages."""
    return write_pages("real", PAGES)


def fetch_all(_url: str, *, times: int) -> int:
    """Decode all pages so many times, each time anew."""
    kept: list[dict[str, Any]] = []
    for _ in range(times):
        for body in prepare():
            kept.extend(json.loads(body)["_items"])
    return len(kept)
