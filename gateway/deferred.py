"""Packages that are imported in parts: `import package.part` runs `package/__init__.py` only when something of it is
asked for.

aiohttp's `__init__.py` imports its client, which nothing here uses but the transport through a proxy, and which reads
the certificates of the system's authorities at import; prometheus_client's imports a web server. Together they are a
tenth of a start and 5 MB.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import threading
from importlib.abc import InspectLoader, ResourceLoader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_VERSION = re.compile(rb"""^__version__(?:: str)? = ["']([^"'\s]+)["']$""", re.MULTILINE)


def defer(name: str) -> None:
    """From now on this package is imported in parts. Nothing changes when it is imported already, is not installed, or
    is no package of Python files."""
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations or not isinstance(spec.loader, InspectLoader):
        return
    module = importlib.util.module_from_spec(spec)
    vars(module)["__getattr__"] = _Whole(module, spec, spec.loader)
    sys.modules[name] = module


class _Whole:
    """The `__getattr__` of a package whose `__init__.py` has not run. Threads may find it at the same time: what both
    then run consists of imports and definitions, so that no lock has to be held while modules are locked."""

    def __init__(self, module: ModuleType, spec: ModuleSpec, loader: InspectLoader) -> None:
        self._module, self._spec, self._loader = module, spec, loader
        self._running: set[int] = set()

    def __call__(self, attribute: str) -> Any:
        if attribute == "__version__" and (version := self._version()):
            return version
        if threading.get_ident() in self._running or (attribute.startswith("__") and attribute != "__version__"):
            raise AttributeError(f"module {self._spec.name!r} has no attribute {attribute!r}")
        if importlib.util.find_spec(f"{self._spec.name}.{attribute}") is not None:
            return importlib.import_module(f"{self._spec.name}.{attribute}")
        self._run()
        return getattr(self._module, attribute)

    def _run(self) -> None:
        me = threading.get_ident()
        self._running.add(me)
        try:
            self._loader.exec_module(self._module)
        finally:
            self._running.discard(me)
        own = vars(self._module)
        if own.get("__getattr__") is self:  # the file may define another
            del own["__getattr__"]

    def _version(self) -> str:
        """As it stands in the file; parts ask for it."""
        if self._spec.origin is None or not isinstance(self._loader, ResourceLoader):
            return ""
        try:
            found = _VERSION.search(self._loader.get_data(self._spec.origin))
        except OSError:
            return ""
        return found[1].decode() if found else ""
