"""Compressed text, by the last suffix of the file's name: `.gz` and `.zst`.

Invariant: the bytes of a file depend on its content alone: no time and no name is in the header.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from amili_async.errors import ConfigurationError

COMPRESSIONS = (".gz", ".zst")
"""The suffixes."""
_GZIP_LEVEL = 6  # level 9, the default of GzipFile, takes twice the time for one per cent


def load_zstandard() -> Any:
    """zstandard; `ConfigurationError` if it is not installed."""
    try:
        import zstandard
    except ImportError:
        raise ConfigurationError("a .zst file needs zstandard: pip install 'amili-async[zstd]'") from None
    return zstandard


@contextmanager
def compress(file: BinaryIO, compression: str) -> Iterator[BinaryIO]:
    """A file that compresses into *file*, which stays open; *file* itself without a compression."""
    if not compression:
        yield file
    elif compression == ".gz":
        with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=file, mtime=0) as out:
            yield cast("BinaryIO", out)
    else:
        compressor = load_zstandard().ZstdCompressor(write_checksum=True)
        with compressor.stream_writer(file, closefd=False) as out:
            yield out


@contextmanager
def open_decompressed(path: Path, compression: str) -> Iterator[BinaryIO]:
    """The text that was compressed into a file; `ValueError` if it was changed."""
    with ExitStack() as opened:
        file: BinaryIO = opened.enter_context(path.open("rb"))
        damaged: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile)
        if compression == ".gz":
            file = cast("BinaryIO", opened.enter_context(gzip.GzipFile(fileobj=file)))
        elif compression:
            zstandard = load_zstandard()
            damaged = (zstandard.ZstdError,)
            # Buffered, because the reader itself has no lines.
            reader = zstandard.ZstdDecompressor().stream_reader(file, closefd=False)
            file = cast("BinaryIO", io.BufferedReader(reader))
        try:
            yield file
        except damaged as error:
            raise ValueError(f"the file is damaged: {type(error).__name__}") from None
