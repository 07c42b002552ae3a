"""The grammar that header fields share: tokens, lists and weights, RFC 9110 §5.6."""

from __future__ import annotations

import re
from collections.abc import Iterator

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

QUALITY = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?|\.[0-9]{1,3}")
"""A qvalue, §12.4.2, and `.2` for 0.2, which Java sends."""

# A comma in a quoted string is no separator. An unclosed string extends to the end of the field.
_ELEMENT = re.compile(r'(?:[^,"]++|"(?:[^"\\]|\\.)*(?:"|\\?\Z))+', re.DOTALL)


def list_elements(text: str) -> Iterator[str]:
    """Yield the elements of a comma-separated list, trimmed. Empty elements are ignored, §5.6.1.2."""
    for match in _ELEMENT.finditer(text):
        if element := match[0].strip(" \t"):
            yield element
