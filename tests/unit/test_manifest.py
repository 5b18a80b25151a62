"""Manifests and checkpoints as values: their verdict, their JSON, and what is rejected."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from amili_async.errors import ConfigurationError
from amili_async.extraction import Checkpoint, Manifest, Verdict
from amili_async.extraction.checkpoint import CHECKPOINT_VERSION, fingerprint, make_manifest

BOUND = datetime(2025, 6, 13, 8, tzinfo=UTC)
FINISHED: dict[str, Any] = {
    "resource": "finance--payouts",
    "fingerprint": fingerprint("finance--payouts", {}),
    "bound": BOUND,
    "requests": 4,
    "rows": 250,
    "count_before": 250,
    "count_after": 250,
    "count_past_bound": 0,
    "has_ended": True,
    "sums": {"amount": Decimal("1234567890123456789.10"), "vat_amount": Decimal("0.00")},
}
LEFT = (("0" * 24, "6" * 24),)


def judge(**changes: Any) -> Verdict:
    return make_manifest(Checkpoint(**FINISHED | changes), filter="").verdict


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.COMPLETE),
        ({"count_past_bound": 7}, Verdict.COMPLETE),
        ({"rows": 200, "already_delivered": 50}, Verdict.COMPLETE),
        ({"count_before": None, "count_after": None, "count_past_bound": None}, Verdict.COMPLETE),
        ({"ranges": LEFT}, Verdict.PARTIAL),
        ({"gaps": LEFT}, Verdict.PARTIAL),
        ({"has_ended": False}, Verdict.PARTIAL),
        ({"bound": None, "rows": 0, "count_before": None, "count_after": None, "has_ended": False}, Verdict.PARTIAL),
        ({"rows": 249}, Verdict.PARTIAL),
        ({"rows": 249, "duplicates": 1}, Verdict.PARTIAL),
        ({"count_before": None, "rows": 249}, Verdict.PARTIAL),
        ({"duplicates": 1}, Verdict.DRIFTED),
        ({"changed_during_scan": True}, Verdict.DRIFTED),
        ({"rows": 251}, Verdict.DRIFTED),
        ({"count_before": 251}, Verdict.DRIFTED),
        ({"count_after": 251}, Verdict.DRIFTED),
        ({"count_before": 251, "count_after": 249}, Verdict.DRIFTED),
    ],
)
def test_a_verdict_follows_from_the_counts(changes: dict[str, Any], verdict: Verdict) -> None:
    """Complete means finished, without duplicates and changes, and with as many rows as each count."""
    assert judge(**changes) is verdict


def test_json_round_trips() -> None:
    """Amounts keep their digits, the bound its second, and a checkpoint stays a checkpoint."""
    checkpoint = Checkpoint(**FINISHED, ranges=LEFT)
    assert Checkpoint.from_json(checkpoint.to_json()) == checkpoint
    assert Checkpoint.from_json(checkpoint.to_json().encode()) == checkpoint
    manifest = make_manifest(checkpoint, filter="article …")
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert str(Manifest.from_json(manifest.to_json()).sums["amount"]) == "1234567890123456789.10"
    for reads, text in ((Manifest.from_json, checkpoint.to_json()), (Checkpoint.from_json, manifest.to_json())):
        with pytest.raises(ConfigurationError, match="is not one written by amili_async"):
            reads(text)


@pytest.mark.parametrize("kind", [Checkpoint, Manifest])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        "{}",
        '{"version": 1}',
        '{"version": "1"}',
        b"\xff",
        b'{"version": 1, "resource": "\xff"}',
        '{"version": 1, "resource": "\ud800"}',
        '{"version": 1, "resource": "x"}',
    ],
)
def test_other_json_raises(kind: Any, text: str | bytes) -> None:
    """The error names what was expected, and shows nothing of the text."""
    with pytest.raises(ConfigurationError, match=f"this {kind.__name__.lower()} is not one written by") as caught:
        kind.from_json(text)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_another_version_raises_with_its_number() -> None:
    """The version is checked before the other fields, which a later release may have changed."""
    text = msgspec.json.encode({"version": CHECKPOINT_VERSION + 1, "new_field": 1})
    for kind in (Checkpoint, Manifest):
        with pytest.raises(ConfigurationError, match=f"version {CHECKPOINT_VERSION + 1}"):
            kind.from_json(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"ranges": [["x", "y"]]},
        {"ranges": [["0" * 24]]},
        {"ranges": [["f" * 24, "0" * 24]]},
        {"ranges": [["0" * 24, "8" * 24], ["4" * 24, "f" * 24]]},
        {"ranges": [["0" * 24, "' || 1"]]},
        {"rows": "many"},
        {"bound": "2025-06-13T08:00:00"},
        {"bound": None},
    ],
)
def test_a_damaged_checkpoint_raises(changes: dict[str, Any]) -> None:
    """Ranges that are no ranges of ids, or that overlap, would lose or repeat rows."""
    fields = msgspec.json.decode(Checkpoint(**FINISHED, ranges=LEFT).to_json())
    with pytest.raises(ConfigurationError):
        Checkpoint.from_json(msgspec.json.encode(fields | changes))


def test_a_fingerprint_identifies_resource_and_filter() -> None:
    """It does not depend on the order of the keys, differs for every other value, and shows none."""
    one = fingerprint("finance--payouts", {"amount": {"$gt": 1, "$lt": Decimal("2.5")}, "article": "canary"})
    assert one == fingerprint("finance--payouts", {"article": "canary", "amount": {"$lt": Decimal("2.5"), "$gt": 1}})
    others = [
        fingerprint("creditor--payments", {"amount": {"$gt": 1, "$lt": Decimal("2.5")}, "article": "canary"}),
        fingerprint("finance--payouts", {"amount": {"$gt": 1, "$lt": Decimal("2.6")}, "article": "canary"}),
        fingerprint("finance--payouts", {"amount": {"$gt": 1}, "article": "canary"}),
        fingerprint("finance--payouts", {}),
    ]
    assert len({one, *others}) == 5
    assert "canary" not in one


def test_a_checkpoint_is_finished_when_nothing_is_left() -> None:
    """Before the first response it is not, although it has no ranges yet."""
    assert Checkpoint(**FINISHED).is_finished
    assert not Checkpoint(**FINISHED, ranges=LEFT).is_finished
    assert not Checkpoint(**FINISHED, gaps=LEFT).is_finished
    assert not Checkpoint(resource="finance--payouts", fingerprint="x").is_finished
