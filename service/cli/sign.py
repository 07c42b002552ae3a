"""`contact-image sign`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from service.cli.options import config_option, settings_of, sources_of

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
"""Seconds of each unit of a time."""
_LONGEST = 10 * 365 * _UNITS["d"]
"""Seconds that a signed URL may be valid."""


def _seconds(_: click.Context, __: click.Parameter, text: str) -> int:
    """Return a time such as `7d` in seconds."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw])", text)
    if match is None or (seconds := int(match[1]) * _UNITS[match[2]]) > _LONGEST:
        raise click.BadParameter("a number and s, m, h, d or w, such as 7d; ten years at most.")
    return seconds


@click.command()
@click.argument("target")
@click.option(
    "--expires", required=True, callback=_seconds, metavar="TIME", help="How long it is valid: 90s, 15m, 12h, 7d, 4w."
)
@click.option("--base", default="", metavar="URL", help="URL of the service, to print before the path.")
@config_option
def sign(target: str, expires: int, base: str, config: Path | None) -> None:
    """Sign TARGET, a picture's path and query, with the first of auth.signing_keys, and print it."""
    import time

    from service.errors import PictureError
    from service.protocol.query import parse_contact_id, parse_query
    from service.protocol.signatures import parse_key
    from service.protocol.signatures import sign as signed

    settings = settings_of(sources_of(config))
    if not settings.auth.signing_keys:
        raise click.ClickException(
            "auth.signing_keys is empty: make a secret with `openssl rand -hex 32`, "
            'and set CONTACT_IMAGE_AUTH__SIGNING_KEYS=k1:SECRET (or signing_keys = ["k1:SECRET"]).'
        )
    path, _, query = target.partition("?")
    match = re.fullmatch(r"(?i:/api/v1/contact)/([^/]*)/(?i:image)/?", path)
    if match is None:
        raise click.ClickException("this is no picture's path: /api/v1/Contact/{id}/Image.")
    if base and not re.fullmatch(r"https?://[^\s?#]+", base):
        raise click.UsageError("--base is a URL that begins with http:// or https://, without query.")
    kid, secret = parse_key(settings.auth.signing_keys[0].get_secret_value())
    try:
        parse_contact_id(match[1])
        parse_query(query, settings.render.max_dimension, settings.render.presets_in_force)
        click.echo(base.rstrip("/") + signed(target, kid, secret, int(time.time()) + expires))
    except PictureError as error:
        raise click.ClickException(str(error)) from None
