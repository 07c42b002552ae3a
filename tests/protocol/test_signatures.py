"""Signatures: equivalent spellings of a target verify, other targets do not (docs/contract.md, section 7)."""

import base64
import hashlib
import hmac
from random import Random
from urllib.parse import parse_qsl, quote, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Forbidden
from service.protocol.query import parse_query
from service.protocol.signatures import Signed, has_signature, parse_key, sign, verify

PATH = "/api/v1/Contact/42/Image"
EXP = 2_000_000_000
NOW = 1_900_000_000.0
SECRET = b"a-test-vector-is-no-secret"
KEYS = {"k1": SECRET, "k2": b"another"}
WRONG = "The signature of the URL is missing or wrong."
FOREIGN = (
    "A signed URL may have no other parameters than w, h, type, ifBlank, fit, dpr, enlarge, gravity, bg, preset, v, "
    "name, kid, exp, sig."
)

BARE = f"{PATH}?w=64&type=image/png&ifBlank=SrNoPhoto"
VECTOR = f"{BARE}&kid=k1&exp={EXP}&sig=V2WkqGb53wvc6ND1ygbTfkiDymJNiZMiUyhZ4yMPq7w"
"""Published in `docs/access.md`, and made by openssl:

printf 'GET\n/api/v1/contact/42/image\nexp=2000000000&ifblank=SrNoPhoto&kid=k1&type=image%%2Fpng&w=64' |
openssl dgst -sha256 -hmac a-test-vector-is-no-secret -binary | openssl base64 | tr '+/' '-_' | tr -d '='
"""


EVERY = (
    f"{PATH}?w=64&h=96&type=webp&ifBlank=Initials&fit=cover&dpr=1.5&enlarge=false&gravity=0.5,0&bg=FF8000&preset=avatar"
    "&v=17&name=%C3%85se+Berg"
)
EVERY_VECTOR = f"{EVERY}&kid=k1&exp={EXP}&sig=-PKnS5GUIe7_8YKdwkifGJTZ2eRatSqIGVKaaddLN3E"
"""The same with every parameter, published too. Its parameters, sorted: bg=FF8000&dpr=1.5&enlarge=false&exp=2000000000&
fit=cover&gravity=0.5%2C0&h=96&ifblank=Initials&kid=k1&name=%C3%85se%20Berg&preset=avatar&type=webp&v=17&w=64
"""


def refusal(target: str, now: float = NOW) -> str:
    with pytest.raises(Forbidden) as caught:
        verify(target, KEYS, now)
    return str(caught.value)


def meaning(target: str) -> tuple[str, list[tuple[str, str]]]:
    """Return what *target* means, as the standard library parses it."""
    path, _, query = target.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True, encoding="latin-1")
    return path.removesuffix("/").lower(), sorted((name.lower(), value) for name, value in pairs)


def test_published_vector_is_signed_and_verified() -> None:
    assert sign(BARE, "k1", SECRET, EXP) == VECTOR
    assert verify(VECTOR, KEYS, NOW) == Signed(EXP, BARE)


def test_every_parameter_is_signed_as_it_was_sent() -> None:
    assert sign(EVERY, "k1", SECRET, EXP) == EVERY_VECTOR
    assert verify(EVERY_VECTOR, KEYS, NOW) == Signed(EXP, EVERY)
    for part in EVERY.partition("?")[2].split("&"):
        assert refusal(EVERY_VECTOR.replace(part, f"{part}0")) == WRONG
    assert refusal(EVERY_VECTOR.replace("FF8000", "ff8000")) == WRONG


def by_the_rule(path: str) -> str:
    """Return the signature of `VECTOR` with *path*, by the rule of the contract."""
    pairs = {"kid": "k1", "exp": str(EXP), "w": "64", "type": "image/png", "ifblank": "SrNoPhoto"}
    parameters = "&".join(sorted(f"{name}={quote(value, safe='')}" for name, value in pairs.items()))
    digest = hmac.new(SECRET, f"GET\n{path.lower()}\n{parameters}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_rule_of_the_contract_gives_the_same_signature() -> None:
    assert VECTOR.endswith(f"&sig={by_the_rule(PATH)}")


def test_slash_at_the_end_of_the_path_does_not_change_the_signature() -> None:
    slashed = VECTOR.replace("/Image", "/Image/")
    assert verify(slashed, KEYS, NOW) == Signed(EXP, BARE.replace("/Image", "/Image/"))
    assert sign(BARE.replace("/Image", "/Image/"), "k1", SECRET, EXP) == slashed
    for target in (VECTOR, slashed):  # signed by other programs with the path as it is
        by_other = target.partition("&sig=")[0] + f"&sig={by_the_rule(f'{PATH}/')}"
        assert verify(by_other, KEYS, NOW).exp == EXP
    twice = VECTOR.partition("&sig=")[0] + f"&sig={by_the_rule(f'{PATH}//')}"
    assert refusal(twice) == WRONG


def test_path_without_query_can_be_signed() -> None:
    target = sign(PATH, "k1", SECRET, EXP)
    assert target.startswith(f"{PATH}?kid=k1&exp={EXP}&sig=")
    assert verify(target, KEYS, NOW) == Signed(EXP, PATH)


def test_signing_again_replaces_the_signature() -> None:
    again = sign(VECTOR, "k2", KEYS["k2"], EXP + 1)
    assert verify(again, KEYS, NOW) == Signed(EXP + 1, BARE)
    assert again.count("sig=") == again.count("kid=") == again.count("exp=") == 1


def test_every_key_verifies() -> None:
    for kid, secret in KEYS.items():
        assert verify(sign(BARE, kid, secret, EXP), KEYS, NOW).target == BARE


def test_removed_key_does_not_verify() -> None:
    with pytest.raises(Forbidden, match="missing or wrong"):
        verify(VECTOR, {"k2": SECRET}, NOW)
    with pytest.raises(Forbidden, match="missing or wrong"):
        verify(VECTOR, {}, NOW)


def test_unknown_key_id_does_not_verify_with_the_decoy_secret() -> None:
    assert refusal(sign(BARE, "k9", bytes(32), EXP)) == WRONG


def test_signature_is_valid_until_its_expiry() -> None:
    assert verify(VECTOR, KEYS, EXP - 0.001).exp == EXP
    assert refusal(VECTOR, EXP) == "The signed URL has expired."


def test_wrong_signature_is_not_reported_as_expired() -> None:
    assert refusal(VECTOR.replace("w=64", "w=65"), EXP + 1) == WRONG


@pytest.mark.parametrize(
    "target",
    [
        VECTOR.replace("42", "43"),
        VECTOR.replace("/Image", "/Imageinfo"),
        VECTOR.replace("/42/", "/42/../42/"),
        VECTOR.replace("/42/", "/./42/"),
        VECTOR.replace("/42/", "//42/"),
        VECTOR.replace("/42/", "/%34%32/"),
        VECTOR.replace("/42/", "/%2e/42/"),
        VECTOR.replace("/Image", "/Image//"),
        VECTOR.replace("/Image", "/Image%2F"),
        VECTOR.replace("/Image", "/Image/."),
        VECTOR.replace("/42/Image", "/42"),
        VECTOR.replace("/Image", "/Image;x"),
        f"http://other.example{VECTOR}",
        f"/{VECTOR}",
        VECTOR.replace("w=64", "w=65"),
        VECTOR.replace("w=64", "w=064"),
        VECTOR.replace("w=64", "w=%2064"),
        VECTOR.replace("w=64&", ""),
        VECTOR.replace("w=64", "w="),
        VECTOR.replace("w=64", "w=64&w=64"),
        VECTOR.replace("w=64", "w=64&w=65"),
        VECTOR.replace("w=64", "w=64&h=64"),
        VECTOR.replace("w=64", "h=64"),
        VECTOR.replace("image/png", "image/PNG"),
        VECTOR.replace("SrNoPhoto", "srnophoto"),
        VECTOR.replace(f"exp={EXP}", f"exp={EXP + 1}"),
        VECTOR.replace(f"exp={EXP}", f"exp=0{EXP}"),
        VECTOR.replace(f"exp={EXP}", "exp="),
        VECTOR.replace(f"exp={EXP}", "exp=-1"),
        VECTOR.replace("kid=k1", "kid=k2"),
        VECTOR.replace("kid=k1", "kid=K1"),
        VECTOR.replace("kid=k1", "kid="),
        VECTOR.replace("kid=k1&", ""),
        VECTOR.replace(f"exp={EXP}&", ""),
        VECTOR.partition("&sig=")[0],
        VECTOR.partition("sig=")[0] + "sig=",
        VECTOR + "=",
        VECTOR + "%3D",
        VECTOR[:-1],
        VECTOR[:-1] + "x",  # the surplus bits of base64
        VECTOR.replace("V2Wk", "v2Wk"),
        VECTOR + "&sig=" + VECTOR.partition("sig=")[2],
        VECTOR + "&kid=k1",
        VECTOR + f"&EXP={EXP}",
        VECTOR + f"&%65xp={EXP}",
        VECTOR + "#",
        VECTOR.replace("?", "#?"),
        VECTOR.replace("&kid", "#&kid"),
        VECTOR.replace("image/png", "image/pn\u0261"),
        VECTOR.replace("image/png", "image/png\udcff"),
        VECTOR.replace("image/png", "image/png\0"),
        VECTOR.replace("image/png", "image/png "),
        VECTOR.replace("w=64", "w=64&w"),
        VECTOR + "&w=" * 3000,
        VECTOR + "&w=" + "6" * 9000,
        PATH,
        "",
    ],
)
def test_altered_target_is_refused(target: str) -> None:
    assert refusal(target) == WRONG


@pytest.mark.parametrize("exp", ["1e9", "0x77359400", "2000000000.0", "+2000000000", "9" * 13, "\u0662"])
def test_signed_expiry_must_be_digits(exp: str) -> None:
    unsigned = f"{PATH}?exp={quote(exp)}&kid=k1"
    parameters = f"exp={quote(exp, safe='')}&kid=k1"
    digest = hmac.digest(SECRET, f"GET\n{PATH.lower()}\n{parameters}".encode(), "sha256")
    assert refusal(f"{unsigned}&sig={base64.urlsafe_b64encode(digest).decode().rstrip('=')}") == WRONG


@pytest.mark.parametrize(
    "more", ["x=1", "", "=", "version=2", "cachebuster", "w%00=64", "w%20=64", "%E2%84%AAid=k1", "sig%00="]
)
def test_other_parameters_are_refused_with_a_signature(more: str) -> None:
    assert refusal(f"{VECTOR}&{more}") == FOREIGN
    assert refusal(VECTOR.replace("?", f"?{more}&")) == FOREIGN
    with pytest.raises(Forbidden, match="no other parameters"):
        sign(f"{PATH}?w=64&{more}", "k1", SECRET, EXP)


def test_value_that_is_not_utf_8_can_be_signed() -> None:
    target = sign(f"{PATH}?type=%ff", "k1", SECRET, EXP)
    assert verify(target, KEYS, NOW).target == f"{PATH}?type=%ff"
    assert refusal(target.replace("%ff", "%fe")) == WRONG
    assert refusal(target.replace("%ff", "%EF%BF%BD")) == WRONG


@pytest.mark.parametrize("mark", ["#", " ", "\n", "\x7f"])
def test_forbidden_character_is_not_equivalent_to_its_encoding(mark: str) -> None:
    target = sign(f"{PATH}?fit=a{quote(mark)}b", "k1", SECRET, EXP)
    assert verify(target, KEYS, NOW)
    assert refusal(target.replace(quote(mark), mark)) == WRONG


def respell(text: str, random: Random, *, any_case: bool = False) -> str:
    """Return *text* with some characters percent-encoded, and with *any_case* its letters in any case."""
    written = []
    for letter in text:
        letter = random.choice([letter.lower(), letter.upper()]) if any_case else letter
        forms = [f"%{ord(letter):02x}", f"%{ord(letter):02X}"]
        if letter not in "&+%#=" and "!" <= letter <= "~":
            forms.append(letter)
        if letter == " ":
            forms.append("+")
        written.append(random.choice(forms))
    return "".join(written)


def respell_target(target: str, random: Random) -> str:
    """Return an equivalent of *target*: its parameters in any order, all in any equivalent spelling."""
    path, _, query = target.partition("?")
    pieces = []
    for piece in random.sample(parts := query.split("&"), len(parts)):
        name, _, value = (unquote_plus(part, encoding="latin-1") for part in piece.partition("="))
        pieces.append(f"{respell(name, random, any_case=True)}={respell(value, random)}")
    path = "".join(random.choice([letter.lower(), letter.upper()]) for letter in path)
    return f"{path}{random.choice(['', '/'])}?{'&'.join(pieces)}"


randoms = st.integers(0, 2**32).map(Random)
queries = st.fixed_dictionaries(
    {},
    optional={
        "w": st.integers(0, 4096).map(str),
        "h": st.integers(0, 4096).map(str),
        "type": st.sampled_from(["JPEG", "image/png", "webp"]),
        "ifBlank": st.sampled_from(["SrNoPhoto", "1"]),
        "fit": st.sampled_from(["pad", "a b+c&d=e%#?\u00e6"]),
    },
).map(lambda pairs: "&".join(f"{name}={quote(value)}" for name, value in pairs.items()))


@given(queries, randoms)
def test_every_equivalent_spelling_verifies(query: str, random: Random) -> None:
    bare = f"{PATH}?{query}".rstrip("?")
    target = respell_target(sign(bare, "k1", SECRET, EXP), random)
    signed = verify(target, KEYS, NOW)
    assert signed.exp == EXP
    assert meaning(signed.target) == meaning(bare)
    assert not has_signature(signed.target)
    if "fit" not in query:
        assert parse_query(signed.target.partition("?")[2], 4096) == parse_query(query, 4096)


visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
edits = st.tuples(st.integers(0, len(VECTOR)), st.integers(0, 3), st.text(visible, max_size=4))


@given(st.lists(edits, min_size=1, max_size=3))
def test_edited_target_that_verifies_has_the_same_meaning(changes: list[tuple[int, int, str]]) -> None:
    target = VECTOR
    for at, dropped, put in changes:
        target = target[:at] + put + target[at + dropped :]
    try:
        signed = verify(target, KEYS, NOW)
    except Forbidden:
        return
    assert meaning(target) == meaning(VECTOR)
    assert signed.exp == EXP and meaning(signed.target) == meaning(BARE)


names = st.sampled_from(["kid", "exp", "sig", "w", "siga", "xsig", "ki", ""])


@given(st.lists(names, max_size=4), randoms)
def test_signature_is_recognised_in_any_spelling(names: list[str], random: Random) -> None:
    pieces = [respell(name, random, any_case=True) + random.choice(["", "=1?sig"]) for name in names]
    assert has_signature(f"{PATH}?{'&'.join(pieces)}") == any(name in ("kid", "exp", "sig") for name in names)


@given(st.text(visible, max_size=60))
def test_any_other_target_is_refused(text: str) -> None:
    assert has_signature(text) == any(
        unquote_plus(piece.partition("=")[0], encoding="latin-1").lower() in ("kid", "exp", "sig")
        for piece in text.partition("?")[2].split("&")
    )
    assert refusal(text) in (WRONG, FOREIGN)


@pytest.mark.parametrize("target", [PATH, f"{PATH}?", f"{PATH}&sig=1", f"{PATH}?w=1?sig=1", f"{PATH}?%E2%84%AAid=1"])
def test_target_without_a_signature_is_recognised(target: str) -> None:
    assert not has_signature(target)


def test_secret_of_a_key_may_have_any_characters() -> None:
    assert parse_key("k1:a:b c") == ("k1", b"a:b c")
    assert parse_key("2026-01.x_:\u00e6") == ("2026-01.x_", "\u00e6".encode())


@pytest.mark.parametrize(
    "text", ["", "k1", "k1:", ":hush", "k 1:hush", "k1\n:hush", "\u00e6:hush", f"{'k' * 65}:hush", "hush"]
)
def test_malformed_key_is_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="id:secret") as caught:
        parse_key(text)
    assert "hush" not in str(caught.value) and caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("target", [f"{PATH}?{'&'.join(['w=1'] * 13)}", f"{PATH}{'&w' * 15}", f"{PATH}?w={'1' * 8100}"])
def test_target_whose_signature_would_be_refused_is_not_signed(target: str) -> None:
    with pytest.raises(Forbidden):
        sign(target, "k1", SECRET, EXP)
