"""The listening socket, and the file descriptors that its connections need."""

from __future__ import annotations

import resource
import socket

import structlog

from service.settings import ServerSettings
from service.web.connections import ConnectionLimits

log = structlog.get_logger()

_OTHER_DESCRIPTORS = 256
"""File descriptors that are not connections of clients: files, pipes, connections to the cache."""


def listen(settings: ServerSettings) -> socket.socket:
    """Return the listening socket. It is bound before any process starts. Raise OSError if the port cannot be had."""
    family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family, backlog=settings.connections)


def base_url(listener: socket.socket) -> str:
    """Return the base URL of *listener*."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def connection_limits(settings: ServerSettings) -> ConnectionLimits:
    """Return the limits of *settings*, with fewer connections if the process cannot have enough file descriptors."""
    most = settings.connections
    needed = most + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < needed:
            most = max(soft - _OTHER_DESCRIPTORS, soft // 2)
            log.warning("server.few_descriptors", limit=soft, connections=most)
    return ConnectionLimits(settings.header_timeout, settings.keepalive_timeout, settings.write_timeout, most)
