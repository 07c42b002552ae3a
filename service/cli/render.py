"""`contact-image render`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from service.cli.options import config_option, settings_of, sources_of, unusable

PARAMETERS = {
    "w": "Width in pixels.",
    "h": "Height in pixels.",
    "fit": "contain, cover, fill or pad, for a box of both sides.",
    "gravity": "The part that cover shows: center, top, bottom, left, right, or x,y as shares.",
    "dpr": "Pixels of the screen for each pixel of the sides, 1 to 4.",
    "enlarge": "true or false: whether it may be larger than the original.",
    "bg": "Colour behind transparent pixels and around the picture, such as ffffff.",
    "type": "The format; by default that of the suffix of TARGET.",
    "ifBlank": "The placeholder to show if the picture cannot be rendered.",
    "name": "The name whose initials the placeholder Initials shows.",
    "preset": "A name in render.presets.",
}
"""The parameters of a URL that decide the rendition, and their help."""


def _parameters(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* an option for each parameter."""
    for name, words in reversed(PARAMETERS.items()):
        command = click.option(f"{'-' if len(name) == 1 else '--'}{name}", name.lower(), help=words)(command)
    return command


@click.command(context_settings={"help_option_names": ["--help"]})  # -h is the height
@click.argument("source", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@_parameters
@config_option
def render(source: Path, target: Path, config: Path | None, **texts: Any) -> None:
    """Render the picture SOURCE to the file TARGET, as the service does, without a server.

    The options are the parameters of a picture's URL. Limits, quality and presets are those of the settings.
    """
    import asyncio
    from dataclasses import replace
    from urllib.parse import urlencode

    from service.errors import PictureError
    from service.protocol.names import initials_of
    from service.protocol.query import TYPES, parse_query
    from service.settings import BadSettings
    from service.system.regular_file import open_regular
    from service.wiring.one_render import render_once

    settings = settings_of(sources_of(config))
    given = urlencode({name: text for name, text in texts.items() if text is not None})
    try:
        query = parse_query(given, settings.render.max_dimension, settings.render.presets_in_force)
    except PictureError as error:
        raise click.UsageError(str(error)) from None
    if query.type is None:
        kind = TYPES.get(target.suffix.lower().removeprefix("."))
        if kind is None:
            raise click.UsageError(f"{target} has the suffix of no format that is written: name one with --type.")
        query = replace(query, type=kind)
    try:
        with open_regular(source) as file:
            data = file.read(settings.images.max_bytes + 1)
    except OSError as error:
        raise click.ClickException(f"{source} cannot be read: {error.strerror or error}") from None
    if len(data) > settings.images.max_bytes:
        raise click.ClickException(f"{source}: it has more than {settings.images.max_bytes} bytes (images.max_bytes).")
    try:
        rendered = asyncio.run(render_once(settings, data, query, initials_of(texts["name"] or "")))
    except PictureError as error:
        raise click.ClickException(f"{source}: {error}") from None
    except BadSettings as error:
        raise unusable(error) from None
    except (OSError, EOFError) as error:
        raise click.ClickException(f"no render process starts: {error!r}") from None
    try:
        target.write_bytes(rendered.data)
    except OSError as error:
        raise click.ClickException(f"{target} cannot be written: {error.strerror or error}") from None
    frames = f", {rendered.frames} frames" if rendered.frames > 1 else ""
    size = f"{rendered.width} × {rendered.height} pixels{frames}, {len(rendered.data):,} bytes"
    click.echo(f"{target}: {size}")
