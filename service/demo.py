"""Draw a folder of portraits, so that the service can be tried without photographs."""

from __future__ import annotations

import sys
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random

import click
import structlog
from PIL import Image, ImageDraw, ImageFilter

from service.access.identity import EVERYTHING, READER
from service.access.verifiers.users_text import line as user_line

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

_SKIN = ((255, 219, 182), (241, 194, 155), (224, 172, 125), (181, 126, 84), (141, 85, 54), (92, 56, 36))
_HAIR = ((24, 20, 18), (66, 42, 26), (120, 80, 44), (196, 154, 90), (150, 60, 34), (130, 130, 134))

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
        with click.progressbar(contacts, label=_DRAWING, show_pos=True, file=sys.stderr) as bar:
            yield bar
    else:
        yield _logged(contacts)


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
    drawn = portrait(Random(contact), 800)
    if contact == _TURNED:
        exif = Image.Exif()
        exif[_ORIENTATION] = 6
        drawn.rotate(90, expand=True).save(folder / f"{contact}.jpg", quality=90, exif=exif)
    elif contact == _LARGE:
        drawn.resize((3000, 4000), Image.Resampling.BICUBIC).save(folder / f"{contact}.jpg", quality=88)
    elif contact == _ANIMATED:
        _save_animation(drawn, folder / f"{contact}.gif")
    else:
        suffix = _SUFFIXES[contact % len(_SUFFIXES)]
        drawn.save(folder / f"{contact}.{suffix}")


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


def portrait(random: Random, side: int) -> Image.Image:
    """Return a portrait of 3 by 4, *side* pixels high: head and shoulders, slightly blurred, with a little noise."""
    width, height = side * 3 // 4, side
    top, bottom = (tuple(random.randrange(90, 235) for _ in range(3)) for _ in range(2))
    mask = Image.linear_gradient("L").resize((width, height))
    picture = Image.composite(Image.new("RGB", (width, height), bottom), Image.new("RGB", (width, height), top), mask)
    draw = ImageDraw.Draw(picture)
    skin, hair = random.choice(_SKIN), random.choice(_HAIR)
    shirt = tuple(random.randrange(30, 220) for _ in range(3))
    shade = tuple(channel * 4 // 5 for channel in skin)

    def oval(x: float, y: float, rx: float, ry: float, fill: tuple[int, ...]) -> None:
        draw.ellipse(((x - rx) * width, (y - ry) * height, (x + rx) * width, (y + ry) * height), fill=fill)

    long = random.random() < 0.5
    oval(0.5, 0.40 + 0.10 * long, 0.27, 0.26 + 0.10 * long, hair)
    oval(0.5, 1.06, 0.46, 0.34, shirt)
    draw.rectangle((0.43 * width, 0.58 * height, 0.57 * width, 0.76 * height), fill=shade)
    oval(0.5, 0.755, 0.07, 0.035, shade)
    oval(0.5, 0.43, 0.20, 0.22, skin)
    fringe = random.uniform(0.20, 0.27)
    draw.chord((0.29 * width, 0.17 * height, 0.71 * width, (0.17 + 2 * fringe) * height), 195, 345, fill=hair)
    for x in (0.42, 0.58):
        oval(x, 0.42, 0.035, 0.016, (250, 250, 250))
        oval(x, 0.42, 0.014, 0.014, (50, 40, 34))
        draw.line(
            ((x - 0.045) * width, 0.385 * height, (x + 0.045) * width, 0.38 * height), fill=hair, width=width // 80
        )
    oval(0.5, 0.485, 0.018, 0.03, shade)
    draw.arc((0.42 * width, 0.49 * height, 0.58 * width, 0.57 * height), 20, 160, fill=(150, 60, 60), width=width // 90)
    soft = picture.filter(ImageFilter.GaussianBlur(side / 640))
    return Image.blend(soft, _grain(width, height), 0.06)


@cache
def _grain(width: int, height: int) -> Image.Image:
    return Image.effect_noise((width, height), 18).convert("RGB")


def _save_animation(portrait: Image.Image, path: Path) -> None:
    small = portrait.resize((240, 320), Image.Resampling.LANCZOS)
    first, *rest = (
        small.transform(small.size, Image.Transform.EXTENT, (step, step, 240 - step, 320 - step)).quantize(128)
        for step in (0, 3, 6, 9, 12, 9, 6, 3)
    )
    first.save(path, save_all=True, append_images=rest, duration=120, loop=0)
