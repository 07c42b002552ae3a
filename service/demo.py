"""Draw a folder of portraits, so that the service can be tried without photographs."""

from __future__ import annotations

import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import structlog
from PIL import Image

from service.access.identity import EVERYTHING, READER
from service.access.verifiers.users_text import line as user_line
from service.drawings import portrait
from service.progress import progress

log = structlog.get_logger()

_ORIENTATION = 0x0112
"""The number of the EXIF tag."""
_SUFFIXES = ("jpg", "jpg", "png", "webp", "jpg", "gif", "tif")
_PEOPLE = 36
"""The largest contact id."""
_WITHOUT = (13, 23, 33)
"""The contacts that have no picture."""
CONTACTS = range(1, _PEOPLE + 1)
_PICTURED = tuple(contact for contact in CONTACTS if contact not in _WITHOUT)
"""The contacts that have pictures."""
_TURNED, _LARGE, _ANIMATED = 2, 3, 4
"""The contacts whose picture has an orientation, is large, or is animated."""
_DRAWING = "Drawing the demo's pictures"
_EVERY = 1.0
"""Seconds between two events of the progress."""

USER, PASSWORD = "tje0", "Tje0"
"""The user who may change pictures: the credentials of SuperOffice's sample request."""


def make_demo(folder: Path, *, writable: bool) -> tuple[Path, Path]:
    """Make a folder of pictures and a file of settings in *folder*, and return their paths.

    Reads need no credentials. If *writable*, `USER` has every role; the password is public. The progress is shown
    on standard error.
    """
    images, users, settings = folder / "images", folder / "users", folder / "demo.toml"
    images.mkdir()
    with _with_progress(_PICTURED) as contacts:
        for contact in contacts:
            _draw(contact, images)
    users.write_text(user_line(USER, PASSWORD, EVERYTHING if writable else READER) + "\n", "utf-8")
    auth = f"schemes = ['basic']\nanonymous_read = true\nusers_file = '{users}'"
    settings.write_text(f"[auth]\n{auth}\n[pages]\nenabled = true\n", "utf-8")
    return images, settings


@contextmanager
def _with_progress(contacts: Sequence[int]) -> Iterator[Iterable[int]]:
    """Yield an iterator over *contacts* that shows the progress on standard error, in a terminal or as log events."""
    if sys.stderr.isatty():
        with progress(_DRAWING, len(contacts)) as counted:
            yield _counted(contacts, counted)
    else:
        yield _logged(contacts)


def _counted(contacts: Sequence[int], counted: Callable[[], None]) -> Iterator[int]:
    for contact in contacts:
        yield contact
        counted()


def _logged(contacts: Sequence[int]) -> Iterator[int]:
    begun = time.monotonic()
    due = begun
    for drawn, contact in enumerate(contacts):
        if (now := time.monotonic()) >= due:
            log.info("demo.drawing", drawn=drawn, of=len(contacts))
            due = now + _EVERY
        yield contact
    log.info("demo.drawn", pictures=len(contacts), seconds=round(time.monotonic() - begun, 1))


def _draw(contact: int, folder: Path) -> None:
    """Draw the picture of *contact* into *folder*."""
    picture = portrait(Random(contact), 800)
    if contact == _TURNED:
        exif = Image.Exif()
        exif[_ORIENTATION] = 6
        picture.rotate(90, expand=True).save(folder / f"{contact}.jpg", quality=90, exif=exif)
    elif contact == _LARGE:
        picture.resize((3000, 4000), Image.Resampling.BICUBIC).save(folder / f"{contact}.jpg", quality=88)
    elif contact == _ANIMATED:
        _save_animation(picture, folder / f"{contact}.gif")
    else:
        suffix = _SUFFIXES[contact % len(_SUFFIXES)]
        picture.save(folder / f"{contact}.{suffix}")


def welcome(base: str) -> str:
    """Return URLs and `curl` commands to try first, for the service at *base*."""
    image = f"{base}/api/v1/Contact"
    tries = (
        ("as it is stored (JPEG)", f"{image}/1/Image", ""),
        ("319 pixels wide", f"{image}/1/Image?w=319", ""),
        ("what a browser gets (AVIF)", f"{image}/1/Image?w=319", "-H 'Accept: image/avif,image/webp,*/*;q=0.8'"),
        ("a square crop, as WebP", f"{image}/1/Image?w=200&h=200&fit=cover&type=webp", ""),
        ("stored rotated, with EXIF orientation 6", f"{image}/{_TURNED}/Image?h=467", ""),
        ("twelve megapixels, scaled down", f"{image}/{_LARGE}/Image?w=64", ""),
        ("an animation", f"{image}/{_ANIMATED}/Image?w=160&type=webp", ""),
        ("a contact without a picture: 404", f"{image}/{_WITHOUT[0]}/Image", ""),
        ("a placeholder for it, in Swedish", f"{image}/{_WITHOUT[0]}/Image?ifBlank=SrNoPhoto", "-H 'SO-Language: sv'"),
        ("base64 in JSON, as SuperOffice's page shows it", f"{image}/1/Image?w=32", "-H 'Accept: application/json'"),
        (
            f"as {USER}, who may PUT, DELETE and PURGE as well if the demo listens on loopback",
            f"{image}/1/Image?w=64",
            f"-H 'Authorization: Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}'",
        ),
        ("is it ready?", f"{base}/readyz", ""),
    )
    lines = ["", f"Try a picture's URL on a page: {base}/", f"The interface: {base}/docs", ""]
    lines += [f"Contacts 1 to {_PEOPLE} to try, in a browser or from another terminal:", ""]
    for what, url, more in tries:
        lines += [f"  {what}:", f"    {url}", f"    curl -sS -o /dev/null -D - {more}{' ' if more else ''}'{url}'", ""]
    return "\n".join(lines)


def _save_animation(picture: Image.Image, path: Path) -> None:
    small = picture.resize((240, 320), Image.Resampling.LANCZOS)
    first, *rest = (
        small.transform(small.size, Image.Transform.EXTENT, (step, step, 240 - step, 320 - step)).quantize(128)
        for step in (0, 3, 6, 9, 12, 9, 6, 3)
    )
    first.save(path, save_all=True, append_images=rest, duration=120, loop=0)
