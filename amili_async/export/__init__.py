"""Records into files: `.ndjson`, `.csv` and `.parquet`, whole or not at all, and resumable.

`export` decides between two ways: a resource is a `job` (`start`, extraction, `commit`) with a `journal` of what is
durable; a stream only has the `spool`. Both encode records by one of the `formats`, and write by the operations of
`files`.
"""

from amili_async.export.arrow import arrow_schema
from amili_async.export.columns import fields_of
from amili_async.export.dataset import Dataset
from amili_async.export.export import export
from amili_async.export.formats import FORMATS
from amili_async.export.job import ExportResult, Progress

__all__ = ["FORMATS", "Dataset", "ExportResult", "Progress", "arrow_schema", "export", "fields_of"]
