"""Basic credentials by a users' file: who is let in, at what price, and what becomes of a file that changes."""

import asyncio
import os
import statistics
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from structlog.testing import capture_logs

from service.access.identity import READER, Identity, Role
from service.access.schemes import Basic
from service.access.verifiers.users_file import UsersFile
from service.access.verifiers.users_text import BadUsers
from service.errors import NotAuthenticated, Overloaded, PictureError, VerificationUnavailable

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
DEAR = "$argon2id$v=19$m=131072,t=5,p=1$c29tZSBzYWx0$bm9ib2R5J3MgcGFzc3dvcmQ"
"""Of no password; it takes a good part of a second to find that out."""
ANN, BOB = Basic("ann", "Ann's"), Basic("bob", "Bob's")


def cheap(credential: Basic, roles: str = "") -> str:
    return f"{credential.user}:{CHEAP.hash(credential.password)}{roles}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text(cheap(ANN, ":read,write") + cheap(BOB), "utf-8")
    return path


@pytest.fixture
async def users(path: Path) -> AsyncIterator[UsersFile]:
    users = UsersFile(path, timeout=300)  # its threads give way to all others
    yield users
    await users.close()


async def refused(users: UsersFile, credential: Basic) -> bool:
    try:
        await users.verify(credential, None)
    except NotAuthenticated as error:
        assert str(error) == "The credentials are wrong."
        return True
    return False


async def test_who_is_in_the_file_has_the_roles_that_stand_there(users: UsersFile) -> None:
    assert await users.verify(ANN, None) == Identity(frozenset((Role.READ, Role.WRITE)))
    assert await users.verify(BOB, "an SO-AppToken, which no user needs") == Identity(READER)


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("ann", "Bob's"),
        ("ann", ""),
        ("ann", "ann's"),
        ("ann", "Ann's "),
        ("ann", "Ann's\0"),
        ("Ann", "Ann's"),
        ("an", "Ann's"),
        ("ann ", "Ann's"),
        ("#", ""),
        ("carol", "Ann's"),
        ("\0", "\0"),
        ("u" * 5000, "p" * 5000),
    ],
)
async def test_all_others_are_refused_in_the_same_words(users: UsersFile, user: str, password: str) -> None:
    assert await refused(users, Basic(user, password))


async def test_an_empty_password_is_one_where_the_file_says_so(path: Path, users: UsersFile) -> None:
    path.write_text(cheap(Basic("ann", "")), "utf-8")
    assert await users.verify(Basic("ann", ""), None)
    assert await refused(users, Basic("ann", "x")) and await refused(users, Basic("bob", ""))


async def test_a_password_has_1024_bytes_at_most(path: Path, users: UsersFile) -> None:
    longest = "\u00e6" * 512
    path.write_text(cheap(Basic("ann", longest)), "utf-8")
    assert await users.verify(Basic("ann", longest), None)
    assert await refused(users, Basic("ann", longest + "x"))


async def test_a_wrong_user_takes_as_long_as_a_wrong_password(path: Path, users: UsersFile) -> None:
    dear = PasswordHasher(time_cost=2, memory_cost=16_384, parallelism=1)
    path.write_text(f"ann:{dear.hash(ANN.password)}\nbob:{dear.hash(BOB.password)}\ncarol:{CHEAP.hash('x')}\n", "utf-8")

    async def seconds(credential: Basic) -> float:
        begun = time.process_time()  # not the clock's: other processes take turns too
        assert await refused(users, credential)
        return time.process_time() - begun

    took = {
        name: statistics.median([await seconds(credential) for _ in range(9)])
        for name, credential in {
            "wrong password": Basic("ann", "wrong"),
            "wrong user": Basic("nobody", "wrong"),
            "too long": Basic("ann", "x" * 5000),
            "too long, nobody": Basic("nobody", "x" * 5000),
        }.items()
    }
    assert max(took.values()) < 4 * min(took.values()), took


async def test_the_loop_goes_on_meanwhile(path: Path, users: UsersFile) -> None:
    path.write_text(f"ann:{DEAR}\n", "utf-8")
    asked = asyncio.create_task(refused(users, ANN))
    turns = 0
    while not asked.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert await asked and turns > 10


async def test_two_are_verified_at_once_and_no_more_than_32_wait(users: UsersFile) -> None:
    answers = await asyncio.gather(*(users.verify(ANN, None) for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(each, Identity) for each in answers) == 2 + 32
    late = [each for each in answers if isinstance(each, PictureError)]
    assert len(late) == 16 and all(isinstance(each, Overloaded) for each in late)
    assert str(late[0]) == "Too many credentials wait to be verified."
    assert sum(thread.name.startswith("users") for thread in threading.enumerate()) <= 2
    assert await users.verify(ANN, None)


async def test_what_takes_too_long_is_given_up_and_its_turn_comes_back(path: Path) -> None:
    path.write_text(f"ann:{DEAR}\n{cheap(BOB)}", "utf-8")
    users = UsersFile(path, timeout=0.1)
    answers = await asyncio.gather(*(users.verify(ANN, None) for _ in range(4)), return_exceptions=True)
    assert [type(each) for each in answers] == [VerificationUnavailable] * 4
    assert str(answers[0]) == "The credentials cannot be verified at the moment."
    deadline = time.monotonic() + 60
    for _ in range(2):  # one after the other: both threads are free again
        while True:
            try:
                assert await users.verify(BOB, None) == Identity(READER)
                break
            except VerificationUnavailable:
                assert time.monotonic() < deadline
    await users.close()


async def test_who_leaves_while_waiting_gives_up_the_place(users: UsersFile) -> None:
    tasks = [asyncio.create_task(users.verify(ANN, None)) for _ in range(34)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    answers = await asyncio.gather(*(users.verify(ANN, None) for _ in range(32)))
    assert len(answers) == 32


async def test_a_user_who_is_taken_out_is_refused_from_then_on(path: Path, users: UsersFile) -> None:
    assert await users.verify(ANN, None)
    path.write_text(cheap(BOB), "utf-8")
    assert await refused(users, ANN)
    assert await users.verify(BOB, None)


async def test_a_file_that_is_put_in_its_place_counts_though_it_is_no_longer(path: Path, users: UsersFile) -> None:
    seen = path.stat()
    other = path.with_name("other")
    other.write_text(cheap(ANN, ":read,write") + cheap(Basic("bob", "Rob's")), "utf-8")
    os.utime(other, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert other.stat().st_size == seen.st_size
    other.replace(path)
    assert await refused(users, BOB)
    assert await users.verify(Basic("bob", "Rob's"), None)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text("ann:hush\n"),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.write_bytes(b"#" * 5_000_000),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["fault", "no text", "large", "gone", "folder"],
)
async def test_a_file_that_is_spoilt_leaves_the_users_as_they_were_and_is_told_of_once(
    path: Path, users: UsersFile, spoil: Callable[[Path], object]
) -> None:
    spoil(path)
    with capture_logs() as told:
        for _ in range(3):
            assert await users.verify(BOB, None) and await refused(users, Basic("bob", "wrong"))
    assert [each["event"] for each in told] == ["users.unusable"]
    assert told[0]["log_level"] == "warning" and told[0]["reason"].startswith(f"{path}: ")
    assert "hush" not in str(told) and "Bob's" not in str(told)


async def test_a_file_that_is_mended_counts_again(path: Path, users: UsersFile) -> None:
    path.write_text("ann\n")
    assert await users.verify(BOB, None)
    path.write_text(cheap(ANN), "utf-8")
    with capture_logs() as told:
        assert await users.verify(ANN, None) == Identity(READER)
        assert await refused(users, BOB)
    assert not told


async def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "users"
    with pytest.raises(BadUsers, match="cannot be read: No such file"):
        UsersFile(path)
    path.write_text(f"# users\n{cheap(ANN)}hush:hush\n", "utf-8")
    with pytest.raises(ValueError) as caught:
        UsersFile(path)
    assert str(caught.value).startswith(f"{path}: line 3: ") and "hush" not in str(caught.value)


async def test_a_file_by_an_editor_of_windows_is_read(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + cheap(ANN).replace("\n", "\r\n").encode())
    users = UsersFile(path, timeout=30)
    assert await users.verify(ANN, None)
    await users.close()


def test_closed_it_leaves_no_thread_and_nothing_is_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text(f"ann:{DEAR}\n", "utf-8")

    async def leave_while_it_verifies() -> None:
        users = UsersFile(path, timeout=30)
        asked = asyncio.create_task(users.verify(ANN, None))
        await asyncio.sleep(0.01)
        asked.cancel()
        await users.close()

    before = set(threading.enumerate())
    asyncio.run(leave_while_it_verifies())
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive()
    assert not caplog.records


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority of its own")
async def test_hits_come_first(users: UsersFile) -> None:
    nice = await asyncio.get_running_loop().run_in_executor(
        users._threads, lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    )
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert nice == max(own, 10)
