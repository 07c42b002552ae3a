"""What a change costs a hit: this checkout against another commit, by processor time."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from statistics import median

from tools.bench.instruments.bare import ACCEPT
from tools.bench.instruments.figures import ratios, show
from tools.bench.instruments.load import CONNECTIONS, Measured, measured
from tools.bench.instruments.pictures import photograph
from tools.bench.instruments.processes import PATH, ROOT, Server, get, service, valkey

_PATH = f"{PATH}?w=319"
_PAIRS = 21
_RANKS = 6, 16
"""Of the 21 sorted figures, those that enclose the median with a probability of 97 % (by the binomial distribution)."""
_REPEATS = 3
"""Measurements of each process. The least processor time counts: other programs of the machine only add to it."""
_FROM_REDIS = {"cache__memory_bytes": "0"}


def run(options: Namespace) -> None:
    """Measure pairs of new processes, of the commit `--commit` and of this checkout, or of two commits `A..B`."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, valkey() as (url, _):
        images, before, now = Path(folder) / "images", Path(folder) / "before", ROOT
        images.mkdir()
        (images / "1.jpg").write_bytes(photograph(750, 1000, grain=0.15))
        earlier, _, later = options.commit.partition("..")
        _check_out(earlier, before)
        if later:
            now = Path(folder) / "now"
            _check_out(later, now)
        settings = {"cache__url": url, "render__workers": "1"}
        rows = [
            _row(
                name,
                [_pair(images, (before, now), settings | more, conditional, options.seconds) for _ in range(_PAIRS)],
            )
            for name, more, conditional in (
                ("memory hit", {}, False),
                ("304", {}, True),
                ("Redis hit, memory off", _FROM_REDIS, False),
            )
            if options.only in name
        ]
    show(
        f"{CONNECTIONS} connections, {_PAIRS} interleaved pairs, against {options.commit}",
        ("hit", "before, µs", "now, µs", "now / before: median", "95 % interval"),
        rows,
    )


def _pair(
    images: Path, sources: tuple[Path, Path], settings: dict[str, str], conditional: bool, seconds: int
) -> tuple[float, float]:
    """Return the microseconds of processor time for one hit of each of the *sources*."""
    with ExitStack() as stack:
        both = []
        for source in sources:
            server = stack.enter_context(service(images, source=source, cache__prefix=source.name, **settings))
            both.append(_warm(server, conditional))
        for _ in range(_REPEATS):
            for each in both:
                each.measure([_PATH], seconds)
    return min(both[0].costs) * 1e6, min(both[1].costs) * 1e6


def _warm(server: Server, conditional: bool) -> Measured:
    """Return the *server*, which has the rendition in its cache."""
    for _ in range(3):
        status, headers, _ = get(server.port, _PATH, ACCEPT)
        assert status == 200
    assert "hit" in headers["Cache-Status"], headers
    return measured(server, {**ACCEPT, "If-None-Match": headers["ETag"]} if conditional else ACCEPT)


def _row(name: str, pairs: Sequence[tuple[float, float]]) -> list[str]:
    before, now = zip(*pairs, strict=True)
    costs = sorted(ratios(now, before))
    low, high = (costs[rank - 1] for rank in _RANKS)
    return [name, f"{median(before):.1f}", f"{median(now):.1f}", f"{median(costs):.3f}", f"{low:.3f}–{high:.3f}"]


def _check_out(commit: str, folder: Path) -> None:
    """Write the files of *commit* to *folder*. End the benchmark if there is no such commit."""
    done = subprocess.run(
        ["git", "archive", "--format=tar", commit, "service", "config"], cwd=ROOT, capture_output=True, timeout=60
    )
    if done.returncode:
        raise SystemExit(f"cannot read the commit {commit!r}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
