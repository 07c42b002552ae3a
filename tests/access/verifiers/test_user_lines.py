"""The lines of a users' file: what they mean, and which are faults."""

import pytest
from argon2 import PasswordHasher, extract_parameters
from hypothesis import given
from hypothesis import strategies as st

from service.access.identity import READER, Identity, Role
from service.access.verifiers.users_text import BadUsers, decoy, line, matches, parse, put
from tests.conftest import examples

SALT, DIGEST = "c2l4dGVlbiBvZiBzYWx0IQ", "ZWZnaGlqa2xtbm9wcXJzdHV2d3h5ent8fX5/gIGCg4Q"
HASH = f"$argon2id$v=19$m=8,t=1,p=1${SALT}${DIGEST}"


def with_cost(cost: str) -> str:
    return f"$argon2id$v=19${cost}${SALT}${DIGEST}"


def test_a_line_is_one_user_with_a_hash_of_rfc_9106() -> None:
    (name, user), *others = parse(line("tje0", "Tje0", [Role.WRITE, Role.READ])).items()
    assert name == "tje0" and not others
    assert user.identity == Identity(frozenset((Role.READ, Role.WRITE)))
    assert user.hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert matches(user.hash, b"Tje0") and not matches(user.hash, b"tje0")


def test_roles_stand_in_their_order() -> None:
    assert line("a", "b", list(Role)).endswith(":read,write,purge")
    assert line("a", "b").count(":") == 1


def test_the_same_password_never_gives_the_same_line() -> None:
    assert line("tje0", "Tje0") != line("tje0", "Tje0")


def test_comments_and_blank_lines_are_left_out() -> None:
    users = parse(f"# who may look\r\n\n  \n#old:{HASH}\nann:{HASH}\r\nbob:{HASH}:purge, read\n")
    assert {name: user.identity.roles for name, user in users.items()} == {
        "ann": READER,
        "bob": {Role.READ, Role.PURGE},
    }


def test_nobody_is_a_file_too() -> None:
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
def test_a_fault_is_told_by_its_line_and_not_shown(fault: str, words: str) -> None:
    with pytest.raises(BadUsers) as caught:
        parse(f"# users\nann:{HASH}\n{fault}\n")
    told = str(caught.value)
    assert told.startswith("line 3: ") and words in told
    assert "hush" not in told and DIGEST[:8] not in told and "admin" not in told


costs = st.tuples(st.integers(1, 40), st.integers(0, 3), st.integers(0, 3)).map(lambda m: "m={},t={},p={}".format(*m))
base64 = st.text("ABYZabyz0189+/", min_size=8, max_size=48)


@examples(300)
@given(costs, base64, base64)
def test_every_hash_that_is_taken_can_be_verified(cost: str, salt: str, digest: str) -> None:
    try:
        (user,) = parse(f"ann:$argon2id$v=19${cost}${salt}${digest}").values()
    except BadUsers:
        return
    assert matches(user.hash, b"a password") is False


@pytest.mark.parametrize("name", ["", "a:b", "#a", " a", "a ", "a\nb", "a\0", "\u2028", "\ud800"])
def test_a_name_that_would_not_be_found_again_makes_no_line(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        line(name, "Tje0")


@pytest.mark.parametrize("password", ["hush\n", "hu\0sh", "hush\x7f", "hush\udcff", "hush" * 256 + "!"])
def test_a_password_that_cannot_be_sent_makes_no_line_and_is_not_shown(password: str) -> None:
    with pytest.raises(ValueError, match="password") as caught:
        line("ann", password)
    assert "hush" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_names_and_passwords_of_any_language_come_back() -> None:
    ((name, user),) = parse(line("Мария Ørn", "påsse\u0301ord 密码")).items()
    assert name == "Мария Ørn"
    assert matches(user.hash, "påsse\u0301ord 密码".encode())
    assert not matches(user.hash, "påss\u00e9ord 密码".encode())


def test_a_user_is_put_where_they_were_and_all_else_stays() -> None:
    before = f"# users\nann:{HASH}\n\nbob:{HASH}"
    assert put(before, "ann", "ann:new") == f"# users\nann:new\n\nbob:{HASH}\n"
    assert put(before, "bob", "bob:new") == f"# users\nann:{HASH}\n\nbob:new\n"
    assert put(before, "an", "an:new") == f"{before}\nan:new\n"
    assert put("", "ann", "ann:new") == "ann:new\n"


def test_nobody_costs_what_most_do() -> None:
    lines = [
        f"u{number}:{with_cost(cost)}" for number, cost in enumerate(["m=8,t=1,p=1", "m=16,t=2,p=1", "m=16,t=2,p=1"])
    ]
    found = extract_parameters(decoy(parse("\n".join(lines))))
    assert (found.memory_cost, found.time_cost, found.parallelism) == (16, 2, 1)
    assert extract_parameters(decoy({})) == extract_parameters(PasswordHasher().hash(""))
    assert not matches(decoy(parse(lines[0])), b"")


def test_nothing_shows_a_hash() -> None:
    assert DIGEST not in repr(parse(f"ann:{HASH}"))
