"""What is imported when it is first used, in several ways.

`later("package.module:name")` stands for a function or class until it is first called, `LateModule` for a module whose
names are used. `named_in` gives a package's
names out of the modules that define them, each when it is first asked for. `defer` is for packages of others: `import
package.part` then runs `package/__init__.py` only when something of it is asked for. aiohttp's imports its client,
which nothing here uses but the transport through a proxy, and which reads the certificates of the system's authorities
at import; prometheus_client's imports a web server.

A start is imports, and so is most of the memory of an idle process: a gateway that answers chat completions needs
neither the console nor the providers that its configuration does not name.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import threading
from collections.abc import Callable, Mapping
from importlib.abc import InspectLoader, ResourceLoader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_VERSION = re.compile(rb"""^__version__(?:: str)? = ["']([^"'\s]+)["']$""", re.MULTILINE)


class Later:
    """Stands for what `later` names. Whoever needs more than to call it asks for `load`."""

    __slots__ = ("_found", "place")

    def __init__(self, place: str) -> None:
        self.place = place
        self._found: Any = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.load()(*arguments, **named)

    def load(self) -> Any:
        """What it stands for; imports it. Raises whatever the import raises."""
        if self._found is None:
            module, _, path = self.place.partition(":")
            found: Any = importlib.import_module(module)
            for name in path.split("."):
                found = getattr(found, name)
            self._found = found
        return self._found


class LateModule:
    """A module that is imported when a name of it is first asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(importlib.import_module(self._name), name)
        setattr(self, name, value)
        return value


def later(place: str) -> Any:
    """A function or class that is imported when it is first called. place: `package.module:name`. Types are told by an
    import of the same name under TYPE_CHECKING, or by an annotation."""
    return Later(place)


def named_in(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package's `__init__.py` whose names are defined elsewhere. places: module -> the names to
    be had of it, with spaces between; a module that begins with a dot is one of the package."""
    found = {name: module for module, names in places.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in found:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(found[name], package), name)
        setattr(sys.modules[package], name, value)
        return value

    return get


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
