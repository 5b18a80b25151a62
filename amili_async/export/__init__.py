"""Records into files: `.ndjson`, `.csv` and `.parquet`, whole or not at all, and resumable."""

from amili_async.export.columns import fields_of
from amili_async.export.export import export
from amili_async.export.formats import FORMATS
from amili_async.export.job import ExportResult, Progress

__all__ = ["FORMATS", "ExportResult", "Progress", "export", "fields_of"]
