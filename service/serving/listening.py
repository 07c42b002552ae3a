"""The listening sockets, and the file descriptors that its connections need."""

from __future__ import annotations

import errno
import math
import resource
import socket
from pathlib import Path
from typing import NamedTuple

import structlog

from service.settings import ServerSettings
from service.web.connections import ConnectionLimits

log = structlog.get_logger()

_OTHER_DESCRIPTORS = 256
"""File descriptors that are not connections of clients: files, pipes, connections to the cache."""
_SPARE_DESCRIPTORS = 128
"""File descriptors that connections leave free for files and pipes; a quarter of all where that is less."""

_UNIX = "unix:"


class Listeners(NamedTuple):
    """The listening sockets, which all processes share. *admin* is the operators' own, if `server.admin` is set."""

    public: socket.socket
    admin: socket.socket | None


def listen(settings: ServerSettings) -> Listeners:
    """Return the listening sockets. They are bound before any process starts. Raise OSError if one cannot be had."""
    public = _listen_at(settings.host, settings.port, settings.connections)
    if settings.admin.startswith(_UNIX):
        return Listeners(public, _listen_at_path(Path(settings.admin.removeprefix(_UNIX))))
    host, _, port = settings.admin.rpartition(":")
    return Listeners(public, _listen_at(host.strip("[]"), int(port), settings.connections) if host else None)


def _listen_at(host: str, port: int, backlog: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family, backlog=backlog)


def _listen_at_path(path: Path) -> socket.socket:
    """Return a unix socket at *path*, for this user and its group. One that a killed service has left is replaced."""
    if path.is_socket():
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == errno.ECONNREFUSED:
                path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o660)
    listener.listen()
    return listener


def remove_path(settings: ServerSettings) -> None:
    """Remove the path of the operators' unix socket, if there is one."""
    if settings.admin.startswith(_UNIX):
        Path(settings.admin.removeprefix(_UNIX)).unlink(missing_ok=True)


def base_url(listener: socket.socket) -> str:
    """Return the base URL of *listener*."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def descriptors_needed(settings: ServerSettings) -> int:
    """Return the number of file descriptors that a process needs for all its connections."""
    return settings.connections + _OTHER_DESCRIPTORS


def connection_limits(settings: ServerSettings) -> ConnectionLimits:
    """Return the limits of *settings*. Raise the soft limit of file descriptors to what they need, if possible."""
    backlog = settings.connections
    needed = descriptors_needed(settings)
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
