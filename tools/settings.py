"""Write `docs/settings.md` from `config/default.toml`.

`python -m tools.settings` writes the page. A test compares the page with the file.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from service.settings.secret_files import secret_settings

ROOT = Path(__file__).parents[1]
DEFAULTS = ROOT / "config" / "default.toml"
PAGE = ROOT / "docs" / "settings.md"

_HEAD = """\
# Settings

`python -m tools.settings` writes this page from [`config/default.toml`](../config/default.toml). Change that file,
not this page.

Later sources win: the defaults, a TOML file given by `--config`, environment variables, options of the command line.
A list in a variable is a JSON array, or names with commas between them. A bad setting stops the start, and the error
names every fault. `contact-image check` validates the settings without a start.

A secret may be in a file instead of the environment: `CONTACT_IMAGE_<SECTION>__<NAME>_FILE` has the path, for example
`CONTACT_IMAGE_CACHE__URL_FILE=/run/secrets/cache-url`. The text is that of the variable without `_FILE`; its last line
end is cut off. Both variables together are an error. {secrets} can be set so.
"""

_SECTION = re.compile(r"\[(\w+)\]")
_SETTING = re.compile(r"(\w+) *=")
_BEFORE_COMMENT = re.compile(r"""(?:[^"'#]|"(?:[^"\\]|\\.)*"|'[^']*')*""")
"""The part of a line before its comment. A `#` inside a string begins no comment."""


def page(toml: str) -> str:
    """Return the Markdown page for the text of a file of defaults."""
    comments = _comments(toml)
    secrets = [f"`{section}.{name}`" for section, name in secret_settings()]
    parts = [_HEAD.replace("{secrets}", f"{', '.join(secrets[:-1])} and {secrets[-1]}")]
    for section, values in tomllib.loads(toml).items():
        parts.append(f"\n## {section}\n")
        if remark := comments.get((section, "")):
            parts.append(f"\n{_cell(remark)}\n")
        parts.append("\n| setting | default | variable | meaning |\n| --- | --- | --- | --- |\n")
        for name, value in values.items():
            variable = f"CONTACT_IMAGE_{section}__{name}".upper()
            meaning = _cell(comments.get((section, name), ""))
            parts.append(f"| `{section}.{name}` | {_default(value)} | `{variable}` | {meaning} |\n")
    return "".join(parts)


def _comments(toml: str) -> dict[tuple[str, str], str]:
    """Return the comment of every setting, and of every section under an empty name.

    A comment begins on the line of its setting. Lines with a comment at the same column continue it.
    """
    found: dict[tuple[str, str], list[str]] = {}
    section = name = ""
    column = -1
    for line in toml.splitlines():
        match = _BEFORE_COMMENT.match(line)
        before, comment = (match[0], line[match.end() + 1 :]) if match else (line, "")
        if before.strip():
            if heading := _SECTION.match(before):
                section, name, column = heading[1], "", -1
            elif setting := _SETTING.match(before):
                name, column = setting[1], -1
            if comment:
                column = len(before)
        elif not comment or len(before) != column:
            column = -1
            continue
        if comment:
            found.setdefault((section, name), []).append(comment.strip())
    return {key: " ".join(lines) for key, lines in found.items()}


def _default(value: object) -> str:
    if value in ("", []):
        return "empty"
    if isinstance(value, list):
        return ", ".join(f"`{each}`" for each in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    """Return *text* with Markdown's own signs escaped."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*<])", r"\\\1", part) for part in parts[::2]]  # not inside of code
    return "`".join(parts).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(DEFAULTS.read_text("utf-8")), "utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
