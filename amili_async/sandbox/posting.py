"""What a POST does: the body read as Eve reads it, the payments checked all together, then stored and settled."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from .dates import at_epoch, write_date
from .errors import Broken, Invalid, Refused
from .payments import as_stored, find_issues
from .projections import Document
from .store import etag_of

_FORM = "application/x-www-form-urlencoded"


def read_payload(body: bytes, content_type: str) -> list[Any]:
    """The documents in a body: one, or a list of several."""
    kind = content_type.split(";")[0]
    if kind == "application/json":
        payload = _read_json(body)
    elif kind == _FORM:
        payload = dict(reversed(parse_qsl(body.decode(errors="replace"), keep_blank_values=True)))
        if not payload:
            raise Refused(400, "No form-urlencoded data supplied")
    else:
        raise Refused(400, "Unknown or no Content-Type header supplied")
    return _documents(payload)


def _read_json(body: bytes) -> Any:
    try:
        return json.loads(body, parse_float=Decimal)
    except ValueError as error:
        raise Refused(400) from error


def _documents(payload: Any) -> list[Any]:
    if isinstance(payload, dict):
        return [payload]
    if not payload:
        raise Refused(400)
    if isinstance(payload, list | str):
        return list(payload)
    raise Broken("a number has no length")


def check(documents: list[Any]) -> list[Document]:
    """The documents as they are to be stored; Invalid if one of them has an issue, and then none is."""
    nested = [_unfold(each) if isinstance(each, dict) else each for each in documents]
    results = [_result(document) for document in nested]
    failures = sum("_issues" in result for result in results)
    if failures:
        raise Invalid(results, failures=failures)
    return [as_stored(document) for document in nested]


def _result(document: Any) -> Document:
    if not isinstance(document, dict):
        issues = {"validation exception": f"'{document}' is not a document, must be a dict"}
    else:
        issues = find_issues(document)
    return {"_status": "ERR", "_issues": issues} if issues else {"_status": "OK"}


def _unfold(document: Document) -> Document:
    """Dotted names become nested objects before anything is checked."""
    unfolded: Document = {name: value for name, value in document.items() if "." not in name}
    for name in document.keys() - unfolded.keys():
        unfolded.setdefault(name.split(".")[0], {})
    return unfolded


def settle(posted: Document, *, now: float, make_id: Callable[[], str]) -> Document:
    """The row that a valid payment becomes, with what the system adds to it."""
    moment = write_date(at_epoch(now))
    booked = at_epoch(now).replace(hour=0, minute=0, second=0)
    row_id = posted.get("_id") or make_id()
    row: Document = {
        "_id": row_id,
        "_created": moment,
        "_updated": moment,
        "_etag": "",
        "account": "5f0000000000000000000001",
        "client_registration_date": moment,
        **posted,
        "settled_amount": posted["amount"],
        "status": "completed",
        "case_reference_number": str(int(row_id[-6:], 16)),
        "booking_date": write_date(booked),
    }
    row.setdefault("case_invoice_number", posted.get("invoice_number", f"INV-{row_id[-6:]}"))
    return {**row, "_etag": etag_of(row)}


def creation_result(row: Mapping[str, Any]) -> Document:
    """What the answer tells of a created payment: not what was sent, only what was added."""
    created = {name: row[name] for name in ("_updated", "_created", "_etag", "_id")}
    return {**created, "_status": "OK", "_payment_status": "completed"}
