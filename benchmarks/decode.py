"""How fast pages of 100 specifications are decoded: typed records against dicts, plain structs and pydantic."""

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from amili_async._wire.decoding import RecordDecoder
from amili_async._wire.protocol import Response
from amili_async.models import PayoutSpecification, timestamps
from amili_async.models.record_type import record_type_of
from benchmarks.harness.report import GoalResult, Report, print_goals
from benchmarks.harness.rounds import Measure, find_ratio, print_table, run_rounds, timed
from benchmarks.workload.plain_models import DATES, PlainPage
from benchmarks.workload.pydantic_models import PydanticPage
from benchmarks.workload.sample_pages import PAGE_SIZE, ROW_WRITERS, write_pages

TYPED, PLAIN = "amili_async: aware dates, exact Decimal", "struct, dates as text, float"
DICTS, DICTS_CONVERTED = "json.loads to dicts", "json.loads + Decimal + email.utils"
PYDANTIC = "pydantic v2, same types"
GOALS = {"batched": 2.5, "distinct": 3.3, "documented": 2.0}
"""Largest acceptable ratio to plain structs, by profile."""
DICTS_GOAL = 0.9
PYDANTIC_GOAL = 7.0


def measure(*, quick: bool) -> Report:
    """Decode each profile; with fewer pages and rounds if *quick*."""
    goals = [goal for profile in ROW_WRITERS for goal in _compare(profile, quick=quick)]
    print_goals(goals, is_quick=quick)
    return Report(goals=tuple(goals))


def _compare(profile: str, *, quick: bool) -> Iterable[GoalResult]:
    count, rounds = (5, 3) if quick else (100, 11)
    bodies = write_pages(profile, count)
    decoder = RecordDecoder(record_type_of(PayoutSpecification))

    def decode_typed(body: bytes) -> object:
        response = Response(status=200, headers={}, body=body)
        return decoder.read_page(response, request="GET /finance--payout-specifications", number=None)

    def decoding(decode: Callable[[bytes], object], *, before: Callable[[], None] = lambda: None) -> Measure:
        def decode_all() -> None:
            for body in bodies:
                decode(body)

        return timed(decode_all, before=before)

    contenders = {
        TYPED: decoding(decode_typed, before=_clear_date_caches),
        PLAIN: decoding(msgspec.json.Decoder(PlainPage).decode),
        DICTS: decoding(json.loads),
    }
    if profile == "batched":
        contenders[DICTS_CONVERTED] = decoding(_decode_and_convert)
        contenders[PYDANTIC] = decoding(PydanticPage.model_validate_json)
    medians = run_rounds(contenders, rounds=rounds)
    title = f"Decoding {count} pages of {PAGE_SIZE} specifications, profile {profile} (CPU, medians of {rounds})"
    print_table(title, medians, baseline=PLAIN, by="cpu")
    per_record = medians[TYPED].cpu / count / PAGE_SIZE
    print(f"  amili_async: {per_record * 1e6:.2f} µs per record, with date caches empty at first")
    ratio = find_ratio(medians, TYPED, PLAIN, "cpu")
    yield GoalResult(name=f"typed decode vs. plain str and float, {profile}", result=ratio, goal=GOALS[profile])
    if profile == "batched":
        dicts = find_ratio(medians, TYPED, DICTS, "cpu")
        yield GoalResult(name="typed decode vs. json.loads to dicts", result=dicts, goal=DICTS_GOAL)
        pydantic = find_ratio(medians, PYDANTIC, TYPED, "cpu")
        yield GoalResult(name="pydantic v2 vs. typed decode", result=pydantic, goal=PYDANTIC_GOAL, is_minimum=True)


def _clear_date_caches() -> None:
    """Forget every parsed date, so that each round starts like a new process."""
    timestamps._timestamps.clear()
    timestamps._parse_day.cache_clear()


def _decode_and_convert(body: bytes) -> Any:
    listing = json.loads(body, parse_float=Decimal)
    for item in listing["_items"]:
        for name in DATES:
            if item.get(name):
                item[name] = parsedate_to_datetime(item[name])
    return listing
