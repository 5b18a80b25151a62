"""Which fields are requested for a caller's struct, and what it is filled with."""

from __future__ import annotations

import enum
import typing
from dataclasses import make_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, NewType, Optional, TypedDict, TypeVar, Union

import msgspec
import pytest
from msgspec import UNSET, Meta, Struct, UnsetType
from typing_extensions import TypeAliasType

from amili_async._wire.decoding import RecordDecoder
from amili_async._wire.protocol import Response
from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.models import Payout, PayoutSpecification, Timestamp
from amili_async.models.record_type import record_type_of

FRIDAY = datetime(2025, 6, 13, tzinfo=UTC)
FRIDAY_TEXT = "Fri, 13 Jun 2025 00:00:00 GMT"
ID = "507f1f77bcf86cd799439099"


def read(record: Any, **fields: Any) -> Any:
    """A record of that type, decoded from JSON with these fields."""
    body = msgspec.json.encode({"_id": ID, "_created": FRIDAY_TEXT, **fields})
    return RecordDecoder(record_type_of(record, is_projected=True)).read_record(
        Response(status=200, headers={}, body=body), request="GET /x"
    )


class Plain(Struct, frozen=True):
    """Neither dates nor short names."""

    amount: Decimal
    article: str | None = None


class Fast(Struct):
    """Names and types that JSON can be decoded into directly."""

    made: Timestamp = msgspec.field(name="_created")


class Dated(Struct):
    """Plain datetimes in every place of an annotation; not frozen."""

    id: str
    required: datetime
    optional: datetime | None = None
    old_optional: Optional[datetime] = None  # noqa: UP045 - callers still write it
    old_union: Union[datetime, None, UnsetType] = UNSET  # noqa: UP007 - as above
    annotated: Annotated[datetime, Meta(tz=True)] = FRIDAY
    listed: list[datetime] = []
    paired: tuple[datetime, ...] = ()
    named: dict[str, datetime | None] = {}


class Sum(Struct, frozen=True):
    """Part of another, without dates."""

    total_amount: Decimal
    count: int = 0


class Period(Struct, frozen=True):
    """Part of another, with a date and a default."""

    start: datetime
    end: datetime | UnsetType = UNSET
    id: str = "none"


class Nested(Struct, frozen=True):
    """Other structs, alone, listed and by name."""

    id: str
    period: Period
    periods: list[Period] = []
    by_name: dict[str, Period] = {}
    summary: dict[str, Sum] = {}


class Camel(Struct, rename="camel"):
    """Python names of the caller's own for the API's."""

    payout_date: datetime
    ready_for_payout: bool | UnsetType = UNSET


class Renamed(Struct, rename={"number": "invoice_number", "when": "booking_date"}):
    """Names of the caller's own choice."""

    number: str
    when: datetime


class Short(Struct):
    """The four short names."""

    id: str
    created: datetime
    updated: datetime | None = None
    etag: str = "none"


class Defaults(Struct):
    """Defaults, one of them from a factory."""

    id: str
    tags: list[str] = msgspec.field(default_factory=lambda: ["made"])
    payout_date: datetime | None = None
    lies: datetime = None  # type: ignore[assignment]  # a common slip, which type checkers find


class Mode(enum.Enum):
    """A closed vocabulary of the caller's."""

    DAILY = "daily"


class Own(Struct):
    """Types without a JSON representation of their own."""

    id: str
    mode: Mode
    parts: set[int]
    created: datetime
    KIND: ClassVar[str] = "own"


def test_a_struct_without_dates_and_short_names_is_decoded_directly() -> None:
    """Nothing is converted, and the instance is of the caller's type itself."""
    shape = record_type_of(Plain)
    assert shape.wire is Plain
    assert not shape.converts
    assert read(Plain, amount=1) == Plain(Decimal(1))


@pytest.mark.parametrize("record", [Payout, PayoutSpecification])
def test_our_records_are_decoded_directly(record: type[Struct]) -> None:
    """The package's records need no wire type."""
    assert not record_type_of(record).converts


def test_a_timestamp_is_decoded_directly() -> None:
    """A struct with `Timestamp` and the API's names needs no conversion."""
    assert not record_type_of(Fast).converts
    assert read(Fast) == Fast(FRIDAY)


def test_a_datetime_is_converted_in_any_place() -> None:
    """Alone, optional, annotated, in lists, tuples and objects, RFC 1123 becomes an aware datetime."""
    record = read(
        Dated,
        required=FRIDAY_TEXT,
        optional=FRIDAY_TEXT,
        old_optional=FRIDAY_TEXT,
        old_union=FRIDAY_TEXT,
        annotated=FRIDAY_TEXT,
        listed=[FRIDAY_TEXT, FRIDAY_TEXT],
        paired=[FRIDAY_TEXT],
        named={"a": FRIDAY_TEXT, "b": None},
    )
    assert type(record) is Dated
    assert record == Dated(
        id=ID,
        required=FRIDAY,
        optional=FRIDAY,
        old_optional=FRIDAY,
        old_union=FRIDAY,
        annotated=FRIDAY,
        listed=[FRIDAY, FRIDAY],
        paired=(FRIDAY,),
        named={"a": FRIDAY, "b": None},
    )


def test_an_absent_field_has_the_callers_default() -> None:
    """A field that is absent in the JSON has the caller's default, which may be `UNSET`."""
    assert read(Dated, required=FRIDAY_TEXT) == Dated(id=ID, required=FRIDAY)


def test_a_required_field_must_be_present() -> None:
    """The error for an absent field without a default has the API's name of it."""
    with pytest.raises(UnreadableResponse, match=r"Object missing required field `required`") as caught:
        read(Dated)
    assert (caught.value.location, caught.value.record_id) == ("", ID)


def test_null_is_not_absent() -> None:
    """A `null` is `None` if the caller's type allows it, not the default."""
    assert read(Dated, required=FRIDAY_TEXT, old_union=None).old_union is None


def test_a_struct_that_is_not_frozen_stays_so() -> None:
    """An instance of a caller's type that is not frozen can be changed."""
    record = read(Dated, required=FRIDAY_TEXT)
    record.optional = FRIDAY
    assert record.optional == FRIDAY


def test_nested_structs_are_converted() -> None:
    """Structs inside structs are of the caller's types, with their own defaults and names."""
    record = read(
        Nested,
        period={"start": FRIDAY_TEXT},
        periods=[{"start": FRIDAY_TEXT, "end": FRIDAY_TEXT}],
        by_name={"june": {"start": FRIDAY_TEXT, "id": "x"}},
        summary={"capital": {"total_amount": 12.50}},
    )
    assert record == Nested(
        id=ID,
        period=Period(FRIDAY),
        periods=[Period(FRIDAY, FRIDAY)],
        by_name={"june": Period(FRIDAY, id="x")},
        summary={"capital": Sum(Decimal("12.5"))},
    )
    assert type(record.period) is Period
    assert type(record.summary["capital"]) is Sum


def test_short_names_inside_a_nested_struct_are_unchanged() -> None:
    """Only a document has `_id`: an `id` in a nested object is a field of that name."""
    assert record_type_of(Nested).wire.__struct_encode_fields__[0] == "_id"
    assert read(Nested, period={"start": FRIDAY_TEXT, "id": "own", "_id": "other"}).period.id == "own"


def test_renamed_structs_are_converted() -> None:
    """`rename=` is respected, as a rule and as a table."""
    assert read(Camel, payoutDate=FRIDAY_TEXT) == Camel(FRIDAY)
    assert read(Renamed, invoice_number="1", booking_date=FRIDAY_TEXT) == Renamed("1", FRIDAY)


def test_short_names_stand_for_the_fields_of_every_document() -> None:
    """`id`, `created`, `updated` and `etag` are read from the names with the underscore."""
    assert read(Short, _updated=FRIDAY_TEXT, _etag="e") == Short(ID, FRIDAY, FRIDAY, "e")
    assert read(Short) == Short(ID, FRIDAY, None, "none")


def test_defaults_are_the_callers() -> None:
    """A default factory is called for each record, and a default of another type is accepted."""
    one, other = read(Defaults), read(Defaults)
    assert one == other == Defaults(ID)
    assert one.tags is not other.tags


def test_other_types_of_the_callers_survive_the_conversion() -> None:
    """Enums and sets keep their types next to a date."""
    assert read(Own, mode="daily", parts=[1, 1, 2]) == Own(ID, Mode.DAILY, {1, 2}, FRIDAY)


@pytest.mark.parametrize(
    ("record", "names"),
    [
        (Plain, "amount article"),
        (Short, "_id _created _updated _etag"),
        (Camel, "payoutDate readyForPayout"),
        (Renamed, "invoice_number booking_date"),
        (Nested, "_id period periods by_name summary"),
        (Own, "_id mode parts created"),
    ],
)
def test_the_fields_of_the_struct_are_the_projection(record: type[Struct], names: str) -> None:
    """Only the fields of the struct are requested, by the API's names."""
    expected = tuple("_created" if name == "created" else name for name in names.split())
    assert record_type_of(record, is_projected=True).projection == expected
    assert record_type_of(record).projection is None


@pytest.mark.parametrize("record", [dict, dict[str, Any]])
def test_a_dict_has_no_projection(record: Any) -> None:
    """All fields are requested for a `dict`, and its dates stay text."""
    assert record_type_of(record, is_projected=True).projection is None
    assert read(record, note=1) == {"_id": ID, "_created": FRIDAY_TEXT, "note": 1}


def test_a_subclass_of_our_record_is_decoded() -> None:
    """A caller can add an undocumented field to a record."""

    class Wider(Payout, frozen=True, kw_only=True):
        exported: Annotated[str, "note"] = "no"

    record = read(Wider, exported="yes")
    assert (record.id, record.created, record.exported) == (ID, FRIDAY, "yes")


class Row(TypedDict):
    """An unsupported type."""

    id: str


T = TypeVar("T")


class Box(Struct, Generic[T]):
    """A generic struct, which is not a type once it has its argument."""

    id: T


Moment = NewType("Moment", datetime)
# msgspec knows the alias of a `type` statement, which Python 3.11 lacks; there, such a field has its plain type.
alias: Any = TypeAliasType
new_type: Any = NewType
make_alias: Any = getattr(typing, "TypeAliasType", lambda name, value, type_params=(): value)
Booked: Any = make_alias("Booked", Moment | None)
ITEM: Any = TypeVar("ITEM")  # type: ignore[misc]  # mypy knows no alias that is made by a call
Listed: Any = make_alias("Listed", list[ITEM], type_params=(ITEM,))
Name = NewType("Name", str)
DATES: Any = Listed[Moment]
Aliased: Any = msgspec.defstruct(
    "Aliased",
    [
        ("id", Name),
        ("booking_date", Moment | None, None),
        ("payout_date", Booked, None),
        ("dates", DATES, msgspec.field(default_factory=list)),
        ("boxes", list[Box[Moment]], msgspec.field(default_factory=list)),
    ],
)
RENAMED: Any = new_type("RENAMED", Aliased)


@pytest.mark.parametrize("record", [Aliased, RENAMED, new_type("TWICE", RENAMED), alias("ALIAS", RENAMED)])
def test_types_behind_aliases_are_decoded(record: Any) -> None:
    """`NewType`, `type X = …` and generic aliases are looked through, for the struct and for its fields."""
    moment = "Fri, 13 Jun 2025 08:00:00 GMT"
    found = read(record, _id=ID, booking_date=moment, payout_date=moment, dates=[moment], boxes=[{"id": moment}])
    when = datetime(2025, 6, 13, 8, tzinfo=UTC)
    assert found == Aliased(Name(ID), Moment(when), Moment(when), [Moment(when)], [Box(Moment(when))])


@pytest.mark.parametrize(
    ("argument", "value"), [(str, ID), (Name, ID), (datetime, datetime(2025, 6, 13, 8, tzinfo=UTC))]
)
def test_a_generic_struct_is_decoded_by_its_argument(argument: Any, value: Any) -> None:
    """`Box[datetime]` is a record type as a class is."""
    sent = ID if isinstance(value, str) else "Fri, 13 Jun 2025 08:00:00 GMT"
    assert read(Box[argument], _id=sent) == Box(value)
    assert record_type_of(Box[argument], is_projected=True).projection == ("_id",)


@pytest.mark.parametrize("record", [dict, dict[str, Any], new_type("DOCUMENT", dict), alias("MAPPING", dict[str, Any])])
def test_a_dict_may_have_another_name(record: Any) -> None:
    """A `dict` is looked for behind aliases too."""
    assert record_type_of(record).record is dict


@pytest.mark.parametrize(
    "record",
    [Row, make_dataclass("Data", [("id", str)]), str, list, object, None, 5, "Payout", Plain(Decimal(1)), list[Payout]],
)
def test_other_types_are_rejected(record: Any) -> None:
    """Anything but a struct type or `dict` raises before anything is sent."""
    with pytest.raises(ConfigurationError, match=r"^into must be a msgspec"):
        record_type_of(record)


class WithDay(Struct):
    """A date without a time of day."""

    booking_date: date | None


class WithChoice(Struct):
    """A date or a text, which msgspec cannot distinguish."""

    payout_date: datetime | str


class WithTwoIds(Struct):
    """Both names of the same field."""

    id: str
    _id: str


class WithUnknown(Struct):
    """A type that does not exist."""

    amount: Missing  # type: ignore[name-defined]  # noqa: F821 - that is the point


class AsArray(Struct, array_like=True):
    """Read from a JSON array."""

    id: str


class WithArray(Struct):
    """An array inside."""

    period: AsArray | None = None


Backport: Any = alias("Backport", "datetime | None")


class WithBackport(Struct):
    """An alias that msgspec does not know."""

    booking_date: Backport


class WithRaw(Struct):
    """JSON that is not decoded."""

    summary: list[msgspec.Raw] | None = None


class WithPath(Struct):
    """A class for which JSON has no form."""

    article: Path | None = None


class Interval(TypedDict):
    """Dates in a dictionary with known keys, which msgspec decodes by itself."""

    start: datetime


class WithDictionary(Struct):
    """Dates in a place where they cannot be converted."""

    period: Interval | None = None


@pytest.mark.parametrize(
    "record",
    [WithDay, WithChoice, WithTwoIds, WithUnknown, AsArray, WithArray, WithBackport, WithRaw, WithPath, WithDictionary],
)
def test_structs_that_cannot_be_decoded_are_rejected(record: type[Struct]) -> None:
    """A struct that no JSON of the API can fill raises before anything is sent."""
    with pytest.raises(ConfigurationError, match=f"^{record.__name__} cannot be read from the API's JSON: "):
        record_type_of(record)


class Positive(Struct):
    """A rule of the caller's own."""

    id: str
    amount: Decimal

    def __post_init__(self) -> None:
        if self.amount < 0:
            raise ValueError(f"CANARY {self.amount}")


def test_a_failed_check_of_the_callers_names_the_record() -> None:
    """The error for a record that fails the caller's own check has its place and id, and quotes no value."""
    good, bad = {"_id": ID, "amount": 1}, {"_id": "507f1f77bcf86cd799439098", "amount": -4711}
    body = msgspec.json.encode({"_items": [good, bad]})
    with pytest.raises(UnreadableResponse) as caught:
        RecordDecoder(record_type_of(Positive)).read_page(
            Response(status=200, headers={}, body=body), request="GET /x", number=1
        )
    assert (caught.value.location, caught.value.record_id) == ("$._items[1]", bad["_id"])
    assert "CANARY" not in repr(caught.value)
    assert "4711" not in repr(caught.value)
    with pytest.raises(UnreadableResponse) as caught:
        read(Positive, amount=-4711)
    assert (caught.value.location, caught.value.record_id) == ("$", ID)
