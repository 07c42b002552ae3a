"""`contact-image load` on services that answer badly or not at all, and over TLS and IPv6."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from service.load import clients, preparation
from service.load.clients import Answer
from service.load.runner import Run
from service.load.target import parse_target
from tests.load.servers import Answers, Write, answering
from tests.load.test_command import rows
from tests.operations.running import Service, invoke

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"


@pytest.fixture(autouse=True)
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take a second of the processor."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)


def uploads(url: str, folder: Path, *options: str) -> Result:
    """Run the scenario that needs nothing from the service before."""
    return invoke("load", url, "--scenario", "uploads", "--rate", "8", "--for", "1s", "--report", folder, *options)


def always(*pieces: bytes) -> Answers:
    """Return what answers uploads with *pieces*, and the requests that delete them with 204."""

    def answers(header: bytes, write: Write) -> None:
        for piece in pieces if header.startswith(b"PUT") else [b"HTTP/1.1 204 No Content\r\n\r\n"]:
            write(piece)

    return answers


@pytest.mark.parametrize(
    ("pieces", "fault"),
    [
        ([b"\0\xff garbage\r\n\r\n"], "not HTTP/1.1"),
        ([b"HTTP/1.1 abc\r\n\r\n"], "not HTTP/1.1"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"], "no Content-Length"),
        ([b"HTTP/1.1 200 OK\r\n", *[b"X: " + 9999 * b"x" + b"\r\n"] * 9], "more than 65,536 bytes"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: " + 30 * b"9" + b"\r\n\r\n"], "no Content-Length"),
    ],
)
def test_answer_that_cannot_be_read_is_an_error_with_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pieces: list[bytes], fault: str
) -> None:
    with answering(always(*pieces)) as port:
        done = uploads(f"http://127.0.0.1:{port}", tmp_path)
    assert "requests: 8, 8 errors, 8 without an answer" in done.output
    assert all(fault in row["fault"] for row in rows(tmp_path))
    assert fault in (tmp_path / "report.html").read_text()
    assert not caplog.records  # the event loop logs what a protocol raises


def test_interim_responses_and_bytes_after_an_answer_are_no_answers(tmp_path: Path) -> None:
    with answering(always(3 * b"HTTP/1.1 103 Early Hints\r\n\r\n", OK, OK)) as port:
        done = uploads(f"http://127.0.0.1:{port}", tmp_path, "--errors", "0%")
    assert done.exit_code == 0, done.output
    assert {(row["status"], row["bytes"]) for row in rows(tmp_path)} == {("200", "2")}


async def test_bodies_that_are_not_wanted_are_counted_and_not_kept() -> None:
    size, received = 1 << 24, list[Answer]()
    piece = bytes(1 << 16)
    pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, *[piece] * (size // len(piece))]
    with answering(always(*pieces)) as port:
        (client,) = await clients.connected("127.0.0.1", port, 1)
        finished = client.converse(iter([b"PUT / HTTP/1.1\r\n\r\n"]), received.append, longest_body=0)
        largest = 0
        while not finished.done():
            await asyncio.sleep(0)
            largest = max(largest, len(client._buffer))
        client.close()
    assert [(each.size, each.body) for each in received] == [(size, b"")]
    assert largest < size / 8


def test_fields_of_the_service_are_bounded_in_the_report(tmp_path: Path) -> None:
    numbers = itertools.count()

    def answers(header: bytes, write: Write) -> None:
        number = next(numbers)
        stages = ", ".join(f"s{number}x{each};dur=1" for each in range(200))
        timing = f"Server-Timing: bad;dur=1.2.3, huge;dur={'9' * 400}, {stages}\r\n"
        write(EMPTY + f'Cache-Status: "a, b; {number}{500 * "<"}"; hit; {number}{500 * "x"}\r\n{timing}\r\n'.encode())

    with answering(answers) as port:
        done = uploads(f"http://127.0.0.1:{port}", tmp_path, "--rate", "60")
    assert "60, 0 errors" in done.output, done.output
    page = (tmp_path / "report.html").read_text()
    assert len(page) < 200_000 and "<<" not in page
    tables = re.split(r"<h2>", page)
    for title in ("Outcome by cache, by Cache-Status", "Stages, by Server-Timing</h2><table"):
        (table,) = [each for each in tables if each.startswith(title)]
        assert table.count("<tr>") <= 22
    assert "others" in page and "huge" not in page


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 60_000, "not answered as this service answers"),
        (b'{"2": {"BlobSize": 1}}', "not answered as this service answers"),
        (b"1" * 300_000, "more than 262,144 bytes"),
    ],
)
def test_list_of_pictures_that_is_none_ends_the_preparation(tmp_path: Path, body: bytes, words: str) -> None:
    with answering(
        lambda header, write: write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    ) as port:
        arguments = ("--scenario", "hits", "--contacts", "1", "--report", tmp_path / "report")
        done = invoke("load", f"http://127.0.0.1:{port}", *arguments)
    assert done.exit_code == 1 and words in done.output, done.output


@pytest.mark.parametrize("garbage", [b"no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_answer_that_cannot_be_read_ends_the_preparation_and_no_report(tmp_path: Path, garbage: bytes) -> None:
    def answers(header: bytes, write: Write) -> None:
        write(OK if header.startswith(b"PUT") else garbage)

    with answering(answers) as port:
        url = f"http://127.0.0.1:{port}"
        done = invoke("load", url, "--scenario", "hits", "--report", tmp_path)
        assert done.exit_code == 1 and "does not answer: the answer" in done.output, done.output
        done = uploads(url, tmp_path)
        assert done.exit_code == 1 and "uploads-left.urls" in done.output, done.output
    assert len((tmp_path / "uploads-left.urls").read_text().split()) == 8
    assert len(rows(tmp_path)) == 8


def test_requests_are_for_the_contacts_of_the_command_and_have_no_lines_of_the_service(tmp_path: Path) -> None:
    asked = list[bytes]()

    def answers(header: bytes, write: Write) -> None:
        asked.append(header)
        entities = b'{"1": {"BlobSize": 1}, "777": {"BlobSize": 1}}' if b"/Imageinfo" in header else b""
        fields = b'Content-Length: %d\r\nETag: "x"\nInjected: yes\r\n\r\n' % len(entities)
        write(b"HTTP/1.1 200 OK\r\n" + fields + entities)

    with answering(answers) as port:
        arguments = ("--scenario", "304", "--contacts", "1", "--rate", "8", "--for", "1s", "--report", tmp_path)
        done = invoke("load", f"http://127.0.0.1:{port}", *arguments)
    assert "requests: 8," in done.output, done.output
    assert sum(b'If-None-Match: "x"\r\n' in header for header in asked) == 8
    assert not [header for header in asked if b"777" in header or b"Injected" in header]


def test_service_that_never_answers_ends_the_preparation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "_ANSWERED_WITHIN", 0.2)
    with answering(lambda header, write: None) as port:
        done = invoke("load", f"http://127.0.0.1:{port}", "--scenario", "hits", "--report", tmp_path / "report")
    assert done.exit_code == 1 and "does not answer: not in time" in done.output


def test_redirect_is_not_followed(tmp_path: Path) -> None:
    asked = list[bytes]()

    def answers(header: bytes, write: Write) -> None:
        asked.append(header)
        write(b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n")

    with answering(answers) as port:
        done = invoke("load", f"http://127.0.0.1:{port}", "--scenario", "hits", "--report", tmp_path / "report")
    assert done.exit_code == 1 and "302" in done.output and "It redirects" in done.output
    assert len(asked) == 1


def test_proxies_of_the_environment_get_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with answering(always(OK)) as port:
        assert uploads(f"http://127.0.0.1:{port}", tmp_path, "--errors", "0%").exit_code == 0


def test_service_over_tls_under_a_path_needs_a_trusted_certificate(
    tmp_path: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = set[bytes]()

    def answers(header: bytes, write: Write) -> None:
        targets.add(header.split()[1].rpartition(b"/Contact/")[0])
        always(OK)(header, write)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with answering(answers, tls=context) as port:
        url = f"https://localhost:{port}/pictures/"
        done = uploads(url, tmp_path / "report")
        assert done.exit_code == 1 and "SSL_CERT_FILE" in done.output and not targets
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        done = uploads(url, tmp_path / "report", "--errors", "0%")
        assert done.exit_code == 0, done.output
        done = uploads(f"https://127.0.0.1:{port}", tmp_path / "report")
        assert done.exit_code == 1 and "127.0.0.1" in done.output and "certificate" in done.output
    assert targets == {b"/pictures/api/v1"}


def test_port_without_tls_is_said_to_be_so(service: Service, tmp_path: Path) -> None:
    done = uploads(f"https://127.0.0.1:{service.port}", tmp_path)
    assert done.exit_code == 1 and "without TLS" in done.output


def test_load_goes_to_ipv6_and_to_the_address_of_localhost_that_answers(tmp_path: Path) -> None:
    with answering(always(OK), "::1") as port:
        for host in ("[::1]", "localhost") if _localhost_is_both() else ("[::1]",):
            done = uploads(f"http://{host}:{port}", tmp_path, "--errors", "0%")
            assert done.exit_code == 0, done.output


def _localhost_is_both() -> bool:
    return {each[0] for each in socket.getaddrinfo("localhost", 80)} == {socket.AF_INET, socket.AF_INET6}


async def test_name_is_looked_up_once_and_localhost_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found, looked_up = ["127.0.0.1"], list[str]()

    async def getaddrinfo(self: object, host: str, port: int, **_: object) -> list[Any]:
        looked_up.append(host)
        return [(2, 1, 6, "", (address, port)) for address in found]

    monkeypatch.setattr("asyncio.BaseEventLoop.getaddrinfo", getaddrinfo)
    with answering(always(OK)) as port:
        run = Run(parse_target(f"http://localhost:{port}"), "hits", [1], 1, 1, 1)
        run.target = await run.target.resolved()
        found[:] = ["192.0.2.1"]
        for client in await run.connect(3):
            client.close()
        assert looked_up == ["localhost"]
        with pytest.raises(OSError, match="localhost is not this machine"):
            await run.target.resolved()


def test_figures_are_printed_although_the_disk_is_full(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").touch()
    (tmp_path / "outcomes.csv").symlink_to("/dev/full")
    with answering(always(OK)) as port:
        done = uploads(f"http://127.0.0.1:{port}", tmp_path)
    assert done.exit_code == 1 and "No space left" in done.output and "Traceback" not in done.output
    assert "requests: 8, 0 errors" in done.output


@pytest.mark.parametrize("options", [(), ("--export", "locust")])
def test_folder_with_files_of_no_run_is_left_alone(tmp_path: Path, options: tuple[str, ...]) -> None:
    mine, link, folder = tmp_path / "mine", tmp_path / "folder" / "report.html", tmp_path / "folder"
    folder.mkdir()
    mine.write_text("my own")
    link.symlink_to(mine)
    (folder / "locustfile.py").write_text("my own")
    with answering(always(OK)) as port:
        url = f"http://127.0.0.1:{port}"
        done = uploads(url, folder, *options)
        assert done.exit_code == 2 and "files that are of no run" in done.output
        for _ in range(2):
            done = uploads(url, tmp_path / "new", *options)
            assert done.exit_code == 0, done.output
    assert mine.read_text() == (folder / "locustfile.py").read_text() == "my own"
    assert sorted(each.name for each in folder.iterdir()) == ["locustfile.py", "report.html"]


def test_report_says_that_uploads_remain(tmp_path: Path) -> None:
    with answering(lambda header, write: write(OK)) as port:
        done = uploads(f"http://127.0.0.1:{port}", tmp_path)
    words = "8 uploads may remain, of the contacts 2000000000-2000000007."
    assert done.exit_code == 1 and words in done.output and "xargs -n 1 curl -X DELETE" in done.output
    assert words in (tmp_path / "report.html").read_text()
    images = [f"http://127.0.0.1:{port}/api/v1/Contact/{contact}/Image" for contact in range(2000000000, 2000000008)]
    assert (tmp_path / "uploads-left.urls").read_text().split() == images


def test_uploads_without_an_answer_may_remain_and_are_not_deleted(tmp_path: Path) -> None:
    asked = []

    def answer(header: bytes, write: Write) -> None:
        method, target, *_ = header.split()
        asked.append((method, target[-16:-6]))
        if target.endswith((b"2/Image", b"5/Image")) and method == b"PUT":
            raise OSError  # the connection is closed
        write(OK if method == b"PUT" else EMPTY.replace(b"200 OK", b"204 No Content") + b"\r\n")

    with answering(answer) as port:
        done = uploads(f"http://127.0.0.1:{port}", tmp_path)
    assert done.exit_code == 1 and "2 uploads may remain, of the contacts 2000000002, 2000000005." in done.output
    assert len((tmp_path / "uploads-left.urls").read_text().splitlines()) == 2
    deleted = {contact for method, contact in asked if method == b"DELETE"}
    assert len(deleted) == 6 and not deleted & {b"2000000002", b"2000000005"}
