"""Options that several commands have, and the settings that they lead to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from service.settings import BadSettings, Settings, SettingsSources

_RANGE = re.compile(r"([1-9][0-9]{0,9})(?:-([1-9][0-9]{0,9}))?")

images_option = click.option(  # whether the folder can be read is for `serve` and `check` to report, not for click
    "--images", type=click.Path(path_type=Path, readable=False), help="Folder of the pictures, {id}.{suffix}."
)
config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="A TOML file of settings, over the built-in defaults."
)


def ranges(texts: Iterable[str]) -> list[range]:
    """Return the ids of contacts that *texts* name, such as `7` or `1-5000`. Raise `click.BadParameter`."""
    found = []
    for text in texts:
        match = _RANGE.fullmatch(text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < 2**31:
            raise click.BadParameter(f"{text[:40]!r} is no id and no range of ids, such as 7 or 1-5000.")
        found.append(range(first, last + 1))
    return found


def sources_of(
    config: Path | None, images: Path | None = None, defaults: Path | None = None, **server: str | int | None
) -> SettingsSources:
    """Return the sources of the settings, with *server*'s values that are not None."""
    from service.settings import SettingsSources

    given = {name: value for name, value in server.items() if value is not None}
    options: dict[str, dict[str, Any]] = {"server": given} if given else {}
    if images is not None:
        options["images"] = {"directory": images}
    return SettingsSources(config, defaults, options)


def settings_of(sources: SettingsSources) -> Settings:
    """Return the settings of *sources*. Raise `click.ClickException`."""
    from service.settings import BadSettings

    try:
        return sources.load()
    except BadSettings as error:
        raise unusable(error) from None


def unusable(error: BadSettings) -> click.ClickException:
    """Return the error that prints every fault of the settings on a line of its own."""
    lines = "\n".join(f"  {fault}" for fault in error.faults)
    return click.ClickException(f"the settings cannot be used:\n{lines}")
