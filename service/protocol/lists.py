"""The grammar that header fields share: tokens, lists and weights, RFC 9110 §5.6. Knows no field of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

QUALITY = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?|\.[0-9]{1,3}")
"""qvalue, §12.4.2, and `.2` for 0.2, which Java sends."""

# A comma inside a quoted string separates nothing; an unclosed one runs to the end of the field.
_ELEMENT = re.compile(r'(?:[^,"]++|"(?:[^"\\]|\\.)*(?:"|\\?\Z))+', re.DOTALL)


def list_elements(text: str) -> Iterator[str]:
    """The elements of a comma-separated list, trimmed; empty ones are passed over, §5.6.1.2."""
    for match in _ELEMENT.finditer(text):
        if element := match[0].strip(" \t"):
            yield element
