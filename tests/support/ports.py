"""Ports on which nothing listens, and that no other program takes."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserve_port(port: int = 0) -> Iterator[int]:
    """A port of 127.0.0.1, a free one by default, that refuses connections until a server of the test listens there.

    A port that is only remembered may be taken by another process, or by a connection that one makes.
    """
    with socket.socket() as holder:
        # With it on both sockets Linux lets another one listen on the port.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        yield holder.getsockname()[1]
