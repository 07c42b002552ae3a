"""The folders of the files that a render may open: fonts, and the modules and libraries of Pillow and Python."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import PIL


def folders() -> list[Path]:
    """Return these folders. Nothing else is in them."""
    pillow = Path(PIL.__file__).parent
    python = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    return [Path(__file__).parent, *python, pillow, *pillow.parent.glob("pillow*")]
