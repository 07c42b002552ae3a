"""`python -m tools.cultures` writes anew how each culture groups the digits of a whole number, as Babel knows it.

The service does not ask Babel while it runs: that reads the data of a culture from disk when first asked, and never
drops them. All of them take 150 MB.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from babel import Locale, localedata
from babel.numbers import format_decimal

import service.protocol

FILE = Path(service.protocol.__file__).parent / "locale" / "cultures.txt"
SAMPLE = 123_456_789
_HEAD = """\
# How each culture writes a whole number: 123456789 in it, then the cultures that write so.
# Source: Unicode CLDR, by way of Babel. Written by `python -m tools.cultures`.
"""


def written() -> dict[str, str]:
    """`SAMPLE` as each culture writes it, by BCP 47 tag."""
    tags = sorted(localedata.locale_identifiers())
    return {tag.replace("_", "-"): format_decimal(SAMPLE, locale=Locale.parse(tag)) for tag in tags}


def text(samples: dict[str, str]) -> str:
    """The file's text: *samples*, by tag, as lines."""
    cultures = defaultdict(list)
    for tag, sample in samples.items():
        cultures[sample].append(tag)
    return _HEAD + "".join(f"{sample}\t{' '.join(tags)}\n" for sample, tags in sorted(cultures.items()))


def main() -> None:
    """Write the file."""
    FILE.write_text(text(written()), encoding="utf-8")


if __name__ == "__main__":
    main()
