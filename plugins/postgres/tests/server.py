"""A PostgreSQL server of the tests' own, from the binaries of the wheel `pgserver`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

USER = "tollgate-tests"
# Nobody cuts the power: a server that is killed leaves what it wrote to the system.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "16MB", "listen_addresses": "", "jit": "off"}


class Server:
    """Started by `start`, and again after `kill`. url: of its database, over a Unix socket."""

    def __init__(self) -> None:
        pgserver = pytest.importorskip("pgserver", reason="the wheel pgserver is not there for this platform")
        self._bin = Path(pgserver.__file__).parent / "pginstall" / "bin"
        # Run as root, it becomes another user, who must get at its folder; so that is not in pytest's own, which are
        # private.
        self.place = Path(tempfile.mkdtemp(prefix="tollgate-postgres-"))
        self.url = f"postgresql://postgres@/postgres?host={self.place}"
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._become_another(pgserver.utils)
        self._data = self.place / "data"
        initdb = [self._bin / "initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "-E", "utf8", "--no-sync"]
        subprocess.run([*initdb, "--no-locale"], check=True, stdout=subprocess.DEVNULL, **self._as)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def _become_another(self, utils: Any) -> None:
        found = utils.ensure_user_exists(USER)
        utils.ensure_prefix_permissions(self._bin)
        utils.ensure_folder_permissions(self._bin, 0o055)
        utils.ensure_folder_permissions(self._bin.parent / "lib", 0o044)
        os.chown(self.place, found.pw_uid, found.pw_gid)
        self._as = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}

    def start(self) -> None:
        """Until it takes connections, however long that is."""
        settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        with open(self.place / "log", "ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, "-k", self.place, *settings],
                stdout=log,
                stderr=log,
                **self._as,
            )
        while not self._is_ready():
            assert self._process.poll() is None, (self.place / "log").read_text()
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return lines[0] == str(self._process.pid) and len(lines) > 7 and lines[7].strip() == "ready"

    def kill(self) -> None:
        """The server at once; its other processes notice and end, as they do after a crash."""
        others = psutil.Process(self._process.pid).children()
        self._process.kill()
        self._process.wait()
        # Where nobody reaps, the dead stay in the table as zombies.
        while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in others):
            time.sleep(0.02)

    def close(self) -> None:
        """Without a trace."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
        shutil.rmtree(self.place, ignore_errors=True)
