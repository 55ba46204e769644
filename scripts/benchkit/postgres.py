"""The gateway on PostgreSQL as a target: a server of its own from the wheel `pgserver`, or one that runs already."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchkit.targets import CannotMeasure, Gateway, Place

NAME = "gateway-postgres"


class PostgresGateway(Gateway):
    """Like `Gateway`, with its database elsewhere. where: `postgres` for a server that is started here, on the cores of
    the load; else the URL of an empty database."""

    def __init__(self, place: Place, serve: str, where: str) -> None:
        super().__init__(place, serve, NAME)
        self._where = where
        self._server: Any = None
        self._home: Path | None = None

    def prepare(self) -> None:
        """Start the server first. Raises CannotMeasure where there is none."""
        url = self._where if "://" in self._where else self._start()
        self.extra_yaml = f'database: {{url: "{url}"}}\n'
        super().prepare()

    def _start(self) -> str:
        try:
            import pgserver
        except ImportError:
            raise CannotMeasure(
                "the wheel pgserver is not installed; name a server by --store postgresql://..."
            ) from None
        # Run as root, the server becomes another user, who could not get at the folder of this run.
        self._home = Path(tempfile.mkdtemp(prefix="gateway-bench-postgres-"))
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.place.load_cores)
        try:
            self._server = pgserver.get_server(self._home, cleanup_mode="stop")
        finally:
            os.sched_setaffinity(0, before)
        return str(self._server.get_uri())

    def close(self) -> None:
        """Stop the server, and leave nothing of it."""
        if self._server is not None:
            with contextlib.suppress(Exception):  # what is left of a server is not worth an interrupted report
                self._server.cleanup()
            self._server = None
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
