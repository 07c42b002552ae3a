"""`contact-image serve`."""

from __future__ import annotations

import gc
import signal
from contextlib import ExitStack
from pathlib import Path

import click

from service.cli.early_signals import EarlySignals
from service.cli.options import config_option, images_option, settings_of, sources_of, unusable


@click.command()
@images_option
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.")
@click.option("--workers", type=int, help="Processes that share the port.")
@click.option("--demo", is_flag=True, help="Make a few dozen contact pictures in a temporary folder, and serve them.")
@config_option
def serve(
    images: Path | None, host: str | None, port: int | None, workers: int | None, demo: bool, config: Path | None
) -> None:
    """Serve pictures until SIGTERM or Ctrl-C."""
    from tempfile import TemporaryDirectory

    early = EarlySignals()
    with ExitStack() as stack:
        gc.disable()  # until the service listens: collections take a seventh of the start, and find nothing
        stack.callback(gc.enable)
        sources = sources_of(config, images, host=host, port=port, workers=workers)
        settings = settings_of(sources)
        if demo:
            if images is not None:
                raise click.UsageError("--demo makes a folder of its own; leave --images out.")
            from service.demo import CONTACTS, make_demo, welcome
            from service.serving.logs import configure_logs

            configure_logs(settings.log)
            # A signal between the making of the folder and its registration would leave the folder behind.
            signal.pthread_sigmask(signal.SIG_BLOCK, early.ending)
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="contact-image-demo-")))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, early.ending)
            images, defaults = make_demo(folder, writable=settings.is_local)
            sources = sources_of(config, images, defaults, host=host, port=port, workers=workers)
            settings = settings_of(sources)
        from service.line_queue import STANDARD_OUTPUT
        from service.serving.run import run
        from service.settings import BadSettings

        def ready(base: str) -> None:
            if demo:
                STANDARD_OUTPUT.write(welcome(base) + "\n")
            early.raise_pending()

        try:
            run(settings, sources, ready, CONTACTS if demo else ())
        except BadSettings as error:
            raise unusable(error) from None
        except OSError as error:
            raise click.ClickException(f"cannot serve: {error}") from None
