"""The lines of a users' file, and the faults in them."""

import pytest
from argon2 import PasswordHasher, extract_parameters
from hypothesis import given
from hypothesis import strategies as st

from service.access.identity import READER, Identity, Role
from service.access.verifiers.users_text import BadUsers, decoys, line, matches, parse, put
from tests.conftest import examples

SALT, DIGEST = "c2l4dGVlbiBvZiBzYWx0IQ", "ZWZnaGlqa2xtbm9wcXJzdHV2d3h5ent8fX5/gIGCg4Q"
HASH = f"$argon2id$v=19$m=8,t=1,p=1${SALT}${DIGEST}"


def with_cost(cost: str) -> str:
    return f"$argon2id$v=19${cost}${SALT}${DIGEST}"


def test_line_has_a_user_and_a_hash_of_rfc_9106() -> None:
    (name, user), *others = parse(line("tje0", "Tje0", [Role.WRITE, Role.READ])).items()
    assert name == "tje0" and not others
    assert user.identity == Identity(frozenset((Role.READ, Role.WRITE)))
    assert user.hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert matches(user.hash, b"Tje0") and not matches(user.hash, b"tje0")


def test_roles_are_written_in_their_order() -> None:
    assert line("a", "b", list(Role)).endswith(":read,write,purge")
    assert line("a", "b").count(":") == 1


def test_equal_passwords_give_different_lines() -> None:
    assert line("tje0", "Tje0") != line("tje0", "Tje0")


def test_comments_and_blank_lines_are_skipped() -> None:
    users = parse(f"# a comment\r\n\n  \n#old:{HASH}\nann:{HASH}\r\nbob:{HASH}:purge, read\n")
    assert {name: user.identity.roles for name, user in users.items()} == {
        "ann": READER,
        "bob": {Role.READ, Role.PURGE},
    }


def test_empty_file_has_no_users() -> None:
    assert parse("") == {}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("hush", "must be user:hash"),
        (f"hush:{HASH}:read:more", "must be user:hash"),
        (f":{HASH}", "name"),
        (f" hush:{HASH}", "name"),
        (f"hu\tsh:{HASH}", "name"),
        (f"hu\u2028sh:{HASH}", "name"),
        (f"\ufeffhush:{HASH}", "name"),
        ("hush:", "argon2id"),
        ("hush:Tje0", "argon2id"),
        ("hush:$2b$12$abcdefghijklmnopqrstuv", "argon2id"),
        (f"hush:{HASH.replace('argon2id', 'argon2i')}", "argon2id"),
        (f"hush:{HASH.replace('v=19', 'v=16')}", "argon2id"),
        (f"hush:{HASH} ", "argon2id"),
        (f"hush:{HASH[:-1]}", "argon2id"),
        (f"hush:{HASH[:-1]}/", "argon2id"),
        (f"hush:{with_cost('m=08,t=1,p=1')}", "argon2id"),
        (f"hush:{with_cost('m=8,t=0,p=1')}", "argon2id"),
        (f"hush:{with_cost('m=' + '9' * 5000 + ',t=1,p=1')}", "argon2id"),
        (f"hush:{with_cost('m=262145,t=1,p=1')}", "256 MiB"),
        (f"hush:{with_cost('m=8,t=11,p=1')}", "256 MiB"),
        (f"hush:{with_cost('m=80,t=1,p=9')}", "256 MiB"),
        (f"hush:{with_cost('m=15,t=1,p=2')}", "256 MiB"),
        (f"hush:{HASH}:", "roles"),
        (f"hush:{HASH}:admin", "roles"),
        (f"hush:{HASH}:Read", "roles"),
        (f"hush:{HASH}:read,", "roles"),
        (f"ann:{HASH}", "already"),
    ],
)
def test_fault_is_reported_with_its_line_and_not_quoted(fault: str, words: str) -> None:
    with pytest.raises(BadUsers) as caught:
        parse(f"# users\nann:{HASH}\n{fault}\n")
    text = str(caught.value)
    assert text.startswith("line 3: ") and words in text
    assert "hush" not in text and DIGEST[:8] not in text and "admin" not in text


costs = st.tuples(st.integers(1, 40), st.integers(0, 3), st.integers(0, 3)).map(lambda m: "m={},t={},p={}".format(*m))
base64 = st.text("ABYZabyz0189+/", min_size=8, max_size=48)


@examples(300)
@given(costs, base64, base64)
def test_every_accepted_hash_can_be_verified(cost: str, salt: str, digest: str) -> None:
    try:
        (user,) = parse(f"ann:$argon2id$v=19${cost}${salt}${digest}").values()
    except BadUsers:
        return
    assert matches(user.hash, b"a password") is False


@pytest.mark.parametrize("name", ["", "a:b", "#a", " a", "a ", "a\nb", "a\0", "\u2028", "\ud800"])
def test_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        line(name, "Tje0")


@pytest.mark.parametrize("password", ["hush\n", "hu\0sh", "hush\x7f", "hush\udcff", "hush" * 256 + "!"])
def test_invalid_password_is_refused_and_not_quoted(password: str) -> None:
    with pytest.raises(ValueError, match="password") as caught:
        line("ann", password)
    assert "hush" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_names_and_passwords_may_have_any_letters() -> None:
    ((name, user),) = parse(line("Мария Ørn", "påsse\u0301ord 密码")).items()
    assert name == "Мария Ørn"
    assert matches(user.hash, "påsse\u0301ord 密码".encode())
    assert not matches(user.hash, "påss\u00e9ord 密码".encode())


def test_line_of_a_user_is_replaced_in_place() -> None:
    before = f"# users\nann:{HASH}\n\nbob:{HASH}"
    assert put(before, "ann", "ann:new") == f"# users\nann:new\n\nbob:{HASH}\n"
    assert put(before, "bob", "bob:new") == f"# users\nann:{HASH}\n\nbob:new\n"
    assert put(before, "an", "an:new") == f"{before}\nan:new\n"
    assert put("", "ann", "ann:new") == "ann:new\n"


def test_decoys_have_every_cost_once_and_match_nothing() -> None:
    lines = [
        f"u{number}:{with_cost(cost)}" for number, cost in enumerate(["m=8,t=1,p=1", "m=16,t=2,p=1", "m=16,t=2,p=1"])
    ]
    found = decoys(parse("\n".join(lines)))
    assert list(found) == ["m=8,t=1,p=1", "m=16,t=2,p=1"]
    costs = [extract_parameters(each) for each in found.values()]
    assert [(each.memory_cost, each.time_cost, each.parallelism) for each in costs] == [(8, 1, 1), (16, 2, 1)]
    assert not any(matches(each, b"") for each in found.values())
    (usual,) = decoys({}).values()
    assert extract_parameters(usual) == extract_parameters(PasswordHasher().hash(""))


def test_repr_shows_no_hash() -> None:
    assert DIGEST not in repr(parse(f"ann:{HASH}"))
