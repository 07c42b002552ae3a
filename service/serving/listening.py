"""The listening socket, and the descriptors that its connections take."""

from __future__ import annotations

import resource
import socket

import structlog

from service.settings import ServerSettings
from service.web.connections import ConnectionLimits

log = structlog.get_logger()

_OTHERS = 256
"""Descriptors for what is no client's: files, pipes, the cache."""


def listen(settings: ServerSettings) -> socket.socket:
    """The listening socket, bound first, so that a port in use starts no process. Raises OSError."""
    family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family, backlog=settings.connections)


def base_url(listener: socket.socket) -> str:
    """Where clients find *listener*."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def connection_limits(settings: ServerSettings) -> ConnectionLimits:
    """With clients, as the settings say: but with no more connections than descriptors can be had for."""
    most = settings.connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < most + _OTHERS:
        soft = most + _OTHERS if hard == resource.RLIM_INFINITY else min(most + _OTHERS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < most + _OTHERS:
            most = max(soft - _OTHERS, soft // 2)
            log.warning("server.few_descriptors", limit=soft, connections=most)
    return ConnectionLimits(settings.header_timeout, settings.keepalive_timeout, settings.write_timeout, most)
