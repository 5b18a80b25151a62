"""A file in a store that fsspec reaches: S3, Google Cloud Storage, SFTP and memory.

Invariant: the file appears whole or not at all. It is written within a transaction of fsspec, which these stores commit
in one step: the completion of an upload in parts, or a rename. That is why there is a list of them. What an upload that
was killed has sent is no file, and a lifecycle rule of the bucket removes it.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any

from amili_async.errors import ConfigurationError, ExportFailed

STORES = ("s3", "s3a", "gs", "gcs", "memory", "sftp", "ssh")
"""The protocols whose stores commit a file in one step."""
_CHUNK = 2**20
_SUFFIX = ".manifest.json"


class RemoteFile:
    """A file, and its manifest beside it; each method blocks, and raises `ExportFailed`."""

    def __init__(self, url: str, options: Mapping[str, Any] | None) -> None:
        protocol, _, rest = url.partition("://")
        if protocol not in STORES:
            raise ConfigurationError(
                f"{protocol}:// cannot be exported to: the URL must begin with one of {', '.join(STORES)}, whose "
                "stores show a file only when it is complete"
            )
        self._url, self._options = url, dict(options or {})
        self.name = f"{protocol}://{re.sub('^[^/@]*@', '', rest)}"
        """The URL without user and password."""
        self.is_cancelled: Callable[[], bool] = lambda: False
        """Whether the task that waits for an upload was cancelled."""

    @property
    def local_name(self) -> str:
        """The name of the files on this machine: that of the file, and a hash of its URL."""
        digest = blake2b(self.name.encode(), digest_size=4).hexdigest()
        return f"{digest}-{PurePosixPath(self.name).name}"

    def watch_task(self) -> None:
        """End an upload once the running task is cancelled."""
        task = asyncio.current_task()
        if task is not None:
            before = task.cancelling()
            self.is_cancelled = lambda: task.cancelling() > before

    def size(self) -> int | None:
        """Bytes of the file; `None` if there is none."""
        with self._raising("looked up"):
            filesystem, path = self._opened
            # Another process may have written it since a listing was cached.
            filesystem.invalidate_cache()
            return filesystem.size(path) if filesystem.exists(path) else None

    def download(self, file: Path, manifest: Path) -> None:
        """Copy both to this machine, the manifest only if there is one."""
        with self._raising("read"):
            filesystem, path = self._opened
            if filesystem.exists(path + _SUFFIX):
                filesystem.get_file(path + _SUFFIX, str(manifest))
            filesystem.get_file(path, str(file))

    def upload(self, file: Path) -> None:
        """Write the file."""
        self._upload(file, "")

    def upload_manifest(self, file: Path) -> None:
        """Write the manifest."""
        self._upload(file, _SUFFIX)

    def remove_manifest(self) -> None:
        """Remove the manifest, if there is one."""
        with self._raising("written"):
            filesystem, path = self._opened
            if filesystem.exists(path + _SUFFIX):
                filesystem.rm_file(path + _SUFFIX)

    def _upload(self, source: Path, suffix: str) -> None:
        with self._raising("written"):
            filesystem, path = self._opened
            with filesystem.transaction, source.open("rb") as file, filesystem.open(path + suffix, "wb") as target:
                while chunk := file.read(_CHUNK):
                    if self.is_cancelled():
                        raise InterruptedError("the export was cancelled")
                    target.write(chunk)

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise ConfigurationError("an export to a URL needs fsspec: pip install 'amili-async[fsspec]'") from None
        try:
            # An instance of its own: a transaction would hold back what other code writes with a shared one.
            filesystem, path = url_to_fs(self._url, skip_instance_cache=True, **self._options)
        except ImportError as error:
            raise ConfigurationError(f"{self.name} cannot be exported to: {error}") from None
        return filesystem, path

    @contextmanager
    def _raising(self, done: str) -> Iterator[None]:
        try:
            yield
        except ConfigurationError:
            raise
        except Exception as error:
            # Each store has errors of its own, whose texts may quote a signed URL.
            reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            raise ExportFailed(f"{self.name} cannot be {done}: {reason}", path=self.name) from error
