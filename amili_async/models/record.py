"""What every record of the API has in common."""

from msgspec import UNSET, Struct, field

from amili_async.models.fields import Maybe, Timestamp


class Record(Struct, frozen=True, gc=False, kw_only=True):
    """The four fields that Eve adds to every document; they come back whatever the projection."""

    id: str = field(name="_id")
    """`_id`: 24 hexadecimal digits, the only field that is never absent."""
    created: Maybe[Timestamp] = field(name="_created", default=UNSET)
    """`_created`: when the document was made; 1 January 1970 where the API does not know."""
    updated: Maybe[Timestamp] = field(name="_updated", default=UNSET)
    """`_updated`: when it last changed."""
    etag: Maybe[str] = field(name="_etag", default=UNSET)
    """`_etag`: opaque, different after each change."""
