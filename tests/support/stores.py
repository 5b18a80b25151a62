"""Stores that exports upload to: an S3 on loopback, and memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
from moto.server import ThreadedMotoServer
from msgspec import Struct


class Store(Struct, frozen=True):
    """A folder of a store."""

    url: str
    """Where it is."""
    options: dict[str, Any]
    """What fsspec needs to open it."""

    def read(self, name: str) -> bytes:
        """The content of a file."""
        content: bytes = self._open().cat_file(f"{self.url}/{name}")
        return content

    def names(self) -> list[str]:
        """The names of all files."""
        found = self._open().find(self.url) if self._open().exists(self.url) else []
        return sorted(path.rpartition("/")[2] for path in found)

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        self._open().pipe_file(f"{self.url}/{name}", content)

    def _open(self) -> Any:
        # This option makes it another instance than the package's, which reads no cached listing.
        return fsspec.filesystem(self.url.partition(":")[0], use_listings_cache=False, **self.options)


@contextmanager
def start_s3() -> Iterator[Store]:
    """A bucket of a server on loopback."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        options = {"endpoint_url": f"http://{host}:{port}", "key": "test", "secret": "test"}
        store = Store("s3://bucket/exports", options)
        fsspec.filesystem("s3", skip_instance_cache=True, **options).mkdir("bucket")
        yield store
    finally:
        server.stop()
