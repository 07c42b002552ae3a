"""The command line.

A command is imported when it is called or described, and imports the rest of the service when it runs: a command that
needs little starts quickly.
"""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = ("check", "generate", "load", "purge", "render", "serve", "sign", "user", "warm")
"""The commands, in the order of the help. Each is the object of its name in the module of its name."""


class _Commands(click.Group):
    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"service.cli.{name}"), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="contact-image")
def main() -> None:
    """Contact pictures over HTTP: scaled, converted, cached."""
