"""The sources of the settings, which a reload reads again. Some settings take effect then, others at a restart."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.settings.loading import load_settings
from service.settings.whole import Settings

RELOADABLE = ("auth.users_file", "auth.jwt_key_file", "auth.signing_keys", "log.level", "placeholders.directory")
"""Settings that take effect at a reload."""


@dataclass(frozen=True, slots=True)
class SettingsSources:
    """Where the settings come from, beside the defaults and the environment. See `load_settings`."""

    config: Path | None = None
    defaults: Path | None = None
    options: dict[str, dict[str, Any]] = field(default_factory=dict)

    def load(self) -> Settings:
        """Return the settings. Raise `BadSettings`."""
        return load_settings(self.config, self.defaults, **self.options)

    def load_reloadable(self, in_force: Settings) -> Settings:
        """Return *in_force* with the reloadable settings of the sources. Raise `BadSettings` if they do not fit."""
        options = {
            section: {
                name: value for name, value in getattr(in_force, section) if f"{section}.{name}" not in RELOADABLE
            }
            for section in Settings.model_fields
        }
        for section, given in self.options.items():
            options[section] |= {name: value for name, value in given.items() if f"{section}.{name}" in RELOADABLE}
        return load_settings(self.config, self.defaults, **options)


def differences(one: Settings, other: Settings) -> list[str]:
    """Return the names of the settings that differ, with their sections."""
    return [
        f"{section}.{name}"
        for section in Settings.model_fields
        for name, value in getattr(one, section)
        if value != getattr(getattr(other, section), name)
    ]
