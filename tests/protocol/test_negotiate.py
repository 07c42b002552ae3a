"""Content negotiation: the format of the answer by `Accept`, original and query (docs/contract.md, section 3)."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BeyondFormat, NotAcceptable, PictureError, Unwritable
from service.formats import WRITABLE, Fit, Format, IfBlank
from service.protocol.accept import parse_accept
from service.protocol.negotiate import FormatChoice, RequestedPicture, requested_picture
from service.protocol.query import Query, parse_query

AVIF, WEBP, JPEG, PNG, GIF, TIFF = WRITABLE
BMP, HEIC = Format.BMP, Format.HEIC
CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
OLD_CHROME = "image/webp,image/apng,image/*,*/*;q=0.8"
FIREFOX = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
OLD_FIREFOX = "image/png,image/*;q=0.8,*/*;q=0.5"
SAFARI = (
    "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,"
    "image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
)
OLD_SAFARI = "image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5"
EXPLORER = "image/gif, image/jpeg, image/pjpeg, application/x-ms-application, */*"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


def requested(raw: str = "", accept: str | None = None) -> RequestedPicture:
    return requested_picture(parse_query(raw, 4096), accept, WRITABLE)


@pytest.mark.parametrize(
    "accept", [None, "", "*/*", "image/*", CHROME, "image/gif;q=0.1, image/png", "application/json, */*;q=0.1"]
)
def test_stored_bytes_are_sent_when_accept_allows_their_type(accept: str | None) -> None:
    assert requested("", accept).resolve(GIF, alpha=True) == FormatChoice(GIF, as_stored=True)


@pytest.mark.parametrize(
    "accept",
    [
        None, "", "*/*", "image/*", "image/*;q=0.1, text/html", "application/json, */*;q=0.1", "video/mp4, */*",
        "image/tiff", "image/tiff;q=0.1, image/png", f"{CHROME}, image/tiff;q=0.1", "image/TIFF, image/png",
        "image/png;q=0, */*", "image/svg+xml;q=0.0, image/*",
    ],
)  # fmt: skip
def test_stored_tiff_is_sent_when_accept_names_it_or_names_no_picture_format(accept: str | None) -> None:
    assert requested("", accept).resolve(TIFF, alpha=True) == FormatChoice(TIFF, as_stored=True)


@pytest.mark.parametrize("alias", ["image/jpg", "Image/PJPEG;q=.1", "image/x-jpeg"])
def test_alias_allows_the_stored_bytes(alias: str) -> None:
    assert requested("", alias).resolve(JPEG, alpha=False) == FormatChoice(JPEG, as_stored=True)
    assert requested("", f"{alias.partition(';')[0]};q=0, image/png").resolve(JPEG, alpha=False) == FormatChoice(PNG)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize(
    "accept",
    [
        CHROME, FIREFOX, SAFARI, "image/png, */*;q=0.1", "image/svg+xml, image/*", "image/apng;q=0.1, */*",
        "image/tiff;q=0, image/*", "image/jxl, */*", "image/webp, image/tiff;q=0, */*;q=0.5",
    ],
)  # fmt: skip
@pytest.mark.parametrize("raw", ["", "w=60"])
def test_browsers_get_no_tiff(raw: str, accept: str, alpha: bool) -> None:
    choice = requested(raw, accept).resolve(TIFF, alpha)
    assert choice.format is not TIFF
    assert not choice.as_stored
    assert choice.format.alpha or not alpha


@pytest.mark.parametrize("accept", [CHROME, FIREFOX, SAFARI])
def test_browsers_get_the_other_formats_as_stored(accept: str) -> None:
    for stored in (JPEG, PNG, GIF, WEBP, AVIF):
        assert requested("", accept).resolve(stored, alpha=False) == FormatChoice(stored, as_stored=True)


def failure(*formats: Format) -> dict[Format, PictureError]:
    return {each: Unwritable("%(format)s", {"format": each.name}) for each in formats}


def too_large(*formats: Format) -> dict[Format, PictureError]:
    return {each: BeyondFormat("%(format)s", {"format": each.name}) for each in formats}


@pytest.mark.parametrize(
    ("accept", "stored", "out", "choice"),
    [
        (CHROME, JPEG, [AVIF], FormatChoice(WEBP)),
        ("image/avif, image/webp, image/*", JPEG, [AVIF, WEBP], FormatChoice(JPEG)),
        ("image/avif, image/webp, image/*", JPEG, [AVIF, WEBP, JPEG], FormatChoice(PNG)),
        ("*/*", JPEG, [JPEG], FormatChoice(AVIF)),
        ("image/avif, image/gif;q=0.1", JPEG, [AVIF], FormatChoice(GIF)),
        ("image/avif, application/json;q=0.5, image/gif;q=0.4", JPEG, [AVIF], FormatChoice(JPEG, json=True)),
        ("image/avif, application/json;q=0.5", JPEG, [AVIF, JPEG], FormatChoice(PNG, json=True)),
        ("application/json", JPEG, [AVIF], FormatChoice(JPEG, json=True)),
        ("application/json", JPEG, [JPEG, PNG], FormatChoice(GIF, json=True)),
    ],
)
@pytest.mark.parametrize("why", [failure, too_large])
def test_format_that_is_ruled_out_is_no_candidate_while_another_is_acceptable(
    why: Callable[..., dict[Format, PictureError]], accept: str, stored: Format, out: list[Format], choice: FormatChoice
) -> None:
    assert requested("w=10", accept).resolve(stored, False, why(*out)) == choice
    assert requested("w=10", accept).resolve_placeholder(stored, why(*out)).json == choice.json


@pytest.mark.parametrize(
    ("raw", "accept", "out", "error"),
    [
        ("w=1&type=avif", "*/*", too_large(AVIF), BeyondFormat),
        ("w=1&type=avif", "*/*", failure(AVIF), Unwritable),
        ("w=1", "image/avif", too_large(AVIF), BeyondFormat),
        ("w=1", "image/avif, image/webp;q=0.5", too_large(AVIF) | failure(WEBP), Unwritable),
        ("w=1", "image/avif, text/html", too_large(AVIF) | failure(WEBP), BeyondFormat),
        ("w=1", "*/*", failure(*WRITABLE), Unwritable),
        ("w=1", "application/json", failure(*WRITABLE), Unwritable),
        ("w=1", "text/html", failure(*WRITABLE), NotAcceptable),
        ("w=1&type=png", "*/*", failure(*WRITABLE), Unwritable),
    ],
)
def test_error_of_a_ruled_out_format_is_raised_when_no_other_is_acceptable(
    raw: str, accept: str, out: dict[Format, PictureError], error: type[PictureError]
) -> None:
    with pytest.raises(PictureError) as refused:
        requested(raw, accept).resolve(JPEG, False, out)
    assert type(refused.value) is error
    with pytest.raises(error):
        requested(raw, accept).resolve_placeholder(PNG, out)


def test_stored_bytes_need_no_writer() -> None:
    out = failure(*WRITABLE)
    assert requested("", "*/*").resolve(JPEG, False, out) == FormatChoice(JPEG, as_stored=True)
    assert requested("", "application/json").resolve(JPEG, False, out) == FormatChoice(JPEG, json=True, as_stored=True)
    with pytest.raises(Unwritable):
        requested("", "*/*").resolve(JPEG, False, out, verbatim=False)
    assert requested("", "*/*").resolve(JPEG, False, failure(JPEG), verbatim=False) == FormatChoice(AVIF)


@pytest.mark.parametrize("raw", ["w=10", "h=10", "w=10&h=10&fit=fill", "type=tiff"])
def test_size_or_a_type_gives_a_rendition_even_in_the_stored_format(raw: str) -> None:
    assert requested(raw).resolve(TIFF, alpha=True) == FormatChoice(TIFF)


@pytest.mark.parametrize("accept", [None, "image/gif", "application/json", "text/html", "image/png;q=0"])
@pytest.mark.parametrize("stored", list(Format))
def test_type_wins_over_accept(stored: Format, accept: str | None) -> None:
    assert requested("type=png", accept).resolve(stored, alpha=False) == FormatChoice(PNG)


@pytest.mark.parametrize(
    ("accept", "stored", "alpha", "format"),
    [
        # no Accept is */*: the stored format ties
        (None, JPEG, False, JPEG),
        (None, GIF, True, GIF),
        (None, TIFF, False, TIFF),
        ("image/*", PNG, True, PNG),
        # the highest q-value wins, over preference and stored format
        ("image/gif, image/webp;q=0.9", PNG, False, GIF),
        ("image/png;q=0.9, image/tiff;q=0.901", PNG, False, TIFF),
        ("image/*;q=0.5, image/webp;q=0.4", WEBP, False, AVIF),
        ("*/*;q=0.1, image/*;q=0.2", GIF, False, GIF),
        # named formats win a tie, by preference
        (CHROME, JPEG, False, AVIF),
        ("image/png, image/jpeg", PNG, False, JPEG),
        ("image/tiff, image/gif;level=1", PNG, False, GIF),
        ("image/gif, image/*", JPEG, False, GIF),
        ("image/gif, */*", JPEG, False, GIF),
        # browsers and old clients
        (CHROME, PNG, True, AVIF),
        (CHROME, GIF, False, AVIF),
        (OLD_CHROME, JPEG, False, WEBP),
        (OLD_CHROME, PNG, True, WEBP),
        (FIREFOX, TIFF, False, AVIF),
        (OLD_FIREFOX, JPEG, False, PNG),
        (SAFARI, BMP, False, AVIF),
        (OLD_SAFARI, TIFF, False, PNG),
        (EXPLORER, PNG, False, JPEG),
        (EXPLORER, PNG, True, GIF),
        (JAVA, PNG, False, JPEG),
        (JAVA, PNG, True, GIF),
        # an alias counts as the full media type
        ("image/jpg;q=0.5, image/*;q=0.4", PNG, False, JPEG),
        ("image/x-png, image/*", JPEG, False, PNG),
        ("image/tif, image/*", JPEG, False, TIFF),
        ("image/pjpeg;q=0, image/*", JPEG, False, AVIF),
        ("image/png;q=.5, image/jpeg;q=.2", JPEG, False, PNG),
        # no format is named and the stored one is excluded: by preference
        ("image/*, image/png;q=0", PNG, False, AVIF),
        ("image/*, image/png;q=0.9, image/avif;q=0", PNG, False, WEBP),
        # an alpha channel rules JPEG out while another format ties
        ("image/jpeg, image/png", PNG, True, PNG),
        ("image/jpeg, image/*", PNG, True, PNG),
        ("image/jpeg, image/*", GIF, True, GIF),
        ("image/jpeg, image/png;q=0.9", PNG, True, JPEG),
        ("image/jpeg", PNG, True, JPEG),
        # BMP and HEIC are replaced
        (None, BMP, False, JPEG),
        (None, HEIC, False, JPEG),
        (None, BMP, True, PNG),
        ("image/*, image/jpeg;q=0.5", HEIC, False, AVIF),
        ("image/bmp, image/gif;q=0.1", BMP, False, GIF),
    ],
)
def test_rendition_gets_the_best_format(accept: str | None, stored: Format, alpha: bool, format: Format) -> None:
    assert requested("w=10", accept).resolve(stored, alpha) == FormatChoice(format)


def test_preference_breaks_ties_and_may_be_incomplete() -> None:
    def resolved(accept: str, *preference: Format) -> Format:
        return requested_picture(Query(width=10), accept, preference).resolve(BMP, alpha=False).format

    assert resolved("image/png, image/gif", GIF, PNG) is GIF
    assert resolved("image/png, image/gif", PNG, GIF) is PNG
    assert resolved("image/tiff, image/png", TIFF) is TIFF
    assert resolved("image/tiff", PNG) is TIFF
    assert resolved("image/bmp, image/png;q=0.1", BMP) is PNG


@pytest.mark.parametrize("stored", [BMP, HEIC])
def test_originals_in_unwritable_formats_are_never_sent_as_stored(stored: Format) -> None:
    assert requested("", f"{stored.media_type}, */*").resolve(stored, alpha=False) == FormatChoice(JPEG)
    assert requested("", None).resolve(stored, alpha=True) == FormatChoice(PNG)


@pytest.mark.parametrize(
    ("raw", "accept", "stored", "alpha", "choice"),
    [
        ("", "application/json; charset=utf-8", JPEG, False, FormatChoice(JPEG, json=True, as_stored=True)),
        ("", "application/json, image/webp;q=0.9", PNG, True, FormatChoice(PNG, json=True, as_stored=True)),
        ("w=10", "application/json", GIF, False, FormatChoice(GIF, json=True)),
        ("", "application/json", BMP, False, FormatChoice(JPEG, json=True)),
        ("w=10", "application/json", HEIC, True, FormatChoice(PNG, json=True)),
        ("w=10", "application/json, */*;q=0.9", TIFF, False, FormatChoice(TIFF, json=True)),
        # JSON loses every tie with a picture, and no wildcard matches it
        ("w=10", "application/json, image/gif", PNG, False, FormatChoice(GIF)),
        ("w=10", "application/json, */*", PNG, False, FormatChoice(PNG)),
        ("", "application/json, image/webp", PNG, False, FormatChoice(WEBP)),
        ("w=10", "application/*, image/gif;q=0.1", PNG, False, FormatChoice(GIF)),
    ],
)
def test_json_is_sent_when_it_has_the_highest_q_value(
    raw: str, accept: str, stored: Format, alpha: bool, choice: FormatChoice
) -> None:
    assert requested(raw, accept).resolve(stored, alpha) == choice


@pytest.mark.parametrize(
    "accept", ["text/html", "application/*", "application/json;q=0", "image/*;q=0", "*/*;q=0", "image/bmp"]
)
def test_error_names_all_formats_when_none_is_acceptable(accept: str) -> None:
    resolvers = (
        partial(requested("w=1", accept).resolve, BMP, False),
        partial(requested("", accept).resolve_placeholder, PNG),
    )
    for resolve in resolvers:
        with pytest.raises(NotAcceptable) as refused:
            resolve()
        for media_type in (*(each.media_type for each in WRITABLE), "application/json"):
            assert media_type in str(refused.value)


@pytest.mark.parametrize(
    ("raw", "accept", "default", "choice"),
    [
        ("", None, PNG, FormatChoice(PNG)),
        ("", "image/*", PNG, FormatChoice(PNG)),
        ("", None, GIF, FormatChoice(GIF)),
        ("type=jpeg", None, PNG, FormatChoice(JPEG)),
        ("", CHROME, PNG, FormatChoice(AVIF)),
        ("", "image/jpeg, image/png", PNG, FormatChoice(PNG)),
        ("", "image/jpeg", PNG, FormatChoice(JPEG)),
        ("", "image/webp, image/png;q=0.5", PNG, FormatChoice(WEBP)),
        ("", "application/json", PNG, FormatChoice(PNG, json=True)),
        ("", "application/json", GIF, FormatChoice(GIF, json=True)),
    ],
)
def test_placeholder_is_negotiated_like_a_rendition(
    raw: str, accept: str | None, default: Format, choice: FormatChoice
) -> None:
    assert requested(raw, accept).resolve_placeholder(default) == choice


@pytest.mark.parametrize(
    ("raw", "size"),
    [
        ("ifBlank=Default", (128, 128)),
        ("ifBlank=SrNoPhoto&w=40", (40, 40)),
        ("ifBlank=SrNoPhoto&h=40", (40, 40)),
        ("ifBlank=GenericFileIcon&w=40&h=30", (40, 30)),
        ("ifBlank=ClearPixel", (1, 1)),
        ("ifBlank=ClearPixel&w=3", (3, 3)),
        ("ifBlank=ClearPixel&w=3&h=2", (3, 2)),
    ],
)
def test_placeholder_has_the_size_of_the_requested_box(raw: str, size: tuple[int, int]) -> None:
    assert requested(raw).placeholder_size() == size


def test_requests_for_the_same_picture_are_equal() -> None:
    assert requested("w=5&x=1", "image/png, text/html") == requested("W=5", " image/PNG;level=2")
    assert requested("type=png", "image/gif") == requested("type=PNG", None)
    assert requested("w=5&h=6&fit=pad&ifBlank=1") == RequestedPicture(
        5, 6, Fit.PAD, IfBlank.CLEAR_PIXEL, None, requested().acceptable, json_quality=0.0
    )


@pytest.mark.parametrize(
    ("raw", "accept"),
    [
        ("w=9&h=9&bg={:06x}", "*/*"),
        ("w=9&h=9&fit=cover&gravity=0.{:02},0.5", "*/*"),
        ("w=9", "image/*, application/json;q=0.{:02}"),
    ],
)
def test_requests_for_other_pictures_have_other_hashes(raw: str, accept: str) -> None:
    """Otherwise a memo would compare each request with all that it has."""
    hashes = {hash(requested(raw.format(each), accept.format(each))) for each in range(100)}
    assert len(hashes) > 90


RANGES = st.tuples(
    st.sampled_from([*(each.media_type for each in Format), "image/*", "*/*", "application/json", "text/html"]),
    st.sampled_from(["", ";q=0", ";q=0.5", ";q=0.501", ";q=1", ";level=1;q=0.5"]),
).map("".join)


@given(
    st.lists(RANGES, max_size=6).map(", ".join),
    st.sampled_from(["", "w=9", "h=9&w=9&fit=pad"]),
    st.sampled_from(Format),
    st.booleans(),
    st.permutations(WRITABLE),
)
def test_choice_is_acceptable_and_nothing_acceptable_is_better(
    accept: str, raw: str, stored: Format, alpha: bool, preference: list[Format]
) -> None:
    accepted = parse_accept(accept)
    qualities = {each: accepted.quality(each.media_type)[0] for each in WRITABLE}
    best = max(qualities.values())
    json = accepted.qualities.get("application/json", 0.0)
    try:
        choice = requested_picture(parse_query(raw, 4096), accept, tuple(preference)).resolve(stored, alpha)
    except NotAcceptable:
        assert best == json == 0
        return
    assert choice.format.writable
    if choice.json:
        assert json > best
    else:
        assert qualities[choice.format] > 0
        assert choice.as_stored or qualities[choice.format] == best >= json
    if choice.as_stored:
        assert choice.format is stored
        assert not raw
    elif alpha and not choice.json and choice.format is JPEG:
        assert all(quality < best for each, quality in qualities.items() if each is not JPEG)
