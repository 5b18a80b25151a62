"""Pagination: by page numbers, by keyset, and by a partitioned scan."""
