"""Telling one's own cancellation from that of a task one waits for."""

import asyncio


def is_being_cancelled() -> bool:
    """Whether somebody asked the running task to end, rather than the task that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
