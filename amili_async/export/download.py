"""Records as the bytes of a file, while they arrive: for a web download, stdout, or any open file.

Invariant: one batch is encoded when the consumer requests the next chunk, and nothing is on the disk.
"""

import io
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any, BinaryIO, cast

from amili_async._wire.frames import hide_variables
from amili_async._wire.iteration import Iteration, alone
from amili_async._wire.tasks import in_thread
from amili_async.conditions import Where
from amili_async.errors import ConfigurationError
from amili_async.export.encoded import EncodedRecords
from amili_async.export.formats import check_fields
from amili_async.export.formats.writing import AddFrame, TextWriter
from amili_async.export.job import ExportResult, Progress
from amili_async.extraction import Extraction
from amili_async.resources import Resource
from amili_async.streams import Stream


@hide_variables
def export_bytes(
    records: Resource[Any] | Extraction[Any] | Stream[Any] | AsyncIterable[Any],
    format: str,  # noqa: A002 - the word of the field
    *,
    where: Where = None,
    fields: Sequence[str] | None = None,
    on_progress: Progress | None = None,
) -> AsyncGenerator[bytes, None]:
    """The bytes of a file of all records, a chunk for each page.

    - *records*, *where*, *fields*, *on_progress*: as for `export()`.
    - *format*: `"csv"`, `"ndjson"` or `"parquet"`; text also compressed, such as `"csv.gz"`.

    A page is encoded when the chunk after the one before is requested, so that a slow reader slows the requests down,
    and there is no temporary file. Leaving early cancels what is in flight. The rows of a resource are in no particular
    order; each is in the bytes exactly once.

    Bytes that were sent cannot be taken back: an error in the midst, such as `UnreadableResponse` if the API sent fewer
    rows than it counted, must abort the download, as Starlette and aiohttp do, rather than end it.

        @app.get("/payouts.csv")
        async def download() -> StreamingResponse:
            return StreamingResponse(export_bytes(amili.payouts, "csv"), media_type="text/csv")
    """
    return Iteration(write_chunks(_encode(records, format, where, fields, on_progress)), alone)


async def export_to_file(
    records: Resource[Any] | Extraction[Any] | Stream[Any] | AsyncIterable[Any],
    file: BinaryIO,
    format: str,  # noqa: A002
    *,
    where: Where = None,
    fields: Sequence[str] | None = None,
    on_progress: Progress | None = None,
) -> ExportResult:
    """Write what `export_bytes` yields to an open file, in a thread; the file stays open."""
    encoded = _encode(records, format, where, fields, on_progress)
    async with aclosing(write_chunks(encoded)) as chunks:
        async for chunk in chunks:
            await in_thread(_write, file, chunk)
    return encoded.result


def _encode(
    records: Any, format_: str, where: Where, fields: Sequence[str] | None, on_progress: Progress | None
) -> EncodedRecords:
    if isinstance(records, Resource):
        # Dicts if fields are chosen: only dicts have undocumented fields.
        chosen: Any = {} if fields is None else {"into": dict, "projection": check_fields(fields)}
        records = records.extract(where, **chosen)
    elif where is not None:
        raise ConfigurationError("where requires a resource, such as client.payouts")
    name = Path(f"export.{format_.removeprefix('.')}")
    return EncodedRecords(records, name, fields, on_progress=on_progress, outcome="is incomplete", in_memory=True)


async def write_chunks(encoded: EncodedRecords) -> AsyncGenerator[bytes, None]:
    """The bytes of the whole file, a chunk for each frame that completes one."""
    outbox = _Outbox()
    with ExitStack() as opened:
        opened.callback(encoded.close)
        with ExitStack() as file:
            add: AddFrame | None = None
            async with aclosing(encoded.frames()) as frames:
                async for _, frame in frames:
                    add = add or file.enter_context(encoded.file_format.open(outbox.file))
                    if isinstance(encoded.file_format, TextWriter) and not encoded.file_format.compression:
                        add(frame)
                    else:
                        await in_thread(add, frame)
                    if chunk := outbox.take():
                        yield chunk
            if add is None:
                file.enter_context(encoded.file_format.open(outbox.file))
            await in_thread(file.close)
        if chunk := outbox.take():
            yield chunk


def _write(file: BinaryIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:  # an unbuffered file may take a part; an object that returns no count has taken all
        count = file.write(rest)
        rest = rest[count if isinstance(count, int) else len(rest) :]


class _Outbox(io.RawIOBase):
    """A file whose content is taken while it is written."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._position = 0

    @property
    def file(self) -> BinaryIO:
        return cast("BinaryIO", self)

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, content: Any) -> int:
        part = bytes(content)  # a copy: the writer may use its buffer again
        self._parts.append(part)
        self._position += len(part)
        return len(part)

    def take(self) -> bytes:
        """What was written since the last call."""
        content = b"".join(self._parts)
        self._parts.clear()
        return content
