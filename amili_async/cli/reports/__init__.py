"""What the commands print and write: tables, rows for programs, and a page."""
