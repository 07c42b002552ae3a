"""How the service renders, by its settings."""

from __future__ import annotations

from dataclasses import asdict
from hashlib import blake2b

from service.imaging.order import Encoding, Limits
from service.imaging.versions import encoder_versions
from service.pictures.selection import Recipe
from service.settings import Settings


def recipe(settings: Settings) -> Recipe:
    """Return how to render.

    The digest covers everything that decides the bytes of a rendition. Entity tags and cache fields contain it.
    """
    render = settings.render
    limits = Limits(
        max_pixels=render.max_pixels,
        max_decoded_bytes=render.max_decoded_bytes,
        max_frames=render.max_frames,
        max_animation_pixels=render.max_animation_pixels,
        max_dimension=render.max_dimension,
        enlarge=render.enlarge,
    )
    encoding = Encoding(**settings.encoding.model_dump())
    parameters = f"{asdict(limits)}{asdict(encoding)}{encoder_versions()}"
    digest = blake2b(parameters.encode(), digest_size=4).hexdigest()
    return Recipe(limits, encoding, digest, as_stored=settings.images.as_stored == "verbatim")
