"""Processes that share one API key, in real time: each a process of its own, as are the API and Redis."""
