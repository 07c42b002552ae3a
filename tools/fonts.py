"""Write the fonts of the placeholders, which are subsets of DejaVu Sans and Noto Sans CJK. Needs the extra `fonts`.

The subset of DejaVu has whole alphabets, so that words may change. Those of Noto have only the ideographs and the
Korean syllables of the words in the catalogues.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fontTools import subset

import service.imaging.drawing
from service.protocol.languages import NO_PHOTO, Languages

FONTS = Path(service.imaging.drawing.__file__).parent / "fonts"
_ASCII = range(0x20, 0x7F)
_ALPHABETS = [
    *range(0x20, 0x250),  # Latin
    *range(0x300, 0x370),  # accents
    *range(0x400, 0x500),  # Cyrillic
    *range(0x1E00, 0x1F00),  # Latin, with Vietnamese
    *range(0x2010, 0x2027),  # punctuation
    0x20AC,
]
_REGIONAL = {"ja": (0, "jp"), "ko": (1, "kr"), "zh": (2, "sc")}
"""By language: the number of its face in the collection, and the end of its name. Ideographs differ between them."""


def cut(source: Path, letters: set[int], target: Path, number: int = -1) -> None:
    """Write *letters* of the font *source* to *target*: outlines and widths only.

    *number* is the index of the font in a collection, or -1.
    """
    options = subset.Options(
        font_number=number, hinting=False, layout_features=[], notdef_outline=True, name_IDs=[0, 1, 2, 5, 13, 14]
    )
    options.drop_tables += ["GDEF", "GPOS", "GSUB", "BASE", "VORG", "vhea", "vmtx", "gasp"]
    font = subset.load_font(str(source), options)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=letters)
    cutter.subset(font)
    subset.save_font(font, str(target), options)


def main() -> None:
    """Write all fonts."""
    parser = argparse.ArgumentParser(prog="python -m tools.fonts", description=__doc__)
    parser.add_argument("dejavu", type=Path, help="DejaVuSans-Bold.ttf")
    parser.add_argument("noto", type=Path, help="NotoSansCJK-Bold.ttc")
    sources = parser.parse_args()
    cut(sources.dejavu, set(_ALPHABETS), FONTS / "DejaVuSans-Bold-subset.ttf")
    languages = Languages.load()
    for language, (number, region) in _REGIONAL.items():
        letters = {*_ASCII, *map(ord, languages.words(NO_PHOTO, {}, language))}
        cut(sources.noto, letters, FONTS / f"NotoSansCJK{region}-Bold-subset.otf", number)


if __name__ == "__main__":
    main()
