"""Those beside whom the gateway is measured, as child processes on the loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import find_program, free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 20

# As it comes, but for its folders: sendfile on, as every distribution has it.
_NGINX = """\
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
{user}
events {{}}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location = /film {{ alias {file}; default_type video/mp4; }}
  }}
}}
"""


@contextmanager
def nginx(parent: Path, file: Path) -> Iterator[str]:
    """The address of this file, given by an nginx with one worker."""
    folder, port, program = parent / "nginx", free_port(), find_program("nginx", ("/usr/sbin",))
    assert program
    folder.mkdir()
    user = "user root;" if os.getuid() == 0 else ""
    text = _NGINX.format(folder=folder, port=port, file=file, user=user)
    (folder / "nginx.conf").write_text(text)
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            address = f"http://127.0.0.1:{port}/film"
            _until_it_answers(address, process)
            yield address
        finally:
            process.terminate()


@contextmanager
def bare(file: Path) -> Iterator[str]:
    """The address of an aiohttp that writes what it gets into this file."""
    command = [sys.executable, "-m", "tests.load.bench_drive_bare", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/dump"
        finally:
            process.terminate()


def _until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=5):
                return
        except (urllib.error.URLError, ConnectionError) as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"nginx does not answer: {error}") from error
            time.sleep(0.05)
