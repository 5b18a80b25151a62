"""A folder of Parquet files, one for each part of a split, written by any processes that share a file system.

Invariant: `conclude` alone gives a file its final name: one file for each part, whole, with its manifest inside. What
processes leave that were killed, or that exported a part again, stays in `_staged`, which readers skip, until it is
removed. `_manifest.json` is written last.
"""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from msgspec import Struct

from amili_async._wire.tasks import in_thread
from amili_async.conditions import Where
from amili_async.errors import ConfigurationError, ExportFailed, UnreadableResponse
from amili_async.export.export import MANIFEST_KEY, ROUNDED_KEY, export
from amili_async.export.files import raising_export_failed, remove, rename, write_file
from amili_async.export.formats.parquet import Parquet, read_metadata
from amili_async.export.job import ExportResult
from amili_async.extraction import Manifest, Part, Since, Split, Verdict
from amili_async.resources import Resource


class _PartFile(Struct, frozen=True):
    path: Path
    manifest: Manifest
    rounded: int


class Dataset:
    """The Parquet files of a folder, which together hold each record that matches *where* exactly once.

    `begin` splits the extraction into parts, `export` writes one of them, in any process that has a client and sees the
    folder, and `conclude` checks all and makes the files appear as `part-00000.parquet` and so on. All of it can be
    repeated: a folder whose dataset is unfinished is continued, and a part that is exported twice is in it once. All
    files have the schema of `export` to Parquet, also that of a part without rows. For Dask there is
    `amili_async.dask.export_dataset`.

    - *resource*: what is extracted, such as `client.payouts`.
    - *folder*: where all processes see it.
    - *where*: which records; by default all.
    - *since*: the manifest of an earlier dataset, `Manifest.from_json` of its `_manifest.json`: what changed after it.
    """

    def __init__(
        self, resource: Resource[Any], folder: Path | str, where: Where = None, *, since: Since = None
    ) -> None:
        self._resource = resource
        self._where, self._since = where, since
        self.folder = Path(folder).absolute()
        """Where its files are."""
        self._staged = self.folder / "_staged"
        self._split = self.folder / "_split.json"
        self._manifest = self.folder / "_manifest.json"

    async def begin(self, *, parts: int) -> tuple[Part, ...]:
        """The parts that are left to export: of the dataset that is unfinished in the folder, or of a new one.

        Raises `ConfigurationError` if the folder holds a finished dataset, other files, or a dataset of another filter.
        """
        Parquet(record=self._resource.record)  # raises if pyarrow is missing, and for dicts, which define no columns
        before = await in_thread(self._load_split)
        split = before or await self._resource.split(self._where, parts=parts, since=self._since)
        await in_thread(self._open, split if before is None else None)
        self._resource.extract(self._where, part=split.parts[0], since=self._since)  # raises for another filter
        found = await in_thread(self._find_files, split)
        return tuple(part for part in split.parts if part.index not in found)

    async def export(self, part: Part) -> ExportResult:
        """Write the file of one part; raises what `export()` raises."""
        extraction = self._resource.extract(self._where, part=part, since=self._since)
        return await export(extraction, self._staged / f"part-{part.index:05}-{token_hex(4)}.parquet")

    async def conclude(self) -> ExportResult:
        """Make the files of all parts appear, once they are all there, and count the rows once more.

        Raises `ExportFailed` with the parts that are missing, and `UnreadableResponse` if the API counts more rows.
        """
        split = await in_thread(self._load_split)
        if split is None:
            raise ConfigurationError(f"{self.folder} holds no unfinished dataset: begin() one")
        files = await in_thread(self._find_files, split)
        manifests = [file.manifest for file in files.values()]
        manifest = await self._resource.conclude(split, manifests, self._where, since=self._since)
        if manifest.missing_parts:
            missing = ", ".join(map(str, manifest.missing_parts))
            raise ExportFailed(
                f"{self.folder} lacks parts {missing} of {len(split.parts)}: export them, in processes that see the "
                "same file system",
                path=self.folder,
            )
        if manifest.verdict is Verdict.PARTIAL:
            raise UnreadableResponse(
                f"{self.folder} was not finished: of {manifest.resource} the API sent {manifest.distinct:,} but "
                "counted more; remove the folder and export again",
                request=f"GET /{manifest.resource}",
            )
        await in_thread(self._commit, files, manifest)
        return ExportResult(
            path=self.folder,
            rows=manifest.rows,
            drifted=manifest.verdict is not Verdict.COMPLETE,
            rounded=sum(file.rounded for file in files.values()),
            manifest=manifest,
        )

    def _load_split(self) -> Split | None:
        with raising_export_failed(self.folder):
            if self._split.exists():
                return Split.from_json(self._split.read_bytes())
            if self._manifest.exists():
                raise ConfigurationError(f"{self.folder} holds a finished dataset: choose another folder")
            # Except for what a process leaves that is killed while it writes the split.
            found = self.folder.iterdir() if self.folder.exists() else ()
            if any(not each.name.startswith(self._split.name) for each in found):
                raise ConfigurationError(f"{self.folder} is not empty, and holds no unfinished dataset")
        return None

    def _open(self, split: Split | None) -> None:
        with raising_export_failed(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if split is not None:
                write_file(self._split, split.to_json().encode())
            self._staged.mkdir(exist_ok=True)

    def _final(self, index: int) -> Path:
        return self.folder / f"part-{index:05}.parquet"

    def _find_files(self, split: Split) -> dict[int, _PartFile]:
        with raising_export_failed(self.folder):
            found = {part.index: self._find_file(split, part.index) for part in split.parts}
        return {index: file for index, file in found.items() if file is not None}

    def _find_file(self, split: Split, index: int) -> _PartFile | None:
        """The file of a part: that with the final name, or the first of those that are staged."""
        for path in (self._final(index), *sorted(self._staged.glob(f"part-{index:05}-*.parquet"))):
            # What is no file of a part of this split is skipped.
            with suppress(FileNotFoundError, ValueError, KeyError, ConfigurationError):
                metadata = read_metadata(path)
                manifest = Manifest.from_json(metadata[MANIFEST_KEY])
                if index in split.find_manifests([manifest]):
                    return _PartFile(path, manifest, int(metadata[ROUNDED_KEY]))
        return None

    def _commit(self, files: Mapping[int, _PartFile], manifest: Manifest) -> None:
        with raising_export_failed(self.folder):
            for index, file in files.items():
                if file.path == self._final(index):
                    continue
                if self._final(index).exists():
                    raise ExportFailed(f"{self._final(index)} is not of this dataset: move it away", path=self.folder)
                rename(file.path, self._final(index))
            shutil.rmtree(self._staged, ignore_errors=True)
            write_file(self._manifest, manifest.to_json().encode())
            remove(self._split)
