"""`contact-image user`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from service.cli.options import config_option, settings_of, sources_of


@click.group()
def user() -> None:
    """Change the users' file."""


@user.command()
@click.argument("name")
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="The file, instead of auth.users_file.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(["read", "write", "purge"]),
    help="A role of NAME; may be repeated. The default is read.",
)
@config_option
def add(name: str, file: Path | None, roles: tuple[str, ...], config: Path | None) -> None:
    """Add NAME to the users' file, or replace the entry of NAME.

    The command prompts for the password at a terminal; otherwise it reads one line from standard input.
    """
    from service.access.identity import Role
    from service.access.verifiers.users_storage import add_user

    if file is None and not (named := settings_of(sources_of(config)).auth.users_file):
        raise click.UsageError("auth.users_file is empty: give --file.")
    path = file or Path(named)
    try:
        replaced = add_user(path, name, _password(), [Role(role) for role in roles])
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be changed: {error.strerror or error}") from None
    click.echo(f"{'replaced' if replaced else 'added'} {name} in {path} ({', '.join(roles) or 'read'})")


def _password() -> str:
    """Return the password from two prompts or from standard input. An argument would be visible to all processes."""
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    text = sys.stdin.buffer.read(4096).decode("utf-8", "surrogateescape")
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(set(lines)) > 1:  # a confirmation may be piped as well
        raise click.UsageError("the lines on standard input are not the same password.")
    if not lines[0]:  # for example in a job without standard input
        raise click.UsageError("no password came by standard input.")
    return lines[0]
