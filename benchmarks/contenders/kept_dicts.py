"""Dicts decoded from memory by `json.loads` and kept."""

import json
from functools import cache
from typing import Any

from benchmarks.workload.sample_pages import write_pages

LABEL = "json.loads, dicts kept"
PAGES = 100


@cache
def prepare() -> list[bytes]:
    """The bodies, generated once per process."""
    return write_pages("batched", PAGES)


def fetch_all(_url: str, *, times: int) -> int:
    """Decode all pages *times* times, each time from scratch."""
    kept: list[dict[str, Any]] = []
    for _ in range(times):
        for body in prepare():
            kept.extend(json.loads(body)["_items"])
    return len(kept)
