"""`contact-image generate`."""

from __future__ import annotations

from pathlib import Path

import click

_TOGETHER = 8
"""Pictures that a process draws before it reports."""


@click.command()
@click.argument("count", type=click.IntRange(1, 10_000_000))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same pictures.")
def generate(count: int, folder: Path, seed: int) -> None:
    """Draw pictures of the contacts 1 to COUNT into FOLDER, which is new or empty: portraits and logos."""
    from concurrent.futures import ProcessPoolExecutor
    from functools import partial
    from multiprocessing import get_context

    from service.drawings import draw_contact
    from service.progress import progress

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise click.ClickException(f"{folder} is not empty: its pictures might be replaced.")
        pool = ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_ignore_interrupts)
        try:
            with progress("Drawing", count) as counted:
                for _ in pool.map(partial(draw_contact, folder, seed), range(1, count + 1), chunksize=_TOGETHER):
                    counted()
        finally:
            pool.shutdown(cancel_futures=True)
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written: {error.strerror or error}") from None
    click.echo(f"drawn: {count:,} pictures in {folder}")


def _ignore_interrupts() -> None:
    """Leave Ctrl-C, which reaches all processes of a terminal, to the command."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
