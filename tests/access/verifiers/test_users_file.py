"""Verification by a users' file: results, cost, and changes of the file."""

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
from service.access.ports import BadFile
from service.access.schemes import Basic
from service.access.verifiers.users_file import UsersFile
from service.access.verifiers.users_text import cost_of, matches
from service.access.verifiers.watched_file import WatchedFile
from service.errors import NotAuthenticated, Overloaded, PictureError, VerificationUnavailable

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
COSTLY = "$argon2id$v=19$m=131072,t=5,p=1$c29tZSBzYWx0$bm9ib2R5J3MgcGFzc3dvcmQ"
"""A hash that matches no password. A comparison takes a large part of a second."""
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
    users = UsersFile(path, timeout=300)  # its threads have a low priority
    yield users
    await users.close()


async def refused(users: UsersFile, credential: Basic) -> bool:
    try:
        await users.verify(credential, None)
    except NotAuthenticated as error:
        assert str(error) == "The credentials are wrong."
        return True
    return False


async def test_user_has_the_roles_of_the_file(users: UsersFile) -> None:
    assert await users.verify(ANN, None) == Identity(frozenset((Role.READ, Role.WRITE)))
    assert await users.verify(BOB, "an SO-AppToken, which users do not need") == Identity(READER)


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
async def test_every_refusal_has_the_same_text(users: UsersFile, user: str, password: str) -> None:
    assert await refused(users, Basic(user, password))


async def test_empty_password_is_accepted_when_the_file_has_it(path: Path, users: UsersFile) -> None:
    path.write_text(cheap(Basic("ann", "")), "utf-8")
    assert await users.verify(Basic("ann", ""), None)
    assert await refused(users, Basic("ann", "x")) and await refused(users, Basic("bob", ""))


async def test_password_has_at_most_1024_bytes(path: Path, users: UsersFile) -> None:
    longest = "\u00e6" * 512
    path.write_text(cheap(Basic("ann", longest)), "utf-8")
    assert await users.verify(Basic("ann", longest), None)
    assert await refused(users, Basic("ann", longest + "x"))


async def test_every_refusal_takes_as_long_where_hashes_differ_in_cost(path: Path, users: UsersFile) -> None:
    costly = PasswordHasher(time_cost=2, memory_cost=16_384, parallelism=1)
    path.write_text(f"ann:{costly.hash(ANN.password)}\n{cheap(BOB)}", "utf-8")

    async def seconds(credential: Basic) -> float:
        begun = time.process_time()  # CPU time, since other processes run too
        assert await refused(users, credential)
        return time.process_time() - begun

    took = {
        name: statistics.median([await seconds(credential) for _ in range(9)])
        for name, credential in {
            "wrong password": Basic("ann", "wrong"),
            "wrong password, cheap hash": Basic("bob", "wrong"),
            "wrong user": Basic("unknown", "wrong"),
            "too long": Basic("ann", "x" * 5000),
            "too long, cheap hash": Basic("bob", BOB.password + "x" * 5000),
            "too long, wrong user": Basic("unknown", "x" * 5000),
        }.items()
    }
    assert max(took.values()) < 4 * min(took.values()), took


async def test_refusal_compares_a_hash_of_every_cost_once(
    path: Path, users: UsersFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = PasswordHasher(time_cost=2, memory_cost=64, parallelism=1)
    path.write_text(f"ann:{other.hash(ANN.password)}\n{cheap(BOB)}", "utf-8")
    compared: list[str] = []

    def counted(hash: str, password: bytes) -> bool:
        compared.append(cost_of(hash))
        return matches(hash, password)

    monkeypatch.setattr("service.access.verifiers.users_file.matches", counted)
    for credential in (Basic("ann", "wrong"), Basic("bob", "wrong"), Basic("carol", "wrong")):
        compared.clear()
        assert await refused(users, credential)
        assert sorted(compared) == ["m=64,t=1,p=1", "m=64,t=2,p=1"]
    compared.clear()
    assert await users.verify(ANN, None)
    assert compared == ["m=64,t=2,p=1"]


async def test_event_loop_runs_during_a_verification(path: Path, users: UsersFile) -> None:
    path.write_text(f"ann:{COSTLY}\n", "utf-8")
    task = asyncio.create_task(refused(users, ANN))
    turns = 0
    while not task.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert await task and turns > 10


async def test_two_verifications_run_at_once_and_32_wait(users: UsersFile) -> None:
    earlier = set(threading.enumerate())  # those of other tests may still be ending
    answers = await asyncio.gather(*(users.verify(ANN, None) for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(each, Identity) for each in answers) == 2 + 32
    late = [each for each in answers if isinstance(each, PictureError)]
    assert len(late) == 16 and all(isinstance(each, Overloaded) for each in late)
    assert str(late[0]) == "Too many credentials wait to be verified."
    assert sum(thread.name.startswith("users") for thread in set(threading.enumerate()) - earlier) <= 2
    assert await users.verify(ANN, None)


async def test_timed_out_verification_frees_its_thread(path: Path) -> None:
    path.write_text(f"ann:{COSTLY}\n{cheap(BOB)}", "utf-8")
    users = UsersFile(path, timeout=0.1)
    answers = await asyncio.gather(*(users.verify(ANN, None) for _ in range(4)), return_exceptions=True)
    assert [type(each) for each in answers] == [VerificationUnavailable] * 4
    assert str(answers[0]) == "The credentials cannot be verified at the moment."
    deadline = time.monotonic() + 60
    for _ in range(2):  # both threads are free again
        while True:
            try:
                assert await users.verify(BOB, None) == Identity(READER)
                break
            except VerificationUnavailable:
                assert time.monotonic() < deadline
    await users.close()


async def test_cancelled_wait_frees_its_place(users: UsersFile) -> None:
    tasks = [asyncio.create_task(users.verify(ANN, None)) for _ in range(34)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    answers = await asyncio.gather(*(users.verify(ANN, None) for _ in range(32)))
    assert len(answers) == 32


async def test_removed_user_is_refused(path: Path, users: UsersFile) -> None:
    assert await users.verify(ANN, None)
    path.write_text(cheap(BOB), "utf-8")
    assert await refused(users, ANN)
    assert await users.verify(BOB, None)


async def test_user_who_is_removed_or_changed_loses_what_was_verified(path: Path, users: UsersFile) -> None:
    path.write_text(cheap(ANN, ":read,write") + cheap(BOB) + cheap(Basic("carol", "Carol's")), "utf-8")
    ann, bob, carol = [await users.verify(each, None) for each in (ANN, BOB, Basic("carol", "Carol's"))]
    lines = path.read_text("utf-8").splitlines()
    path.write_text(f"{lines[1]}\n{lines[0].replace('read,write', 'read')}\n", "utf-8")
    await users.refresh()
    assert [each.basis.withdrawn for each in (ann, bob, carol)] == [True, False, True]
    assert await users.verify(ANN, None) == Identity(READER)
    path.write_text(cheap(BOB), "utf-8")  # a new hash of the same password
    await users.refresh()
    assert bob.basis.withdrawn


async def test_change_that_leaves_size_and_date_is_noticed(path: Path, users: UsersFile) -> None:
    text, seen = path.read_text("utf-8"), path.stat()
    path.write_text(text.replace("read,write", "read,purge"), "utf-8")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert await users.verify(ANN, None) == Identity(frozenset((Role.READ, Role.PURGE)))


async def test_replaced_file_of_the_same_size_and_date_is_read(path: Path, users: UsersFile) -> None:
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
async def test_unusable_file_leaves_the_users_and_is_logged_once(
    path: Path, users: UsersFile, spoil: Callable[[Path], object]
) -> None:
    spoil(path)
    with capture_logs() as events:
        for _ in range(3):
            assert await users.verify(BOB, None) and await refused(users, Basic("bob", "wrong"))
    assert [each["event"] for each in events] == ["users.unusable"]
    assert events[0]["log_level"] == "warning" and events[0]["reason"].startswith(f"{path}: ")
    assert "hush" not in str(events) and "Bob's" not in str(events)


async def test_repaired_file_is_read_again(path: Path, users: UsersFile) -> None:
    path.write_text("ann\n")
    assert await users.verify(BOB, None)
    path.write_text(cheap(ANN), "utf-8")
    with capture_logs() as events:
        assert await users.verify(ANN, None) == Identity(READER)
        assert await refused(users, BOB)
    assert not events


async def test_unusable_file_is_an_error_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "users"
    with pytest.raises(BadFile, match="cannot be read: No such file"):
        UsersFile(path)
    path.write_text(f"# users\n{cheap(ANN)}hush:hush\n", "utf-8")
    with pytest.raises(ValueError) as caught:
        UsersFile(path)
    assert str(caught.value).startswith(f"{path}: line 3: ") and "hush" not in str(caught.value)


async def test_file_with_bom_and_crlf_is_read(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + cheap(ANN).replace("\n", "\r\n").encode())
    users = UsersFile(path, timeout=30)
    assert await users.verify(ANN, None)
    await users.close()


def test_close_leaves_no_thread_and_logs_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text(f"ann:{COSTLY}\n", "utf-8")

    async def leave_while_it_verifies() -> None:
        users = UsersFile(path, timeout=30)
        task = asyncio.create_task(users.verify(ANN, None))
        await asyncio.sleep(0.01)
        task.cancel()
        await users.close()

    before = set(threading.enumerate())
    asyncio.run(leave_while_it_verifies())
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive()
    assert not caplog.records


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
async def test_threads_have_a_low_priority(users: UsersFile) -> None:
    nice = await asyncio.get_running_loop().run_in_executor(
        users._threads, lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    )
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert nice == max(own, 10)


async def test_file_that_hangs_delays_no_other_look_and_keeps_the_users(
    path: Path, users: UsersFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network file system without its server."""
    monkeypatch.setattr("service.access.verifiers.watched_file._HANGS_AFTER", 0.05)
    hung, entered = threading.Event(), threading.Event()

    def hang(path: Path) -> object:
        entered.set()
        hung.wait(60)
        raise BadFile("gone")

    watched = WatchedFile(path, lambda _: "users", lambda _, now: now, lambda _: None)
    monkeypatch.setattr("service.access.verifiers.watched_file._state", hang)
    first = asyncio.create_task(watched.refresh())
    await asyncio.to_thread(entered.wait, 60)
    await asyncio.sleep(0.1)
    with pytest.raises(TimeoutError):
        await watched.refresh()
    hung.set()
    assert await first == "users"
    assert await watched.refresh() == "users"
    watched.close()
