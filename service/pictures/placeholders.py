"""The placeholder that a request gets in place of a picture: a drawn one, or a rendition of the operator's file."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import NamedTuple

from service.formats import Fit, Format, IfBlank, Initials
from service.imaging.initials import can_draw
from service.imaging.order import Placeholder
from service.pictures.candidates import (
    Candidates,
    failed_formats,
    formats_raising,
    part_of_field,
    visible_background,
)
from service.pictures.selection import FileRendition, Recipe, Selection, entity_tag
from service.pictures.values import PLACEHOLDERS, Failure, PlaceholderFiles
from service.protocol.negotiate import FormatChoice, RequestedPicture, RuledOut


class _Shown(NamedTuple):
    """A placeholder and what it shows: *text* in *language* if it has words, or *initials*."""

    kind: IfBlank
    text: str = ""
    language: str = ""
    initials: Initials | None = None


class Placeholders:
    """Placeholders that are made by *recipe*. *files* replace the drawn ones of their kinds."""

    def __init__(self, candidates: Candidates, recipe: Recipe, files: PlaceholderFiles) -> None:
        self._candidates, self._recipe, self.files = candidates, recipe, files

    def select(
        self,
        requested: RequestedPicture,
        text: str,
        language: str,
        initials: Initials | None,
        failures: tuple[Failure, ...],
        ruled_out: RuledOut,
    ) -> Selection:
        """Return the placeholder of *requested*: with *text* in *language* if it has words, or with *initials*.

        Without initials that can be drawn, it is the default one. *failures* are those of placeholders. The other
        arguments and the errors are as in `ContactPictures.select`.
        """
        kind = requested.if_blank
        if kind is IfBlank.INITIALS:
            if initials is not None and can_draw(initials.letters):
                return self._drawn(requested, _Shown(kind, initials=initials), failures, ruled_out)
            kind = IfBlank.DEFAULT
        if (file := self.files.get(kind)) is not None:
            boxed = requested.width is not None and requested.height is not None
            covering = replace(requested, fit=Fit.COVER if boxed else Fit.CONTAIN)
            choice, field, order = self._candidates.of_file(
                file.original, covering, str(kind.value), failures, ruled_out
            )
            etag = entity_tag(PLACEHOLDERS, "", field, choice)
            work = FileRendition(file, order)
            return Selection(PLACEHOLDERS, field, "", etag, choice, None, work, placeholder=kind)
        shown = _Shown(kind, text, language) if kind.worded else _Shown(kind)
        return self._drawn(requested, shown, failures, ruled_out)

    def _drawn(
        self, requested: RequestedPicture, shown: _Shown, failures: tuple[Failure, ...], ruled_out: RuledOut
    ) -> Selection:
        kind, (width, height), digest = shown.kind, requested.placeholder_size(), self._recipe.digest
        words = blake2b(shown.text.encode(), digest_size=4).hexdigest() if shown.text else ""
        background = None if kind.opaque else requested.background
        beginning = str(shown.initials) if shown.initials else f"{kind.value}:{shown.language}:{words}"

        def field_of(each: Format) -> str:
            colour = part_of_field("b", visible_background(background, each, padded=False))
            return f"{beginning}:{width}:{height}{colour}:{each.name}:{digest}"

        def work(each: Format) -> Placeholder:
            visible = visible_background(background, each, padded=False)
            return Placeholder(
                kind, width, height, each, shown.text, self._recipe.encoding, visible, initials=shown.initials
            )

        too_large = formats_raising(lambda each: work(each).check(requested.width, requested.height))
        ruled_out = {**too_large, **failed_formats(failures, field_of), **ruled_out}
        default = Format.GIF if kind is IfBlank.CLEAR_PIXEL else Format.PNG
        choice: FormatChoice = requested.resolve_placeholder(default, ruled_out)
        field, owner = field_of(choice.format), shown.initials or PLACEHOLDERS
        etag = entity_tag(owner, "", field, choice)
        return Selection(owner, field, "", etag, choice, None, work(choice.format), placeholder=kind)
