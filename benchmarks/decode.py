"""Pages of 100 specifications out of memory: typed records against dicts, plain structs and pydantic."""

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from amili_async._wire.decoding import RecordDecoder
from amili_async._wire.protocol import Response
from amili_async.models import PayoutSpecification, fields
from amili_async.models.record_type import record_type_of
from benchmarks.pages import SHAPES, SIZE, write_pages
from benchmarks.plain import DATES, PlainListing
from benchmarks.report import Judged, Report, print_judged
from benchmarks.rounds import Measure, find_ratio, print_table, run_rounds, timed
from benchmarks.validated import ValidatedListing

OURS, BASE = "amili_async: aware dates, exact Decimal", "struct, dates as text, float"
DICTS, BY_HAND = "json.loads to dicts", "json.loads + Decimal + email.utils"
VALIDATED = "pydantic v2 with the same types"
GOALS = {"real": 2.5, "unique": 3.3, "docs": 2.0}
DICTS_GOAL = 0.9
VALIDATED_GOAL = 7.0


def measure(*, quick: bool) -> Report:
    """Each shape of page; fewer pages and rounds if *quick*."""
    judged = [goal for shape in SHAPES for goal in _compare(shape, quick=quick)]
    print_judged(judged, is_quick=quick)
    return Report(judged=tuple(judged))


def _compare(shape: str, *, quick: bool) -> Iterable[Judged]:
    count, rounds = (5, 3) if quick else (100, 11)
    bodies = write_pages(shape, count)
    reader = RecordDecoder(record_type_of(PayoutSpecification))

    def read(body: bytes) -> object:
        response = Response(status=200, headers={}, body=body)
        return reader.read_page(response, request="GET /finance--payout-specifications", number=None)

    def decoding(decode: Callable[[bytes], object], *, before: Callable[[], None] = lambda: None) -> Measure:
        def decode_all() -> None:
            for body in bodies:
                decode(body)

        return timed(decode_all, before=before)

    contenders = {
        OURS: decoding(read, before=_forget_dates),
        BASE: decoding(msgspec.json.Decoder(PlainListing).decode),
        DICTS: decoding(json.loads),
    }
    if shape == "real":
        contenders |= {BY_HAND: decoding(_decode_by_hand), VALIDATED: decoding(ValidatedListing.model_validate_json)}
    medians = run_rounds(contenders, rounds=rounds)
    title = f"Decoding {count} pages of {SIZE} specifications, {shape} (CPU, medians of {rounds})"
    print_table(title, medians, baseline=BASE, by="cpu")
    print(f"  ours: {medians[OURS].cpu / count / SIZE * 1e6:.2f} µs per record, no date known at the start")
    ratio = find_ratio(medians, OURS, BASE, "cpu")
    yield Judged(what=f"typed decode against plain str and float, {shape}", result=ratio, goal=GOALS[shape])
    if shape == "real":
        against_dicts = find_ratio(medians, OURS, DICTS, "cpu")
        yield Judged(what="typed decode against json.loads to dicts", result=against_dicts, goal=DICTS_GOAL)
        gain = find_ratio(medians, VALIDATED, OURS, "cpu")
        yield Judged(what="pydantic v2 against typed decode", result=gain, goal=VALIDATED_GOAL, is_least=True)


def _forget_dates() -> None:
    """Begin without any date that was read before, as a new process does."""
    fields._timestamps.clear()
    fields._seen_days.clear()


def _decode_by_hand(body: bytes) -> Any:
    listing = json.loads(body, parse_float=Decimal)
    for item in listing["_items"]:
        for name in DATES:
            if item.get(name):
                item[name] = parsedate_to_datetime(item[name])
    return listing
