"""The snippets of docs/recipes.md, run as they are printed there, against a real service."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from html.parser import HTMLParser
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest

from service import client
from tests.operations.running import Service, block_until, free_port, running

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/recipes.md").read_text()
ORIGIN = "127.0.0.1:8080"
CDN_ORIGIN = "127.0.0.1:8081"


class Snippet(NamedTuple):
    section: str
    language: str
    text: str


def snippets() -> list[Snippet]:
    found, section = [], ""
    for match in re.finditer(r"^#+ ([^\n]*)$|^```(\w+)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL):
        if match[1]:
            section = match[1]
        else:
            found.append(Snippet(section, match[2], match[3]))
    return found


SNIPPETS = snippets()


def tool(name: str) -> str:
    """Return the path of a program, or skip the test."""
    path = shutil.which(name, path="/usr/sbin:/usr/local/bin:/usr/bin:/bin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def text_of(section: str, language: str, number: int = 0) -> str:
    return [each.text for each in SNIPPETS if (each.section, each.language) == (section, language)][number]


def output_of(section: str, language: str, number: int = 0) -> str:
    """Return what is printed below a snippet."""
    at = SNIPPETS.index([each for each in SNIPPETS if (each.section, each.language) == (section, language)][number])
    assert SNIPPETS[at + 1].language == "text"
    return SNIPPETS[at + 1].text


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running("--demo") as started:
        yield started


def run(command: list[str], cwd: Path) -> str:
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=180, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def here(text: str, service: Service) -> str:
    return text.replace(ORIGIN, f"127.0.0.1:{service.port}")


def test_curl(service: Service, tmp_path: Path) -> None:
    tool("curl")
    for number in range(2):
        printed = run(["bash", "-euc", here(text_of("curl", "sh", number), service)], tmp_path)
    assert (tmp_path / "picture").read_bytes()[4:8] == b"ftyp"
    assert printed == output_of("curl", "sh", 1)


@pytest.mark.parametrize("number", [0, 1])
def test_python(service: Service, tmp_path: Path, number: int) -> None:
    (tmp_path / "recipe.py").write_text(here(text_of("Python", "python", number), service))
    assert run([sys.executable, "recipe.py"], tmp_path) == output_of("Python", "python", number)


@pytest.mark.parametrize("section", ["JavaScript", "A page", "A signed URL from Node"])
def test_javascript(service: Service, tmp_path: Path, section: str) -> None:
    node = tool("node")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(Path(client.__file__).parent / "web/static/client.js", tmp_path)
    (tmp_path / "recipe.js").write_text(here(text_of(section, "js"), service))
    assert run([node, "recipe.js"], tmp_path) == output_of(section, "js")


def test_superoffices_npm_client(service: Service, tmp_path: Path) -> None:
    node, npm = tool("node"), tool("npm")
    run([npm, "install", "--no-audit", "--no-fund", "--silent", "@superoffice/webapi@12.4.1514"], tmp_path)
    (tmp_path / "recipe.cjs").write_text(here(text_of("SuperOffice's npm client", "js"), service))
    assert run([node, "recipe.cjs"], tmp_path) == output_of("SuperOffice's npm client", "js")


class _Urls(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "srcset") and value:
                self.found += [each.split()[0] for each in value.split(",") if each.split()]


@pytest.mark.parametrize("number", [0, 1])
def test_every_url_of_a_page_is_a_picture(service: Service, number: int) -> None:
    parser = _Urls()
    parser.feed(text_of("A page", "html", number))
    assert len(parser.found) == 3
    for url in parser.found:
        answer = service.get(url.partition(ORIGIN)[2])
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("image/")


class Cdn(NamedTuple):
    port: int
    service: Service

    def ask(self, target: str, accept: str = "*/*", **fields: str) -> tuple[int, dict[str, str], bytes]:
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("GET", target, headers={"Accept": accept, **named})
            with connection.getresponse() as response:
                return response.status, dict(response.headers), response.read()


@contextmanager
def started(command: list[str], port: int, cwd: Path) -> Iterator[None]:
    log = (cwd / "log").open("wb")
    process = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def accepts() -> bool:
        assert process.poll() is None, (cwd / "log").read_text()
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.connect()
        except OSError:
            return False
        finally:
            connection.close()
        return True

    try:
        block_until(accepts, 60, f"{command[0]} accepts connections")
        yield
    finally:
        process.terminate()
        process.wait(30)
        log.close()


@pytest.fixture
def nginx(service: Service, tmp_path: Path) -> Iterator[Cdn]:
    program, port = tool("nginx"), free_port()
    configured = here(text_of("nginx", "nginx"), service).replace(CDN_ORIGIN, f"127.0.0.1:{port}")
    (tmp_path / "nginx.conf").write_text(
        f"user root; pid {tmp_path}/pid; daemon off; worker_processes 1; error_log stderr; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy;\n"
        f"fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;\n"
        f"{configured.replace('proxy_cache_path cache', f'proxy_cache_path {tmp_path}/cache')} }}\n"
    )
    with started([program, "-p", str(tmp_path), "-e", "stderr", "-c", f"{tmp_path}/nginx.conf"], port, tmp_path):
        yield Cdn(port, service)


@pytest.fixture
def varnish(service: Service, tmp_path: Path) -> Iterator[Cdn]:
    program, port = tool("varnishd"), free_port()
    vcl = text_of("Varnish", "vcl").replace('.port = "8080"', f'.port = "{service.port}"')
    (tmp_path / "pictures.vcl").write_text(vcl)
    command = [
        program,
        "-F",
        "-n",
        f"{tmp_path}/work",
        "-a",
        f"127.0.0.1:{port}",
        "-f",
        f"{tmp_path}/pictures.vcl",
        "-j",
        "none",
    ]
    with started([*command, "-s", "malloc,32m"], port, tmp_path):
        yield Cdn(port, service)


IMAGE = "/api/v1/Contact/1/Image"
CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
FIREFOX = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"


@pytest.fixture(params=["nginx", "varnish"])
def cdn(request: pytest.FixtureRequest) -> Cdn:
    made: Cdn = request.getfixturevalue(request.param)
    return made


def cached(cdn: Cdn, target: str, accept: str = "*/*", **fields: str) -> bool:
    status, headers, _ = cdn.ask(target, accept, **fields)
    assert status == 200
    return headers["X-Cache"] == "HIT"


def test_cdn_keeps_one_picture_for_equal_requests(cdn: Cdn) -> None:
    assert not cached(cdn, IMAGE + "?w=80", CHROME)
    assert cached(cdn, IMAGE + "?w=80", FIREFOX)
    assert cached(cdn, IMAGE + "?w=80&utm_source=x", CHROME)
    assert not cached(cdn, IMAGE + "?w=80")
    assert not cached(cdn, IMAGE + "?w=80", "image/webp,*/*")
    assert not cached(cdn, IMAGE + "?w=80", "application/json")
    assert not cached(cdn, IMAGE + "?w=80&dpr=2", CHROME)


def test_cdn_gives_each_client_the_format_that_it_accepts(cdn: Cdn) -> None:
    for _ in range(2):
        for accept, kind in (
            (CHROME, "avif"),
            ("image/webp,*/*", "webp"),
            ("image/png,*/*;q=0.5", "jpeg"),
            ("*/*", "jpeg"),
        ):
            _, headers, _ = cdn.ask(IMAGE + "?w=81", accept)
            assert headers["Content-Type"] == f"image/{kind}"
        _, headers, _ = cdn.ask(IMAGE + "?w=81", "application/json")
        assert headers["Content-Type"].startswith("application/json")


def test_other_spelling_of_a_parameter_puts_no_picture_in_anothers_place(cdn: Cdn) -> None:
    small = cdn.service.get(IMAGE + "?w=30&type=png").body
    large = cdn.service.get(IMAGE + "?type=png").body
    for target in (IMAGE + "?%77=30&type=png", IMAGE + "?type=png", IMAGE + "?x=1&%57=30&type=png"):
        assert cdn.ask(target)[2] == large
    assert cdn.ask(IMAGE + "?W=30&type=png")[2] == small


def test_words_are_those_of_the_readers_language(cdn: Cdn) -> None:
    target = "/api/v1/Contact/13/Image?ifBlank=SrNoPhoto&w=100&type=png"
    for _ in range(2):
        bodies = [cdn.ask(target, Accept_Language=language)[2] for language in ("en", "de", "en", "ja")]
        assert bodies[0] == bodies[2]
        assert len(set(bodies)) == 3


def test_answer_with_credentials_is_not_kept(cdn: Cdn) -> None:
    for _ in range(2):
        status, headers, _ = cdn.ask(IMAGE + "?w=82", Authorization="Basic dGplMDpUamUw")
        assert status == 200
        assert headers["X-Cache"] != "HIT"


def test_varnish_forgets_a_contact_by_its_key(varnish: Cdn) -> None:
    target = IMAGE + "?w=83"
    assert [cached(varnish, target), cached(varnish, target)] == [False, True]
    purge = text_of("Varnish", "sh").replace(CDN_ORIGIN, f"127.0.0.1:{varnish.port}")
    run(["bash", "-euc", purge.replace("contact-1", "contact-2")], Path("/"))
    assert cached(varnish, target)
    run(["bash", "-euc", purge], Path("/"))
    time.sleep(0.1)
    assert not cached(varnish, target)


def test_document_names_every_parameter_for_the_key() -> None:
    for name in client.NAMES:
        assert f"`{name}`" in DOCUMENT
        assert re.search(rf"[(|]{name.lower()}[|)]", text_of("Varnish", "vcl"))
        assert f"$arg_{name.lower()}" in text_of("nginx", "nginx")
