"""`python -m tools.cultures` writes how every culture groups the digits of a whole number, from the data of Babel.

The service itself does not use Babel for numbers. Babel reads the data of a culture from disk at its first use, and
never drops it. All cultures take 150 MB.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from babel import Locale, localedata
from babel.numbers import format_decimal

import service.protocol

FILE = Path(service.protocol.__file__).parent / "locale" / "cultures.txt"
SAMPLE = 123_456_789
"""The number in the file."""
_HEAD = """\
# How each culture writes a whole number: 123456789 in it, then the cultures that write so.
# Source: Unicode CLDR, from Babel. Written by `python -m tools.cultures`.
"""


def samples() -> dict[str, str]:
    """Return `SAMPLE` as every culture writes it, by BCP 47 tag."""
    tags = sorted(localedata.locale_identifiers())
    return {tag.replace("_", "-"): format_decimal(SAMPLE, locale=Locale.parse(tag)) for tag in tags}


def text(by_tag: dict[str, str]) -> str:
    """Return the text of the file for samples *by_tag*: a line for each sample, with the tags of its cultures."""
    cultures = defaultdict(list)
    for tag, sample in by_tag.items():
        cultures[sample].append(tag)
    return _HEAD + "".join(f"{sample}\t{' '.join(tags)}\n" for sample, tags in sorted(cultures.items()))


def main() -> None:
    """Write the file."""
    FILE.write_text(text(samples()), encoding="utf-8")


if __name__ == "__main__":
    main()
