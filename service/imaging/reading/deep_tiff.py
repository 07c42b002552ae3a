"""Pillow's TIFF reader, with planes of 16 bits and with inks that have a fifth sample."""

from __future__ import annotations

from PIL import ImagePalette, TiffImagePlugin

from service.imaging.containers.tiff import pixel_name
from service.imaging.errors import corrupt, unsupported

_BITS, _PHOTOMETRIC, _COLOUR_MAP = 258, 262, 320
_STRIPS, _TILES, _TILE_SIDES = 273, 324, (322, 323)
"""Numbers of tags, as the constants before."""
_WHITE_IS_ZERO = 0
"""The photometric interpretation of grey whose zero is white."""
_BIG_ENDIAN = b"MM"

# Pillow reads grey whose zero is white only in the other byte order. `decode.plain` inverts it.
TiffImagePlugin.OPEN_INFO[(_BIG_ENDIAN, _WHITE_IS_ZERO, (1,), 1, (16,), ())] = ("I;16B", "I;16B")
# Photoshop saves a selection as a fifth sample. Only the inks are shown, since printed pictures are opaque.
for _order in (b"II", b"MM"):
    for _alpha in (0, 1, 2):
        TiffImagePlugin.OPEN_INFO[(_order, 5, (1,), 1, (8,) * 5, (_alpha,))] = ("CMYK", "CMYKX")


class DeepTiffFile(TiffImagePlugin.TiffImageFile):
    """A TIFF, also one with uncompressed planes of 16 bits. XMP is ignored.

    Palettes of 8 bits, and tiles under the tags of strips, are read as libtiff reads them.
    """

    def _setup(self) -> None:
        self._sort_tiles_from_strips()
        if self.tag_v2.get(_BITS) == (12,):  # Pillow reads grey of 12 bits without scaling it
            raise unsupported(f"TIFF ({pixel_name(self.tag_v2.get(_PHOTOMETRIC, 0), 12) or '12 bits'})")
        try:
            super()._setup()
        except SyntaxError as error:
            if "pixel mode" not in str(error):
                raise
            name = pixel_name(self.tag_v2.get(_PHOTOMETRIC, 0), max(self.tag_v2.get(_BITS, (1,))))
            raise unsupported(f"TIFF ({name})") if name else corrupt() from None
        if self.mode in ("P", "PA") and max(colours := self.tag_v2[_COLOUR_MAP]) < 256:
            # The colours have 8 bits in fields of 16. Pillow would read them as black.
            self.palette = ImagePalette.raw("RGB;L", bytes(colours))
        if self._planar_configuration == 2 and self.tag_v2.get(_BITS, ())[:1] == (16,):
            order = "B" if self.tag_v2.prefix == _BIG_ENDIAN else "L"
            for index, tile in enumerate(self.tile):
                if tile.codec_name == "raw" and isinstance(tile.args, tuple):
                    # Pillow would read the samples of a plane as bytes.
                    self.tile[index] = tile._replace(args=(f"{tile.args[0]};16{order}", *tile.args[1:]))

    def _sort_tiles_from_strips(self) -> None:
        """Move the offsets to the tag that fits the others: some writers use the tag of strips for tiles."""
        tags = self.tag_v2
        tiled = all(tag in tags for tag in _TILE_SIDES)
        meant, other = (_TILES, _STRIPS) if tiled else (_STRIPS, _TILES)
        if other in tags:
            offsets = tags.pop(other)
            tags.setdefault(meant, offsets)

    @property
    def white_is_zero(self) -> bool:
        """Whether zero is white. Pillow inverts such pixels of up to 8 bits, but no deeper ones."""
        return bool(self.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)

    def load_end(self) -> None:
        """Turn the picture upright by the tag. Without XMP: other readers do not use the orientation in it."""
        self.info.pop("xmp", None)
        super().load_end()
