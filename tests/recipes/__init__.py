"""Whole small programs for users to copy; each is tested against the sandbox."""
