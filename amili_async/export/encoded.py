"""Records of an extraction, a stream or any async iterable, encoded a batch at a time for a file or a download."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from amili_async._wire.tasks import in_thread
from amili_async.errors import ConfigurationError, ExportFailed, UnreadableResponse
from amili_async.export.files import raising_export_failed
from amili_async.export.formats import encode_records, format_for
from amili_async.export.formats.writing import Encoder
from amili_async.export.job import ExportResult, Progress
from amili_async.export.seen_ids import SeenIds
from amili_async.export.spool import KEY_SIZE, Frame
from amili_async.extraction import Extraction, Manifest, Verdict
from amili_async.streams import Stream

STREAM_BATCH = 500
"""Records of a plain async iterable that are encoded at a time."""


class EncodedRecords:
    """The frames of records, each record once, and what is known about them when all have been encoded.

    *path* ends in the suffix of the format, unless *file_format* is given. An error reports the *outcome* of *name*, or
    else of *path*. An owner closes it.
    """

    def __init__(
        self,
        records: Extraction[Any] | Stream[Any] | AsyncIterable[Any],
        path: Path,
        fields: Sequence[str] | None = None,
        *,
        name: Path | str | None = None,
        file_format: Encoder | None = None,
        on_progress: Progress | None = None,
        outcome: str = "was not written",
        in_memory: bool = False,
    ) -> None:
        if isinstance(records, Extraction) and records.checkpoint.distinct:
            raise ConfigurationError("the extraction has begun, so that the file would lack rows: make another one")
        self._records, self._path, self._fields = records, path, fields
        self._name = path if name is None else name
        self._on_progress, self._outcome = on_progress, outcome
        # The columns do not depend on the rows: any other iterable has the record type of its first record.
        if file_format is None and isinstance(records, Extraction | Stream):
            file_format = format_for(path, fields, records.record)
        self._format = file_format
        self._seen = SeenIds(in_memory=in_memory)
        self.rows = 0
        """How many records were encoded."""
        self.rounded = 0
        """How many amounts were rounded because the format holds fewer decimals."""

    @property
    def file_format(self) -> Encoder:
        """The format; without records it is that of no columns."""
        self._format = self._format or format_for(self._path, self._fields)
        return self._format

    @property
    def manifest(self) -> Manifest | None:
        """The manifest of an extraction."""
        return self._records.manifest if isinstance(self._records, Extraction) else None

    @property
    def result(self) -> ExportResult:
        """What was done, once all frames were taken."""
        manifest = self.manifest
        drifted = bool(getattr(self._records, "drifted", manifest and manifest.verdict is not Verdict.COMPLETE))
        return ExportResult(path=self._name, rows=self.rows, drifted=drifted, rounded=self.rounded, manifest=manifest)

    def close(self) -> None:
        """Remove what is on the disk."""
        self._seen.close()

    async def frames(self) -> AsyncGenerator[tuple[bytes, Frame], None]:
        """All frames, each with its key in the spool: the first `_id` of an extraction, else the number of the row."""
        records = self._records
        async with aclosing(self._batches()) as batches:
            async for batch in batches:
                self._format = self._format or format_for(self._path, self._fields, type(batch[0]))
                frame = encode_records(self._format, batch, path=self._name)
                if isinstance(records, Extraction):
                    key = bytes.fromhex(batch[0]["_id"] if isinstance(batch[0], dict) else batch[0].id)
                else:
                    key = self.rows.to_bytes(KEY_SIZE, "big")
                if isinstance(records, Stream):
                    self._seen.add(batch)
                    if self._seen.is_full:
                        await in_thread(self._spill)
                self.rows += frame.rows
                self.rounded += frame.rounded
                yield key, frame
                if self._on_progress is not None:
                    left = records.seconds_left if isinstance(records, Extraction) else None
                    self._on_progress(self.rows, getattr(records, "total", None), left)
        await self._check_complete()

    async def _batches(self) -> AsyncGenerator[Sequence[Any], None]:
        if isinstance(self._records, Extraction):
            async with aclosing(self._records.batches()) as batches:
                async for items in batches:
                    yield items
        elif isinstance(self._records, Stream):
            async with aclosing(self._records.pages()) as pages:
                async for page in pages:
                    if page.items:
                        yield page.items
        else:
            batch: list[Any] = []
            async for record in self._records:
                batch.append(record)
                if len(batch) == STREAM_BATCH:
                    yield batch
                    batch = []
            if batch:
                yield batch

    async def _check_complete(self) -> None:
        manifest = self.manifest
        if manifest is not None and manifest.verdict is Verdict.PARTIAL:
            label = f"GET /{manifest.resource}"
            message = f"{self._name} {self._outcome}: {label} sent fewer rows than it counted; export again"
            raise UnreadableResponse(message, request=label)
        duplicate = await in_thread(self._find_duplicate) if isinstance(self._records, Stream) else None
        if duplicate is not None:
            raise ExportFailed(
                f"{self._name} {self._outcome}: record {duplicate} appears twice, since rows were inserted or deleted "
                "during the export or the API repeated a page; export the resource, without a sort, to get each record "
                "once",
                path=self._name,
                record_id=duplicate,
                can_resume=False,
            )

    def _spill(self) -> None:
        with raising_export_failed(self._name):
            self._seen.spill()

    def _find_duplicate(self) -> str | None:
        with raising_export_failed(self._name):
            return self._seen.find_duplicate()
