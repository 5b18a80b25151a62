"""Reconciliations for programs: one line of JSON or one row of CSV per payout, with exact digits."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Protocol

from msgspec import UNSET

from amili_async.cli.reports.reconciliation_words import put_in_words
from amili_async.export.table import Csv
from amili_async.models.encoding import encode_json
from amili_async.reconcile import COLUMNS, Difference, Reconciliation

_OWN = ("payout_reference", "payout_date", "finance_category", "creditor", "currency")
_PERIOD = ("finance_period_start_date", "finance_period_end_date")
_SIDES = ("stated", "found")
CSV_COLUMNS = (
    *("payout", *_OWN, "specifications"),
    *(f"{side}_{column}" for side in _SIDES for column in COLUMNS),
    *("agrees", "differences", "differences_in_words"),
)
"""The header of the CSV."""


class Rows(Protocol):
    """A form in which each payout is one row of bytes."""

    @property
    def header(self) -> bytes:
        """What comes before the first row."""

    def encode(self, reconciliation: Reconciliation) -> bytes:
        """The row of one payout."""


class JsonRows:
    """A document per line; what is not known is `null`, and dates are ISO 8601."""

    header = b""

    def encode(self, reconciliation: Reconciliation) -> bytes:
        document = {
            "payout": reconciliation.payout_id,
            **_pick(reconciliation, *_OWN, *_PERIOD),
            "agrees": reconciliation.agrees,
            "specifications": reconciliation.sums.count,
            **_compare_sums(reconciliation),
            "articles": reconciliation.articles,
            "differences": [_list_parts(difference) for difference in reconciliation.differences],
        }
        return f"{encode_json(document)}\n".encode()


class CsvRows:
    """The dialect of `amili export`, which writes text as it is: the file is for programs, too.

    Only the column of words is made here, so nothing in it is taken for a formula.
    """

    header = (",".join(CSV_COLUMNS) + "\n").encode()

    def __init__(self) -> None:
        self._dialect = Csv(CSV_COLUMNS)

    def encode(self, reconciliation: Reconciliation) -> bytes:
        sides = _compare_sums(reconciliation)
        row = {
            "payout": reconciliation.payout_id,
            **_pick(reconciliation, *_OWN),
            "specifications": reconciliation.sums.count,
            **{f"{side}_{column}": sides[side][column] for side in _SIDES for column in COLUMNS},
            "agrees": reconciliation.agrees,
            "differences": len(reconciliation.differences),
            "differences_in_words": "; ".join(map(put_in_words, reconciliation.differences)),
        }
        return self._dialect.encode([row])


def _pick(reconciliation: Reconciliation, *names: str) -> dict[str, Any]:
    """Fields of the payout; `None` for those that it lacks, and for all where there is no payout."""
    values = {name: getattr(reconciliation.payout, name, None) for name in names}
    return {name: None if value is UNSET or _is_no_number(value) else value for name, value in values.items()}


def _is_no_number(value: Any) -> bool:
    """Whether it is an amount of which JSON could not say anything: infinite, or not a number."""
    return isinstance(value, Decimal) and not value.is_finite()


def _compare_sums(reconciliation: Reconciliation) -> Mapping[str, dict[str, Any]]:
    """What the payout states, and what its specifications come to."""
    sums = reconciliation.sums
    return {
        "stated": _pick(reconciliation, *COLUMNS),
        "found": {column: getattr(sums, column) for column in COLUMNS},
    }


def _list_parts(difference: Difference) -> dict[str, Any]:
    """A difference without its payout, which the line names already."""
    names = ("kind", "specification", "article", "field", "stated", "found", "is_noise")
    return {name: getattr(difference, name) for name in names}
