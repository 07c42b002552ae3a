"""`contact-image check`."""

from __future__ import annotations

from pathlib import Path

import click

from service.cli.options import config_option, images_option, settings_of, sources_of


@click.command()
@images_option
@config_option
def check(images: Path | None, config: Path | None) -> None:
    """Check the settings, the store, the cache and the verifiers of credentials, and print the result."""
    import asyncio

    from service.serving.check import inspect
    from service.serving.logs import configure_logs

    settings = settings_of(sources_of(config, images))
    configure_logs(settings.log)  # findings go to standard output, everything else to standard error
    click.echo("settings: valid")
    findings = asyncio.run(inspect(settings))
    for part, (fine, words) in findings.items():
        click.echo(f"{part}: {words}" if fine else f"{part}: FAILED: {words}")
    if not all(fine for fine, _ in findings.values()):
        raise SystemExit(1)
