"""The programs of `compare`, each over one folder of pictures and with its cache as its documentation recommends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

from service.drawings import portrait
from tools.bench.instruments import programs
from tools.bench.instruments.processes import service, valkey

OURS = "contact-image"
ORIGINALS = {"2.5 MP": 1826, "12 MP": 4000}
"""Pixels of the height of the portraits, which are 3 by 4."""
_FIRST = {"2.5 MP": 1, "12 MP": 1_000_001}
"""The first contact with a picture of that size."""
CACHED = range(1, 101)
"""Contacts whose pictures are cached. Their originals have 2.5 megapixels."""
_PORTRAITS = 4
"""Different portraits of each size. Contacts have them in turn."""
_JPEG_QUALITY = 90
"""Of the originals."""


@dataclass(frozen=True, slots=True)
class Program:
    """A server on *port*. *pids* are its processes; their descendants count, too.

    *path* has places for contact, width, quality and type, *any_type* for contact and width.
    """

    name: str
    port: int
    pids: tuple[int, ...]
    path: str
    any_type: str
    qualities: dict[tuple[str, str], int] = field(default_factory=dict)
    """The quality by size of the original and type."""
    fresh: Mapping[str, Iterator[int]] = field(
        default_factory=lambda: {name: count(max(first, CACHED.stop)) for name, first in _FIRST.items()}
    )
    """Contacts with an original of that size of which no picture was requested."""

    def makes(self, kind: str) -> bool:
        """Return whether it makes pictures of the type *kind*."""
        return kind == "jpeg" or "{type}" in self.path

    def target(self, contact: int, width: int, original: str = "2.5 MP", kind: str = "jpeg") -> str:
        """Return the path of a picture of the type *kind*."""
        quality = self.qualities.get((original, kind), 80)
        return self.path.format(contact=contact, width=width, quality=quality, type=kind)


def make_pictures(folder: Path, contacts: Mapping[str, int]) -> None:
    """Draw the pictures of so many *contacts* for each size of the originals."""
    folder.mkdir()
    for original, side in ORIGINALS.items():
        for seed in range(_PORTRAITS):
            portrait(Random(seed), side).save(folder / f"{original}-{seed}", "JPEG", quality=_JPEG_QUALITY)
        for number in range(contacts[original]):
            os.link(folder / f"{original}-{number % _PORTRAITS}", folder / f"{_FIRST[original] + number}.jpg")


@contextmanager
def _ours(images: Path, folder: Path) -> Iterator[Program]:
    processes = str(programs.PROCESSES)
    settings = {"server__workers": processes, "render__workers": processes, "render__queue_timeout": "60"}
    with valkey() as (url, cache), service(images, cache__url=url, **settings) as server:
        path = "/api/v1/Contact/{contact}/Image?w={width}"
        yield Program(OURS, server.port, (server.process.pid, cache.pid), path + "&type={type}", path)


@contextmanager
def _thumbor(images: Path, folder: Path) -> Iterator[Program]:
    with programs.thumbor(images, folder) as (port, pid):
        path = "/unsafe/{width}x/filters:quality({quality}):format({type})/{contact}.jpg"
        yield Program("thumbor", port, (pid,), path, "/unsafe/{width}x/{contact}.jpg")


@contextmanager
def _ipx(images: Path, folder: Path) -> Iterator[Program]:
    with programs.ipx(images) as (port, pid):
        path = "/w_{width},f_{type},q_{quality}/{contact}.jpg"
        yield Program("ipx", port, (pid,), path, "/w_{width},f_auto/{contact}.jpg")


@contextmanager
def _ipx_nginx(images: Path, folder: Path) -> Iterator[Program]:
    with _ipx(images, folder) as ipx, programs.nginx(folder, ipx.port) as (port, pid):
        yield Program("ipx + nginx", port, (*ipx.pids, pid), ipx.path, ipx.any_type)


@contextmanager
def _nginx(images: Path, folder: Path) -> Iterator[Program]:
    with programs.nginx(folder, images) as (port, pid):
        path = "/{width}/{quality}/{contact}.jpg"
        yield Program("nginx", port, (pid,), path, path.replace("{quality}", "80"))


STARTS: Mapping[str, Callable[[Path, Path], AbstractContextManager[Program]]] = {
    OURS: _ours,
    "thumbor": _thumbor,
    "ipx": _ipx,
    "ipx + nginx": _ipx_nginx,
    "nginx": _nginx,
}
"""Functions that start a program over a folder of pictures. It keeps renditions in another folder, which is new."""
