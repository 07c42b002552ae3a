"""A service that is killed during writes leaves the old picture or a new one, whole, and no other files."""

from __future__ import annotations

import http.client
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from tests.operations.running import TIMEOUT, Service, block_until, running
from tests.pixels import shown
from tools.pictures.drawing import saved

PATH = "/api/v1/Contact/{}/Image"
ON = {"CONTACT_IMAGE_WRITES__ENABLED": "true", "CONTACT_IMAGE_RENDER__WORKERS": "1"}
CONTACTS = range(1, 5)
ROUNDS = 4


def put(service: Service, contact: int, data: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=TIMEOUT)
    try:
        connection.request("PUT", PATH.format(contact), body=data, headers={"Content-Type": "image/png"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_kill_at_any_moment_leaves_whole_pictures_and_the_next_start_removes_uploads(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    pictures = [saved(Image.effect_noise((600 + at, 400), 90).convert("RGB"), "PNG") for at in range(8)]
    acknowledged: dict[int, bytes] = {}
    began: dict[int, set[bytes]] = {contact: set() for contact in CONTACTS}
    left_behind = 0
    for round in range(ROUNDS):
        ended = threading.Event()

        def write(service: Service, contact: int, ended: threading.Event = ended) -> None:
            while not ended.is_set():
                data = random.choice(pictures)
                began[contact].add(data)
                try:
                    status, _ = put(service, contact, data)
                except (OSError, http.client.HTTPException):
                    return  # the service was killed
                assert status == 200
                acknowledged[contact] = data
                began[contact] = set()

        with running("--images", folder, **ON) as service:
            with ThreadPoolExecutor(len(CONTACTS)) as threads:
                writers = [threads.submit(write, service, contact) for contact in CONTACTS]
                time.sleep(0.3 + 0.11 * round)  # at any point of a write
                if round == ROUNDS - 1:
                    block_until(lambda: acknowledged, 60, "a write is acknowledged")
                service.send(signal.SIGKILL)
                ended.set()
                for writer in writers:
                    writer.result()
            service.end()
        left_behind += len({name for name in names(folder) if name.startswith(".uploads/")} - {".uploads/lock"})
        for contact in CONTACTS:
            file = folder / f"{contact}.png"
            possible = began[contact] | ({acknowledged[contact]} if contact in acknowledged else set())
            if contact in acknowledged or file.exists():
                stored = file.read_bytes()
                assert stored in possible
                assert shown(stored).format == "PNG"
                acknowledged[contact] = stored
            began[contact] = set()
    assert acknowledged
    assert left_behind, "no kill met an upload: the test proved little"
    with running("--images", folder, **ON) as service:
        assert names(folder) <= {f"{contact}.png" for contact in CONTACTS} | {".uploads/lock"}
        for contact, data in acknowledged.items():
            assert service.get(PATH.format(contact)).body == data


def test_writes_with_if_match_in_two_processes_lose_no_update(tmp_path: Path, shared_valkey: object) -> None:
    """Read, change, and write with If-Match. The picture has as many changes as were acknowledged."""
    from tests.conftest import Valkey

    assert isinstance(shared_valkey, Valkey)
    folder = tmp_path / "images"
    folder.mkdir()
    variables = ON | {"CONTACT_IMAGE_CACHE__URL": shared_valkey.url, "CONTACT_IMAGE_CACHE__PREFIX": "lost-update"}

    def widen(service: Service) -> int:
        done = 0
        for _ in range(15):
            present = service.get(PATH.format(1))
            wider = saved(Image.new("RGB", (shown(present.body).width + 1, 10)), "PNG")
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=TIMEOUT)
            connection.request("PUT", PATH.format(1), body=wider, headers={"If-Match": present.headers["etag"]})
            answer = connection.getresponse()
            assert answer.status in (200, 412), answer.read()
            done += answer.status == 200
            connection.close()
        return done

    (folder / "1.png").write_bytes(saved(Image.new("RGB", (10, 10)), "PNG"))
    with running("--images", folder, **variables) as one, running("--images", folder, **variables) as other:
        with ThreadPoolExecutor(4) as threads:
            done = sum(threads.map(widen, (one, other, one, other)))
        assert done > 0
        assert shown((folder / "1.png").read_bytes()).width == 10 + done
        assert shown(one.get(PATH.format(1)).body).width == 10 + done
        assert shown(other.get(PATH.format(1)).body).width == 10 + done
