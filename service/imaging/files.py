"""The folders of the files that a render may open: fonts, and the modules and libraries of Pillow and Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import PIL


def folders() -> list[Path]:
    """Return these folders. Nothing else is in them."""
    pillow = Path(PIL.__file__).parent
    libraries = Path(sys.base_exec_prefix, sys.platlibdir, "python{}.{}".format(*sys.version_info))  # of extensions
    return [Path(__file__).parent, Path(os.__file__).parent, libraries, pillow, *pillow.parent.glob("pillow*")]
