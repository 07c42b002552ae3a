"""The folder of pictures as the service finds it at its start."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from service.settings import BadSettings, Settings
from service.stores.os_errors import error_fields
from service.stores.uploads import UploadFolder

log = structlog.get_logger()


def look_at_folder(settings: Settings) -> None:
    """Log a warning where the folder cannot be read, or cannot be written to although writes are enabled.

    The service then starts unready, and becomes ready when the folder appears: a volume may be mounted later. Raises
    `BadSettings` where the parent folder is missing too, which is more likely a wrong setting.
    """
    folder = settings.images.directory
    try:
        os.scandir(folder).close()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        if missing and not os.path.isdir(Path.cwd() / folder.parent):
            raise BadSettings(
                [
                    "images.directory (CONTACT_IMAGE_IMAGES__DIRECTORY): "
                    f"neither {folder} nor the folder that it would be in exists"
                ]
            ) from error
        log.warning("images.unreadable", **error_fields(error, str(folder)), status="unready until it can be read")
        return
    if settings.writes.enabled:
        try:
            try_writing(folder, settings.images.timeout)
        except OSError as error:
            log.warning("images.unwritable", **error_fields(error, str(folder)))


def try_writing(folder: Path, timeout: float) -> None:
    """Make the folder of uploads in *folder*, and a file in it that is removed again. Raises OSError."""
    UploadFolder(folder, timeout).begin().discard()
