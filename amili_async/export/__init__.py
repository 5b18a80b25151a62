"""Records into files: `.ndjson`, `.csv` and `.parquet`, whole or not at all, and resumable.

`export` decides between three ways: a resource is a `job` (`start`, extraction, `commit`) with a `journal` of what is
durable; a stream only has the `spool`; an open file is a `download`, which holds one batch. All encode records by one
of the `formats`; the first two write by the operations of `files`.
"""

from amili_async.export.arrow import arrow_schema
from amili_async.export.columns import fields_of
from amili_async.export.dataset import Dataset
from amili_async.export.download import export_bytes
from amili_async.export.export import export
from amili_async.export.formats import FORMATS
from amili_async.export.job import ExportResult, Progress

__all__ = ["FORMATS", "Dataset", "ExportResult", "Progress", "arrow_schema", "export", "export_bytes", "fields_of"]
