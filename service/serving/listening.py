"""The listening socket, and the file descriptors that its connections need."""

from __future__ import annotations

import math
import resource
import socket

import structlog

from service.settings import ServerSettings
from service.web.connections import ConnectionLimits

log = structlog.get_logger()

_OTHER_DESCRIPTORS = 256
"""File descriptors that are not connections of clients: files, pipes, connections to the cache."""
_SPARE_DESCRIPTORS = 128
"""File descriptors that connections leave free for files and pipes; a quarter of all where that is less."""


def listen(settings: ServerSettings) -> socket.socket:
    """Return the listening socket. It is bound before any process starts. Raise OSError if the port cannot be had."""
    family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family, backlog=settings.connections)


def base_url(listener: socket.socket) -> str:
    """Return the base URL of *listener*."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def connection_limits(settings: ServerSettings) -> ConnectionLimits:
    """Return the limits of *settings*. Raise the soft limit of file descriptors to what they need, if possible."""
    backlog = settings.connections
    needed = settings.connections + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = soft == resource.RLIM_INFINITY
    if not unlimited and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    spare = min(_SPARE_DESCRIPTORS, soft // 4)
    if not unlimited and soft < needed:
        backlog = min(backlog, max(1, spare // 2))  # the event loop may accept all of them before it closes others
        log.warning("server.few_descriptors", limit=soft)
    return ConnectionLimits(
        header=settings.header_timeout,
        keepalive=settings.keepalive_timeout,
        write=settings.write_timeout,
        connections=settings.connections,
        descriptors=math.inf if unlimited else soft - spare,
        backlog=backlog,
    )
