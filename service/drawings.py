"""Portraits and logos, drawn by code from random numbers. The service is tried and measured with them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFilter

_SKIN = ((255, 219, 182), (241, 194, 155), (224, 172, 125), (181, 126, 84), (141, 85, 54), (92, 56, 36))
_HAIR = ((24, 20, 18), (66, 42, 26), (120, 80, 44), (196, 154, 90), (150, 60, 34), (130, 130, 134))


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
    noise = Image.frombytes("L", (width, height), Random(0).randbytes(width * height))
    return noise.point([97 + level // 4 for level in range(256)]).convert("RGB")


def logo(random: Random, side: int) -> Image.Image:
    """Return a logo, *side* pixels wide and high: a few flat shapes, on white or on nothing."""
    ground = (255, 255, 255, 255 * random.randrange(2))
    picture = Image.new("RGBA", (2 * side, 2 * side), ground)  # reduced afterwards, for smooth edges
    draw = ImageDraw.Draw(picture)
    colours = [(*(random.randrange(20, 236) for _ in range(3)), 255) for _ in range(2)]
    turn, corners = random.randrange(360), random.choice((3, 4, 5, 6, 8))
    for share, colour in (
        (0.92, colours[0]),
        (random.uniform(0.5, 0.7), ground),
        (random.uniform(0.2, 0.45), colours[1]),
    ):
        if random.random() < 0.4:
            edge = side * (1 - share)
            draw.ellipse((edge, edge, 2 * side - edge, 2 * side - edge), fill=colour)
        else:
            draw.regular_polygon((side, side, side * share), corners, rotation=turn, fill=colour)
    return picture.reduce(2)


def draw_contact(folder: Path, seed: int, contact: int) -> None:
    """Draw the picture of *contact* into *folder*: of four, one is a logo (PNG), and of twelve portraits one is WebP.

    It depends on *seed* and *contact* only.
    """
    random = Random(f"{seed}:{contact}")
    if random.random() < 0.25:
        logo(random, 400).save(folder / f"{contact}.png")
    elif random.random() < 1 / 12:
        portrait(random, 800).save(folder / f"{contact}.webp")
    else:
        portrait(random, 800).save(folder / f"{contact}.jpg", quality=85)
