"""The time to find a contact's file in a folder of 100 contacts and in one of 1,000,000."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from random import Random

from service.stores.directory import DirectoryStore
from service.stores.names import SUFFIXES, shard
from tools.bench.instruments.figures import interleaved, ratios, show, spread
from tools.bench.instruments.pictures import photograph

_SMALL = 100
_FLAT_FIRST, _FLAT_LAST, _ABSENT = (
    range(10_000_001, 10_000_101),
    range(20_000_001, 20_000_101),
    range(30_000_001, 30_000_101),
)
_ROUNDS = 5
"""Lookups of each of a case's hundred contacts in one run."""


def run(options: Namespace) -> None:
    """Measure lookups in both folders, of the same hundred contacts in each case."""
    picture = photograph(48, 64)
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("TMPDIR")) as folder,
        asyncio.Runner() as runner,
    ):
        few, many = Path(folder, "few"), Path(folder, "many")
        begun = time.perf_counter()
        fill(few, picture, _SMALL)
        fill(many, picture, options.contacts)
        print(f"{options.contacts:,} files made in {time.perf_counter() - begun:.0f} s")
        in_few, in_many = (DirectoryStore(root, max_bytes=2**20, timeout=5.0) for root in (few, many))
        cases = {
            f"present, .{SUFFIXES[0]}, the first suffix": (_FLAT_FIRST, _FLAT_FIRST),
            f"present, .{SUFFIXES[-1]}, the last suffix": (_FLAT_LAST, _FLAT_LAST),
            "present, in its shard": (range(1, _SMALL + 1), Random(1).sample(range(1, options.contacts + 1), _SMALL)),
            "absent": (_ABSENT, _ABSENT),
        }
        rows = []

        def timed(store: DirectoryStore, contacts: Iterable[int], found: bool) -> float:
            return runner.run(look_up(store, contacts, _ROUNDS, found))

        for name, (here, there) in cases.items():
            found = name != "absent"
            first = [runner.run(look_up(store, each, 1, found)) for store, each in ((in_few, here), (in_many, there))]
            small, large = interleaved(
                options.runs,
                partial(timed, in_few, here, found),
                partial(timed, in_many, there, found),
            )
            first_ratio = f"{first[1] / first[0]:.2f}"
            rows.append([name, spread(small, 0), spread(large, 0), spread(ratios(large, small)), first_ratio])
        for store in (in_few, in_many):
            runner.run(store.close())
    heads = ("contact", f"µs of {_SMALL}", f"µs of {options.contacts:,}", "ratio", "ratio of the first lookups")
    show(f"One lookup, {options.runs} runs of {_ROUNDS * _SMALL}", heads, rows)


def fill(root: Path, picture: bytes, contacts: int) -> None:
    """Make the folder: *contacts* in their shards, and a hundred with each suffix outside of the shards.

    All files have the same content and modification time, as `root / "source"` has.
    """
    root.mkdir()
    source = root / "source"
    source.write_bytes(picture)
    for suffix, ids in ((SUFFIXES[0], _FLAT_FIRST), (SUFFIXES[-1], _FLAT_LAST)):
        for contact in ids:
            os.link(source, root / f"{contact}.{suffix}")
    for begin in range(1, min(contacts, 1000) + 1):
        folder = root / shard(begin)
        folder.mkdir()
        first = folder / f"{begin}.{SUFFIXES[0]}"
        shutil.copy2(source, first)  # a file for each shard, since file systems limit the links to one file
        for contact in range(begin + 1000, contacts + 1, 1000):
            os.link(first, folder / f"{contact}.{SUFFIXES[0]}")


async def look_up(store: DirectoryStore, contacts: Iterable[int], rounds: int, found: bool) -> float:
    """Return the microseconds of one lookup, over *rounds* of all *contacts*."""
    ids = [contact for _ in range(rounds) for contact in contacts]
    begun = time.perf_counter()
    for contact in ids:
        assert (await store.find(contact) is not None) is found
    return (time.perf_counter() - begun) / len(ids) * 1_000_000
