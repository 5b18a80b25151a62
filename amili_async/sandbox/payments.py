"""A posted payment: the body read, checked against the schema as Eve 2.3 checks it, and completed to a row."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from .answers import HttpError, InvalidDocuments, ServerCrash, not_implemented, reject_constant
from .bson_values import ObjectId, at_epoch, cast_text, read_date, read_float, to_bson, write_date
from .rows import Document
from .store import etag_of


class FieldRule(Struct, frozen=True, kw_only=True):
    """The schema of one field. *read* turns a posted value into the stored one, or into None where it is invalid."""

    kind: str
    read: Callable[[Any], Any]
    required: bool = False
    readonly: bool = False
    allowed: tuple[str, ...] = ()


def _read_id(value: Any) -> Any:
    typed = cast_text(value) if isinstance(value, str) else None
    return str(typed) if isinstance(typed, ObjectId) else None


def _read_moment(value: Any) -> Any:
    moment = read_date(value) if isinstance(value, str) else None
    return write_date(moment) if moment else None


def _read_number(value: Any) -> Any:
    if isinstance(value, str):  # Eve 2.3 parses a number out of a string before it validates
        try:
            value = json.loads(value, parse_float=read_float, parse_constant=reject_constant)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else None


def _read_text(value: Any) -> Any:
    return value if isinstance(value, str) else None


_ID = FieldRule(kind="objectid", read=_read_id)
_TEXT = FieldRule(kind="string", read=_read_text)

RULES: Mapping[str, FieldRule] = {
    "_id": _ID,
    "account": _ID,  # documented as read-only, but the documented example posts it and gets a 201
    "creditor": FieldRule(kind="objectid", read=_read_id, required=True),
    "case": _ID,
    "invoice_number": _TEXT,
    "currency": FieldRule(kind="string", read=_read_text, required=True, allowed=("SEK",)),
    "amount": FieldRule(kind="number", read=_read_number, required=True),
    "bank_transaction_date": FieldRule(kind="datetime", read=_read_moment, required=True),
    "client_registration_date": FieldRule(kind="datetime", read=_read_moment),
    "creditor_payment_reference": _TEXT,
    "file_import_report": FieldRule(kind="objectid", read=_read_id, readonly=True),
    "origin": FieldRule(kind="string", read=_read_text, required=True, allowed=("creditor_system",)),
}
_ONE_OF = {"case": "invoice_number", "invoice_number": "case"}


def read_payload(body: bytes, content_type: str) -> list[Any]:
    """The documents in a body: one, or a list of several."""
    kind = content_type.split(";")[0]
    if kind == "application/x-www-form-urlencoded":
        raise not_implemented("form-encoded bodies; post JSON")
    if kind != "application/json":
        raise HttpError(400, "Unknown or no Content-Type header supplied")
    try:
        payload = json.loads(body, parse_float=read_float)
    except ValueError as error:
        raise HttpError(400) from error
    if isinstance(payload, dict):
        return [payload]
    if not payload:
        raise HttpError(400)
    if isinstance(payload, list):
        return payload
    if isinstance(payload, str):
        raise not_implemented("a string as the body; post a document or a list of documents")
    raise ServerCrash("Eve 2.3 takes the length of whatever is not an object, and a number has none")


def validated(documents: list[Any]) -> list[Document]:
    """The documents in stored form; InvalidDocuments if any of them has an issue, and then none is stored."""
    results = [_check(document) for document in documents]
    if any("_issues" in result for result in results):
        raise InvalidDocuments(results)
    rows = [{name: RULES[name].read(value) for name, value in document.items()} for document in documents]
    to_bson(rows)  # ServerCrash where MongoDB cannot hold a value
    return rows


def _check(posted: Any) -> Document:
    """The result for one document, with its issues: field -> one text, or a list of several."""
    if not isinstance(posted, dict):
        return {"_status": "ERR", "_issues": {"validation exception": f"'{posted}' is not a document, must be a dict"}}
    found = {name: [*_value_issues(name, value), *_exclusion(name, posted)] for name, value in posted.items()}
    found |= {name: ["required field"] for name in _missing(posted)}
    issues = {name: texts[0] if len(texts) == 1 else texts for name, texts in sorted(found.items()) if texts}
    return {"_status": "ERR", "_issues": issues} if issues else {"_status": "OK"}


def _value_issues(name: str, value: Any) -> list[str]:
    rule = RULES.get(name)
    if rule is None:
        return ["unknown field"]
    if rule.readonly:
        return ["field is read-only"]
    if value is None or (rule.kind in ("datetime", "objectid") and value == ""):
        return ["null value not allowed"]
    if rule.read(value) is None:
        return [f"must be of {rule.kind} type"]
    return [f"unallowed value {value}"] if rule.allowed and value not in rule.allowed else []


def _exclusion(name: str, posted: Mapping[str, Any]) -> list[str]:
    return [f"'{_ONE_OF[name]}' must not be present with '{name}'"] if _ONE_OF.get(name) in posted else []


def _missing(posted: Mapping[str, Any]) -> list[str]:
    required = [name for name, rule in RULES.items() if rule.required]
    # An invalid `case` does not make `invoice_number` optional: Eve 2.3 exempts the other by valid fields only.
    if not any(name in posted and not _value_issues(name, posted[name]) for name in _ONE_OF):
        required += _ONE_OF
    return [name for name in required if name not in posted]


def completed_row(posted: Document, *, now: float, make_id: Callable[[], str]) -> Document:
    """The row of a valid payment, with the fields that the system adds."""
    moment = write_date(at_epoch(now))
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
        "booking_date": write_date(at_epoch(now).replace(hour=0, minute=0, second=0)),
    }
    row.setdefault("case_invoice_number", posted.get("invoice_number", f"INV-{row_id[-6:]}"))
    return {**row, "_etag": etag_of(row)}


def creation_result(row: Mapping[str, Any]) -> Document:
    """The part of a new row that the answer to a POST holds: the added fields, not the posted ones."""
    created = {name: row[name] for name in ("_updated", "_created", "_etag", "_id")}
    return {**created, "_status": "OK", "_payment_status": "completed"}
