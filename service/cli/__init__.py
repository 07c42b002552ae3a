"""The command line, one module for each command.

Commands import the rest of the service when they run: a command that needs little starts quickly, and render processes
import this package too.
"""

from __future__ import annotations

import click

from service.cli.check import check
from service.cli.purge import purge
from service.cli.serve import serve
from service.cli.sign import sign
from service.cli.user import user


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="contact-image")
def main() -> None:
    """Contact pictures over HTTP: scaled, converted, cached."""


for command in (serve, check, purge, user, sign):
    main.add_command(command)
