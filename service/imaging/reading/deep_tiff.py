"""Pillow's TIFF reader, with what it lacks: planes of sixteen bits, inks with a selection beside them. Knows nothing of
what is asked for.
"""

from __future__ import annotations

from PIL import ImagePalette, TiffImagePlugin

from service.imaging.containers.tiff import pixel_name
from service.imaging.failures import corrupt, unsupported

_BITS, _PHOTOMETRIC, _COLOUR_MAP = 258, 262, 320
_STRIPS, _TILES, _TILE_SIDES = 273, 324, (322, 323)
_WHITE_IS_ZERO = 0
_BIG_ENDIAN = b"MM"

# It knows grey whose zero is white in the other byte order alone (`decode.plain` turns it over).
TiffImagePlugin.OPEN_INFO[(_BIG_ENDIAN, _WHITE_IS_ZERO, (1,), 1, (16,), ())] = ("I;16B", "I;16B")
# Photoshop saves a selection as a fifth sample; the inks alone are shown, as nobody prints a transparent picture.
for _order in (b"II", b"MM"):
    for _alpha in (0, 1, 2):
        TiffImagePlugin.OPEN_INFO[(_order, 5, (1,), 1, (8,) * 5, (_alpha,))] = ("CMYK", "CMYKX")


class DeepTiffFile(TiffImagePlugin.TiffImageFile):
    """Reads planes of sixteen bits that are not compressed, too, and believes no XMP.

    Palettes of eight bits, and tiles under the tags of strips, are read as libtiff reads them.
    """

    def _setup(self) -> None:
        self._sort_tiles_from_strips()
        if self.tag_v2.get(_BITS) == (12,):  # Pillow reads grey of 12 bits, and does not scale it
            raise unsupported(f"TIFF ({pixel_name(self.tag_v2.get(_PHOTOMETRIC, 0), 12) or '12 bits'})")
        try:
            super()._setup()
        except SyntaxError as error:
            if "pixel mode" not in str(error):
                raise
            name = pixel_name(self.tag_v2.get(_PHOTOMETRIC, 0), max(self.tag_v2.get(_BITS, (1,))))
            raise unsupported(f"TIFF ({name})") if name else corrupt() from None
        if self.mode in ("P", "PA") and max(colours := self.tag_v2[_COLOUR_MAP]) < 256:
            self.palette = ImagePalette.raw("RGB;L", bytes(colours))  # written with 8 bits in 16; Pillow has all black
        if self._planar_configuration == 2 and self.tag_v2.get(_BITS, ())[:1] == (16,):
            order = "B" if self.tag_v2.prefix == _BIG_ENDIAN else "L"
            for index, tile in enumerate(self.tile):
                if tile.codec_name == "raw" and isinstance(tile.args, tuple):
                    # A plane's samples would be read as if they were bytes.
                    self.tile[index] = tile._replace(args=(f"{tile.args[0]};16{order}", *tile.args[1:]))

    def _sort_tiles_from_strips(self) -> None:
        """Put the offsets under the tag that fits the others: some writers list tiles as if they were strips."""
        tags = self.tag_v2
        tiled = all(tag in tags for tag in _TILE_SIDES)
        meant, other = (_TILES, _STRIPS) if tiled else (_STRIPS, _TILES)
        if other in tags:
            offsets = tags.pop(other)
            tags.setdefault(meant, offsets)

    @property
    def white_is_zero(self) -> bool:
        """Whether its zero is white. Pillow has turned eight bits and fewer over, and nothing deeper."""
        return bool(self.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)

    def load_end(self) -> None:
        """Turns the picture upright, by the tag alone: in XMP, Pillow would believe a turn that nobody else does."""
        self.info.pop("xmp", None)
        super().load_end()
