"""Write the fonts of the placeholders, which are subsets of DejaVu Sans and Noto Sans CJK. Needs the extra `fonts`.

The subset of DejaVu has whole alphabets. Those of Noto for China and for Japan have the letters of the words in the
catalogues. That for names has kana, the syllables of Hangul in KS X 1001, and the ideographs of `tools/surnames.txt`.
Beside the fonts, `initials.txt` has the letters that can be drawn as initials, for processes that read no font.
"""

from __future__ import annotations

import argparse
import unicodedata
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

import service.imaging.drawing
from service.protocol.languages import NO_PHOTO, Languages
from tools.surnames import SURNAMES

FONTS = Path(service.imaging.drawing.__file__).parent / "fonts"
ALPHABETS, NAMES = "DejaVuSans-Bold-subset.ttf", "NotoSansCJKsc-Bold-names.otf"
_INITIALS = ("Lu", "Ll", "Lt", "Lo")
"""The general categories of letters that initials can be."""
_MARKS = (220, 230)
"""The combining classes of marks that can be drawn: below and above letters."""
_ASCII = range(0x20, 0x7F)
_ALPHABETS = [
    *range(0x20, 0x250),  # Latin
    *range(0x300, 0x370),  # accents
    *range(0x370, 0x530),  # Greek, Cyrillic
    *range(0x531, 0x588),  # Armenian
    *range(0x5D0, 0x5EB),  # Hebrew
    *range(0x10A0, 0x1100),  # Georgian
    *range(0x1E00, 0x2000),  # Latin, with Vietnamese; Greek
    *range(0x2010, 0x2027),  # punctuation
    0x20AC,
]
_KANA = [*range(0x3041, 0x3097), *range(0x30A1, 0x30FB), *range(0xFF66, 0xFF9E)]
_HANGUL = [
    ord(bytes((row, cell)).decode("euc_kr")) for row in range(0xB0, 0xC9) for cell in range(0xA1, 0xFF)
]  # the 2,350 syllables of KS X 1001
_CHINA, _JAPAN = (2, "sc"), (0, "jp")
"""The number of the face of a region in the collection, and the end of its name. Ideographs differ between them."""
_REGIONAL = {"zh": _CHINA, "ja": _JAPAN}
"""The region of each language whose words have ideographs."""


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


def letters_in(font: Path) -> list[str]:
    """Return the characters in *font*, in the order of their numbers."""
    return [chr(each) for each in sorted(TTFont(font).getBestCmap())]


def initials(font: Path) -> str:
    """Return the letters in *font* that initials can be: capitals, and those of scripts without capitals."""
    return "".join(
        each for each in letters_in(font) if unicodedata.category(each) in _INITIALS and each.title() == each
    )


def main() -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(prog="python -m tools.fonts", description=__doc__)
    parser.add_argument("dejavu", type=Path, help="DejaVuSans-Bold.ttf")
    parser.add_argument("noto", type=Path, help="NotoSansCJK-Bold.ttc")
    sources = parser.parse_args()
    cut(sources.dejavu, set(_ALPHABETS), FONTS / ALPHABETS)
    languages = Languages.load()
    for language, (number, region) in _REGIONAL.items():
        letters = {*_ASCII, *map(ord, languages.words(NO_PHOTO, {}, language))}
        cut(sources.noto, letters, FONTS / f"NotoSansCJK{region}-Bold-subset.otf", number)
    surnames = "".join(SURNAMES.read_text("utf-8").split())
    cut(sources.noto, {*_ASCII, *_KANA, *_HANGUL, *map(ord, surnames)}, FONTS / NAMES, _CHINA[0])
    alphabets, names = (initials(FONTS / name) for name in (ALPHABETS, NAMES))
    lines = [alphabets, "".join(each for each in names if each not in alphabets)]
    lines.append("".join(each for each in letters_in(FONTS / ALPHABETS) if unicodedata.combining(each) in _MARKS))
    (FONTS / "initials.txt").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
