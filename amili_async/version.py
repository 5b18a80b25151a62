"""Which release this is; a constant, since to look it up among the installed packages takes milliseconds of disk."""

VERSION = "0.1.0"
"""As in the package's own metadata, which are made from it."""
