"""Targets: the texts in the head of a request."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from service.access.schemes import SCHEMES, parse_field
from service.access.verifiers.jwt import is_jwt
from service.errors import BadParameter, Forbidden, NotAcceptable, PictureError
from service.formats import Format
from service.protocol.accept import parse_accept
from service.protocol.conditionals import http_date, if_range_holds, not_modified, preconditions_hold
from service.protocol.languages import ENGLISH, Languages
from service.protocol.negotiate import requested_picture
from service.protocol.origins import parse_origin
from service.protocol.query import Query, parse_contact_id, parse_query
from service.protocol.ranges import content_range, parse_range
from service.protocol.signatures import has_signature, sign, verify
from service.protocol.time_zones import parse_time_zone
from service.web.client_address import address_in_turn, client_address
from tools.fuzz.target import text

_ETAG, _MODIFIED = '"an-entity-tag"', 1_780_000_000
_LENGTH = 4_000
"""Bytes of the picture whose ranges are parsed."""
_SIDE = 4_096
"""Pixels of a side at most."""
_LANGUAGES = Languages.load()
_PROXIES = (ip_network("127.0.0.0/8"), ip_network("::/16"))
_SECRET = b"secret of a fuzzer"


def accept(data: bytes) -> None:
    """Choose a format by `Accept`."""
    value = text(data)
    assert all(0 <= parse_accept(value).quality(kind.media_type, kind.aliases)[0] <= 1 for kind in Format)
    for query in (Query(), Query(width=1)):
        picture = requested_picture(query, value, (Format.AVIF, Format.WEBP))
        for stored in Format:
            try:
                chosen = picture.resolve(stored, alpha=bool(query.width))
            except NotAcceptable as error:
                _refused(error)
            else:
                assert chosen.format.writable


def accept_corpus() -> Iterator[bytes]:
    """Yield fields of browsers and libraries, and malformed ones."""
    yield b""
    yield b"image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
    yield b"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"
    yield b'image/png;a="b\\",c";q=0.001, image/*;q=1.000;x=y, application/json'
    yield b"image/tiff;q=0, image/heic;;, image/;q=1, */png, image/jpeg;q=1.1"


def query(data: bytes) -> None:
    """Parse a query, and an id of a contact."""
    value = text(data)
    for call in (lambda: parse_query(value, _SIDE), lambda: parse_contact_id(value)):
        try:
            parsed = call()
        except BadParameter as error:
            _refused(error)
        else:
            sides = (parsed.width, parsed.height) if isinstance(parsed, Query) else ()
            assert all(side is None or 0 < side <= _SIDE for side in sides)


def query_corpus() -> Iterator[bytes]:
    """Yield queries with every parameter, and ids."""
    yield b"w=319&h=%32%30&fit=cover&type=image%2Fwebp&ifBlank=ClearPixel"
    yield b"W=-1&h=0&type=jpg&ifblank=5&w=-1&fit=pad&x=%ff&&="
    yield b"h=4097&fit=%ff&type=+&ifBlank=Sr+No+Photo"
    yield b"-2147483648"


def fields(data: bytes) -> None:
    """Parse the fields of conditions, ranges, languages, zones, origins and forwarded addresses: one a line."""
    first, second, third, *_ = [*text(data).split("\n", 2), None, None, None]
    assert first is not None
    for etag, modified in ((_ETAG, _MODIFIED), (_ETAG, None)):
        not_modified(etag, modified, first, second)
        not_modified(etag, modified, None, first)
        if_range_holds(etag, modified, first, _MODIFIED + 9)
        preconditions_hold(etag, modified, first, second, third)
        preconditions_hold(None, modified, None, first, second)
        preconditions_hold(etag, modified, None, None, first)
    span = parse_range(first, _LENGTH)
    if span is not None:
        assert 0 <= span.start <= span.stop <= _LENGTH or not span
        content_range(span, _LENGTH)
    assert _LANGUAGES.choose(first, second) in (ENGLISH, *_LANGUAGES.catalogues)
    culture = _LANGUAGES.culture(first, second, third)
    assert culture is None or culture in _LANGUAGES.cultures
    origin = parse_origin(first)
    assert origin is None or parse_origin(origin) == origin
    lines = [line for line in (first, second, third) if line is not None]
    assert client_address("127.0.0.1", lines, _PROXIES)
    address_in_turn("::1", lines, _PROXIES)
    try:
        parse_time_zone(first)
    except BadParameter as error:
        _refused(error)


def fields_corpus() -> Iterator[bytes]:
    """Yield a sound value of every field, and some malformed ones."""
    yield f'{_ETAG}, W/"b" ,,"\xff"\n{http_date(_MODIFIED)}\n*'.encode()
    yield b"Sunday, 06-Nov-94 08:49:37 GMT\nSun Nov  6 08:49:37 1994\nSun, 06 Nov 1994 08:49:37 +0000"
    yield b"bytes=0-99\nbytes = -5\nbytes=3990-, 1-2"
    yield b"pt-BR;q=0.9, nn, *;q=0\nda_DK\nde-CH"
    yield b"US-NY, includeTZOffset\nEurope/Oslo\n261"
    yield b"https://[2001:db8::1]:8443\nnull\nhttp://a.example:80"
    yield b"203.0.113.9:80, [2001:db8::1]:443\n::ffff:127.0.0.1, unknown\nfe80::1%eth0"


def signatures(data: bytes) -> None:
    """Verify the signature of a target, and sign the target."""
    target, keys = text(data), {"k": _SECRET}
    has_signature(target)
    try:
        verify(target, keys, 0)
    except Forbidden as error:
        _refused(error)
    try:
        signed = sign(target, "k", _SECRET, 9)
    except Forbidden as error:
        _refused(error)
    else:
        assert has_signature(signed)
        assert verify(signed, keys, 8).exp == 9


def signatures_corpus() -> Iterator[bytes]:
    """Yield targets with and without a signature."""
    for target in ("/api/v1/Contact/1/Image", "/api/v1/contact/7/image/?w=%33&h=20&fit=cover&type=webp&ifBlank=4"):
        yield target.encode()
        yield sign(target, "k", _SECRET, 999_999_999).encode()
    yield b"/a?%6bid=k&EXP=9&sig=&w"


def credentials(data: bytes) -> None:
    """Parse the fields that carry credentials."""
    value = text(data)
    for name in {row.field for row in SCHEMES.values() if row.field}:
        credential = parse_field(name, [value])
        assert credential is None or value not in repr(credential)
    is_jwt(value)


def credentials_corpus() -> Iterator[bytes]:
    """Yield a credential of every scheme."""
    yield b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    token = b".".join((b"eyJhbGciOiJFUzI1NiJ9", b"e30", b"AA"))
    yield token
    yield b"Bearer " + token
    yield b"SoTicket 7T:abc=="


def _refused(error: PictureError) -> None:
    """Write the text of the *error* in a language, as its answer does."""
    assert _LANGUAGES.words(error.message, error.values, "de", "de-CH")
