"""`contact-image check`: its output and its exit code."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import time
from pathlib import Path

import pytest
from PIL import Image

from service.serving import machine
from service.serving.check import inspect
from service.settings import load_settings
from tests.conftest import Valkey
from tests.operations.running import block_until, free_port, invoke, run, running
from tests.privileges import open_folder, unprivileged


@pytest.fixture
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    Image.new("RGB", (8, 8), "red").save(folder / "1.png")
    return folder


def test_valid_settings_a_readable_store_and_a_reachable_cache_exit_with_0(
    pictures: Path, shared_valkey: Valkey, tmp_path: Path
) -> None:
    result = run("check", "--images", pictures, cwd=tmp_path, CONTACT_IMAGE_CACHE__URL=shared_valkey.url)
    assert result.returncode == 0, result.stderr
    settings, installed, codecs, limits, store, cache, sandbox = result.stdout.splitlines()
    assert settings == "settings: valid"
    assert re.match(r"installed: Python 3\.\d+\.\d+, contact-image \d\S+, aiohttp 3\.", installed)
    assert re.match(r"codecs: pil \d.*, avif \d", codecs)
    assert re.match(r"limits: a picture has [\d,]+ bytes and 50,000,000 pixels at most, .*; \d+ cores, ", limits)
    assert store.startswith("store: ")
    assert str(pictures) in store
    assert re.fullmatch(r"cache: Valkey \d\S+, [\d,]+ bytes, \S+; cache\.secret is empty, so .* forge pictures", cache)
    assert re.match("sandbox: limits\\b", sandbox)


def test_sandbox_without_a_required_layer_is_a_failure_and_refuses_the_start(
    pictures: Path, shared_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.rendering.process.REQUIRED", {"landlock": 1000})
    variables = {"CONTACT_IMAGE_CACHE__URL": shared_valkey.url, "CONTACT_IMAGE_RENDER__SANDBOX": "require"}
    result = invoke("check", "--images", pictures, **variables)
    assert result.exit_code == 1
    assert re.search(r"(?m)^sandbox: FAILED: .*landlock.*: use Linux 6\.7 or later", result.stdout)
    result = invoke("serve", "--images", pictures, "--port", "0", **variables)
    assert result.exit_code == 1
    assert re.search(r"the settings cannot be used:\n +render\.sandbox: .*landlock", result.output)
    result = invoke("check", "--images", pictures, **variables | {"CONTACT_IMAGE_RENDER__SANDBOX": "off"})
    assert "sandbox: off\n" in result.stdout


def test_cache_with_a_secret_is_reported_without_it(pictures: Path, shared_valkey: Valkey, tmp_path: Path) -> None:
    variables = {"CONTACT_IMAGE_CACHE__URL": shared_valkey.url, "CONTACT_IMAGE_CACHE__SECRET": "s" * 32}
    result = run("check", "--images", pictures, cwd=tmp_path, **variables)
    assert result.returncode == 0, result.stderr
    assert re.search(r"(?m)^cache: Valkey \d\S+, [\d,]+ bytes, \S+$", result.stdout)
    assert "sss" not in result.stdout + result.stderr


def test_without_a_cache_url_a_private_server_is_started_and_removed(pictures: Path, tmp_path: Path) -> None:
    result = run("check", "--images", pictures, cwd=tmp_path)
    assert result.returncode == 0
    assert "cache: private server: Valkey" in result.stdout
    assert not list(tmp_path.iterdir())


def test_missing_folder_is_a_failure_of_the_store(tmp_path: Path, shared_valkey: Valkey) -> None:
    result = invoke("check", "--images", tmp_path / "gone", CONTACT_IMAGE_CACHE__URL=shared_valkey.url)
    assert result.exit_code == 1
    words = "No such file or directory: create or mount it, or correct images.directory"
    assert f"store: FAILED: {tmp_path / 'gone'}: {words}\n" in result.stdout
    assert re.search(r"(?m)^cache: Valkey", result.stdout)


def test_folder_without_its_marker_is_a_failure_of_the_store(pictures: Path, shared_valkey: Valkey) -> None:
    variables = {"CONTACT_IMAGE_CACHE__URL": shared_valkey.url, "CONTACT_IMAGE_IMAGES__MARKER": ".store"}
    result = invoke("check", "--images", pictures, **variables)
    assert result.exit_code == 1
    assert f"store: FAILED: {pictures}: .store is missing\n" in result.stdout
    (pictures / ".store").touch()
    assert invoke("check", "--images", pictures, **variables).exit_code == 0


def test_other_store_with_the_same_cache_is_a_failure_of_the_cache(
    pictures: Path, own_valkey: Valkey, tmp_path: Path
) -> None:
    """The one whose marker has another text. An empty marker tells nothing."""
    variables = {"CONTACT_IMAGE_CACHE__URL": own_valkey.url, "CONTACT_IMAGE_IMAGES__MARKER": ".store"}
    (pictures / ".store").write_text("volume one\n")
    (tmp_path / "images").mkdir()
    with running("--images", pictures, **variables) as service:
        for text, code in (("volume one", 0), ("", 0), ("volume two", 1)):
            (tmp_path / "images" / ".store").write_text(text)
            block_until(
                lambda code=code: invoke("check", "--images", tmp_path / "images", **variables).exit_code == code,
                60,
                f"{text} is {'the same' if code == 0 else 'another'} store",
            )
        result = invoke("check", "--images", tmp_path / "images", **variables)
        assert re.search(
            r"(?m)^cache: FAILED: .*volume one.*volume two: give it its own cache\.prefix, or ", result.stdout
        )
        assert "images.stores_differ" not in service.logged
        with running("--images", tmp_path / "images", **variables) as other:
            block_until(lambda: "images.stores_differ" in other.logged, 60, "the later service tells it")
            block_until(lambda: "images.stores_differ" in service.logged, 60, "the earlier service tells it")
        (line,) = (each for each in service.events if each["event"] == "images.stores_differ")
        assert (line["own"], line["others"]) == ("volume one", ["volume two"])


def test_unreadable_picture_is_a_failure_that_names_the_file(shared_valkey: Valkey) -> None:
    with open_folder() as folder:
        for name in ("1.jpg", "2.jpg", "3.jpg"):
            Image.new("RGB", (8, 8), "red").save(folder / name)
        (folder / "2.jpg").chmod(0)
        settings = load_settings(images={"directory": folder}, cache={"url": shared_valkey.url})
        with unprivileged():
            fine, words = asyncio.run(inspect(settings))["store"]
        assert not fine
        assert words == (
            f"[Errno 13] Permission denied: '{folder / '2.jpg'}'; 1 of the first 3 pictures cannot be read"
        )


def test_refused_links_are_counted(pictures: Path, shared_valkey: Valkey) -> None:
    (pictures / "900.jpg").symlink_to("/proc/version")
    (pictures / "901").symlink_to("..")
    cache = {"CONTACT_IMAGE_CACHE__URL": shared_valkey.url}
    result = invoke("check", "--images", pictures, **cache)
    assert result.exit_code == 0
    assert "2 symbolic links are not followed (images.follow_links)" in result.stdout
    result = invoke("check", "--images", pictures, **cache, CONTACT_IMAGE_IMAGES__FOLLOW_LINKS="all")
    assert "symbolic links" not in result.stdout


def test_read_only_folder_is_a_failure_if_writes_are_enabled(shared_valkey: Valkey) -> None:
    with open_folder() as folder:
        for enabled in (False, True):
            settings = load_settings(
                images={"directory": folder}, cache={"url": shared_valkey.url}, writes={"enabled": enabled}
            )
            with unprivileged():
                fine, words = asyncio.run(inspect(settings))["store"]
            assert fine is not enabled
        assert words == (
            f"{folder} cannot be written to: Permission denied: give the user of the service access to it, or set "
            "writes.enabled to false"
        )


def test_upload_is_tried_if_writes_are_enabled(pictures: Path, shared_valkey: Valkey) -> None:
    cache = {"CONTACT_IMAGE_CACHE__URL": shared_valkey.url}
    assert invoke("check", "--images", pictures, **cache).exit_code == 0
    assert not (pictures / ".uploads").exists()
    assert invoke("check", "--images", pictures, **cache, CONTACT_IMAGE_WRITES__ENABLED="1").exit_code == 0
    assert [path.name for path in (pictures / ".uploads").iterdir()] == ["lock"]


def test_file_in_place_of_the_folder_is_a_failure_of_the_store(tmp_path: Path, shared_valkey: Valkey) -> None:
    file = tmp_path / "file"
    file.touch()
    result = invoke("check", "--images", file, CONTACT_IMAGE_CACHE__URL=shared_valkey.url)
    assert result.exit_code == 1
    assert re.search(r"(?m)^store: FAILED: .*: Not a directory: create or mount it, or correct", result.stdout)


def test_relative_folder_is_named_with_its_whole_path(
    tmp_path: Path, shared_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("check", CONTACT_IMAGE_CACHE__URL=shared_valkey.url)
    assert f"store: FAILED: {tmp_path / 'images'}: No such file" in result.stdout


@pytest.mark.parametrize("why", ["the port is closed", "no server answers", "the server is frozen"])
def test_unreachable_cache_is_a_failure_within_two_seconds(pictures: Path, own_valkey: Valkey, why: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert own_valkey.process is not None
        url = own_valkey.url
        if why == "the port is closed":
            url = f"redis://127.0.0.1:{free_port()}/0"
        elif why == "no server answers":
            url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        else:
            own_valkey.process.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        result = invoke("check", "--images", pictures, CONTACT_IMAGE_CACHE__URL=url)
        assert time.monotonic() - begun < 20  # two, on a machine that is not busy
    assert result.exit_code == 1
    assert re.search(r"(?m)^cache: FAILED: \S.*[^.]; start the server there, or correct cache\.url;", result.stdout)
    assert "Traceback" not in result.output


def test_tls_to_a_plain_port_is_named_without_the_password(pictures: Path, own_valkey: Valkey) -> None:
    own_valkey.stop()
    own_valkey.start(port=str(port := free_port()))
    variables = {"CONTACT_IMAGE_CACHE__URL": f"rediss://:hunter2@127.0.0.1:{port}/0"}
    for command in (("check", "--images", str(pictures)), ("purge", "1")):
        result = invoke(*command, **variables)
        assert result.exit_code == 1
        assert f"127.0.0.1:{port} answers without TLS: use redis://" in result.output
        assert "hunter2" not in result.output
        assert "Traceback" not in result.output


def test_failures_of_store_and_cache_are_both_printed(tmp_path: Path) -> None:
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    result = invoke("check", "--images", tmp_path / "gone", CONTACT_IMAGE_CACHE__URL=url)
    assert result.exit_code == 1
    assert result.stdout.count("FAILED") == 2
    assert "hunter2" not in result.output


def test_what_every_client_may_read_is_a_line(pictures: Path, shared_valkey: Valkey) -> None:
    cache = {"CONTACT_IMAGE_CACHE__URL": shared_valkey.url}
    assert "server:" not in invoke("check", "--images", pictures, **cache).stdout
    result = invoke("check", "--images", pictures, **cache, CONTACT_IMAGE_SERVER__HOST="0.0.0.0")
    assert result.exit_code == 0
    assert re.search(r"(?m)^server: auth\.schemes is empty: .*; server\.allowed_hosts is empty: ", result.stdout)


def test_missing_codec_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = machine.encoder_versions()
    assert "neither" not in machine.codecs()
    monkeypatch.setattr(machine, "encoder_versions", lambda: re.sub("(avif|heif)=[^ ]+", r"\1=none", versions))
    assert machine.codecs().endswith(
        "; AVIF is neither read nor written: install Pillow from a wheel of the package index"
        "; HEIC is not read: install the extra heic"
    )


def test_too_little_memory_and_too_few_descriptors_are_named_with_their_remedy() -> None:
    settings = load_settings(render={"workers": 4}, server={"workers": 2, "connections": 4096})
    needed = 4 * 2**30 + 2 * 2**26 + 2**28
    assert "lower" not in machine.limits(settings, memory=needed, descriptors=4352)
    words = machine.limits(settings, memory=needed - 1, descriptors=4352)
    assert "renders and caches may take 4.4 GiB: lower render.workers (4) or render.memory_bytes" in words
    words = machine.limits(settings, memory=needed, descriptors=4351)
    assert words.endswith("needs 4,352 descriptors: raise the hard limit (`ulimit -Hn`), or lower server.connections")
    settings = load_settings(render={"memory_bytes": 2**28})
    assert "render.memory_bytes is less than render.max_decoded_bytes" in machine.limits(settings)
    assert "endless descriptors" in machine.limits(settings, descriptors=-1)
