"""What the programs of `compare` answer: the bytes at like quality, and the type that `Accept` asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from service.load.requests import BROWSER
from tools.bench.comparison.programs import CACHED, OURS, Program
from tools.bench.comparison.tables import Row
from tools.bench.instruments.bare import ACCEPT
from tools.bench.instruments.likeness import luma, ssim
from tools.bench.instruments.processes import get

WIDTH = 318
"""Pixels of the width of a cached picture: a height of 3 by 4 is a whole number."""
_QUALITIES = range(20, 96)
_ROUNDED = 0.0005
"""A difference in SSIM that is none."""


def tuned(programs: Sequence[Program], images: Path) -> list[Row]:
    """Choose the lowest qualities at which the others are no less like the original than the service.

    Return the bytes.
    """
    rows = []
    for original, kind in (("2.5 MP", "jpeg"), ("2.5 MP", "avif"), ("12 MP", "jpeg")):
        cells: dict[str, Sequence[float] | str] = {}
        least = 0.0
        for program in programs:
            contact = next(program.fresh[original])
            reference = _reduced(luma((images / f"{contact}.jpg").read_bytes()))
            if program.name == OURS:
                least = _likeness(program, contact, original, kind, reference)[0]
            elif not program.makes(kind):
                cells[program.name] = f"no {kind.upper()}"
                continue
            else:
                _choose(program, contact, original, kind, reference, least)
            likeness, size = _likeness(program, contact, original, kind, reference)
            cells[program.name] = [float(size)] if likeness >= least - _ROUNDED else f"{size:,} (SSIM {likeness:.3f})"
        job = f"bytes of {WIDTH} px, {kind.upper()} of {original}, SSIM {least:.3f}"
        rows.append(Row(job, cells, "less"))
    return rows


def _reduced(picture: Image.Image) -> Image.Image:
    return picture.resize((WIDTH, picture.height * WIDTH // picture.width), Image.Resampling.LANCZOS)


def _choose(program: Program, contact: int, original: str, kind: str, reference: Image.Image, least: float) -> None:
    """Set the lowest quality of *program* whose SSIM is at least *least*, or that of the highest quality."""
    program.qualities[original, kind] = _QUALITIES[-1]
    least = min(least, _likeness(program, contact, original, kind, reference)[0] - _ROUNDED)
    low, high = _QUALITIES[0], _QUALITIES[-1]
    while low < high:
        middle = (low + high) // 2
        program.qualities[original, kind] = middle
        if _likeness(program, contact, original, kind, reference)[0] >= least:
            high = middle
        else:
            low = middle + 1
    program.qualities[original, kind] = low


def _likeness(program: Program, contact: int, original: str, kind: str, reference: Image.Image) -> tuple[float, int]:
    """Return the SSIM to the reference, a full decode scaled in floats, and the bytes."""
    body = picture(program, program.target(contact, WIDTH, original, kind))[1]
    return ssim(reference, luma(body)), len(body)


def picture(program: Program, path: str, headers: Mapping[str, str] = ACCEPT) -> tuple[dict[str, str], bytes]:
    """Return header fields by name in lower case, and the body of a 200. End the benchmark for another status."""
    status, fields, body = get(program.port, path, headers)
    if status != 200:
        raise SystemExit(f"{program.name} answers {path} with {status}")
    return {name.lower(): text for name, text in fields.items()}, body


def negotiated(programs: Sequence[Program]) -> Row:
    """Return whether each program sends the type that `Accept` prefers, by name and by q."""

    def answer(program: Program) -> str:
        path = program.any_type.format(contact=CACHED[0], width=WIDTH)
        accepts = BROWSER["Accept"], "image/jpeg", "image/avif;q=0.1, image/webp;q=0.1, image/jpeg"
        kinds = [picture(program, path, {"Accept": each})[0]["content-type"] for each in accepts]
        newer, *others = (kind in ("image/avif", "image/webp") for kind in kinds)
        if not newer:
            return "no"
        return "yes" if not any(others) else "yes, without q" if not others[0] else "not right"

    return Row("AVIF or WebP by `Accept` and its q", {each.name: answer(each) for each in programs}, "")
