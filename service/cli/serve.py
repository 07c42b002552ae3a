"""`contact-image serve`."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import click

from service.cli.options import config_option, images_option, settings_of, unusable


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

    stop = EarlyStop()
    with ExitStack() as stack:
        settings = settings_of(config, images, host=host, port=port, workers=workers)
        if demo:
            if images is not None:
                raise click.UsageError("--demo makes a folder of its own; leave --images out.")
            from service.demo import PICTURED, make_demo, welcome
            from service.serving.logs import configure_logs

            configure_logs(settings.log)
            # A signal between the making of the folder and its registration would leave the folder behind.
            signal.pthread_sigmask(signal.SIG_BLOCK, stop.SIGNALS)
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="contact-image-demo-")))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, stop.SIGNALS)
            images, defaults = make_demo(folder, writable=settings.is_local)
            settings = settings_of(config, images, defaults, host=host, port=port, workers=workers)
        from service.serving.run import run
        from service.settings import BadSettings

        def ready(base: str) -> None:
            if demo:
                click.echo(welcome(base))
            stop.raise_pending()

        try:
            run(settings, ready, PICTURED if demo else ())
        except BadSettings as error:
            raise unusable(error) from None
        except OSError as error:
            raise click.ClickException(f"cannot serve: {error}") from None


class EarlyStop:
    """Handlers of SIGTERM and SIGINT until the server has its own. They end the process with exit code 0."""

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self._received = False
        for number in self.SIGNALS:
            signal.signal(number, self._end)

    def _end(self, *_: object) -> None:
        self._received = True
        sys.exit(0)

    def raise_pending(self) -> None:
        """Raise SIGTERM again if a signal had no effect.

        Some modules swallow an exception that is raised while they are imported.
        """
        if self._received:
            signal.raise_signal(signal.SIGTERM)
