"""The helpers for URLs: Python and JavaScript give the same ones, and the service accepts them."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service import client
from service.protocol import parameters
from service.protocol.query import parse_query
from service.protocol.signatures import sign, verify
from tests.conftest import Serve

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("vectors.json").read_text())
MODULE = Path(client.__file__).parent / "web/static/client.js"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["result"][:60])
def test_python_gives_the_url_of_the_vector(vector: dict[str, Any]) -> None:
    call = {"picture": client.picture_url, "srcset": client.srcset}[vector["call"]]
    assert call(vector["contact"], **vector["options"]) == vector["result"]


@needs_node
def test_javascript_gives_the_urls_of_the_vectors(tmp_path: Path) -> None:
    (tmp_path / "client.mjs").write_bytes(MODULE.read_bytes())
    script = tmp_path / "run.mjs"
    script.write_text(
        f"""import {{pictureUrl, srcset}} from "./client.mjs";
const call = {{picture: pictureUrl, srcset}};
const vectors = {json.dumps(VECTORS)};
console.log(JSON.stringify(vectors.map((each) => call[each.call](each.contact, each.options))));
let refused = false;
try {{ pictureUrl(1, {{width: 5}}); }} catch (error) {{ refused = error instanceof TypeError; }}
console.log(refused);
"""
    )
    assert NODE is not None
    ran = subprocess.run([NODE, str(script)], capture_output=True, text=True, timeout=60, check=True)
    results, refused = ran.stdout.splitlines()
    assert json.loads(results) == [vector["result"] for vector in VECTORS]
    assert refused == "true"


def test_other_parameter_is_refused() -> None:
    with pytest.raises(TypeError, match="width"):
        client.picture_url(1, width=5)  # type: ignore[call-arg]


def test_every_parameter_is_known_to_the_service_to_javascript_and_to_its_types() -> None:
    assert sorted(client.NAMES) == sorted(parameters.NAMES)
    listed = re.search(r"const NAMES = (\[[^]]*\]);", MODULE.read_text())
    assert listed is not None and json.loads(listed[1]) == [*client.NAMES]  # in the same order
    typed = re.findall(r"(?m)^  (\w+)\?:", MODULE.with_suffix(".d.ts").read_text())
    assert {*client.NAMES} <= {*typed}


def test_signature_is_the_services_own() -> None:
    url = client.picture_url(42, "https://img.example", w=64, type="image/png", gravity="0.5,0", v="a b")
    target = url.removeprefix("https://img.example")
    signed = client.signed(url, "k1", "a-test-vector-is-no-secret", exp=2_000_000_000)
    assert signed == "https://img.example" + sign(target, "k1", b"a-test-vector-is-no-secret", 2_000_000_000)
    bare = client.signed("/api/v1/Contact/42/Image", "k1", b"x", seconds=60)
    assert verify(bare, {"k1": b"x"}, 0.0).target == "/api/v1/Contact/42/Image"


def test_urls_mean_what_was_asked_for() -> None:
    for vector in VECTORS:
        for url in vector["result"].split(", "):
            query = url.split(" ")[0].partition("?")[2]
            if "preset" not in query:
                parse_query(query, 4096)


def test_module_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse(Path(client.__file__).read_text())
    names = {each.module or "" for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)}
    names |= {alias.name for each in ast.walk(tree) if isinstance(each, ast.Import) for alias in each.names}
    assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize(("name", "kind"), [("client.js", "text/javascript"), ("client.d.ts", "text/plain")])
async def test_module_is_served_to_pages_of_any_origin(serve: Serve, name: str, kind: str) -> None:
    served = await serve()
    async with served.get(f"/{name}", headers={"Origin": "https://crm.example"}) as answer:
        assert answer.status == 200
        assert answer.content_type == kind
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert await answer.read() == MODULE.with_name(name).read_bytes()
        etag = answer.headers["ETag"]
    async with served.get(f"/{name}", headers={"If-None-Match": etag}) as answer:
        assert answer.status == 304
