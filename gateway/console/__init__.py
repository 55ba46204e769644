"""The console: what people see of a gateway in a browser.

Pages are rendered on the server and complete without scripts; small ES modules add to them. A page takes a few lines:

1. A handler in a module of `gateway/console/pages/`, which returns what its template needs (or a response of its own,
   such as `visit.redirect("/usage")`):

       @page("GET", "/usage", template="usage.html", needs="account")
       async def usage(visit: Visit) -> Answer:
           \"\"\"What the account used.\"\"\"
           return {"rows": await rows_of(visit.visitor.account_id)}

   `page` makes a value of the function, the module names its pages in `PAGES`, and `pages/__init__.py` adds them up.
2. A template in `templates/`, which extends `base.html` (`title`, `content`) and uses the macros of `parts.html`.
   Everything is escaped. It knows `visit` (`visitor`, `base_url`, `flash`, `theme`, ...), `site` (the settings of
   the console), `money` (credits in the operator's currency), and the filters of `gateway.console.words`. Pages of the
   signed-in part extend `page.html`, which adds the rail.
3. A script, if one helps, as a module in `static/js/`, which `{% block scripts %}` names by
   `{{ static("js/usage.js") }}`. Inline scripts and styles do not run: the policy forbids them.

`needs="account"` sends strangers to the sign-in page and back; `needs="admin"` answers 404 to everybody else. A `POST`
page gets its fields in `visit.form`, after its origin and the visitor's token were checked; its template's form holds
`{{ csrf(visit) }}`. Faults raised by a handler become pages too. `visit.redirect(path, say="Key revoked.")` shows a
text on the next page. `await visit.shelf.get(make)` keeps what is made once per process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.deferred import later, named_in

if TYPE_CHECKING:
    from gateway.console.site import Console
    from gateway.generation import Runtime
    from gateway.http.routes import Routes

__all__ = ["Console", "ConsolePart"]

__getattr__ = named_in(__name__, {".site": "Console"})

_make: Callable[[], Console] = later("gateway.console.site:Console")


class ConsolePart:
    """Mounts the one console of a process, which is imported and made by then."""

    def __init__(self) -> None:
        self._console: Console | None = None
        self._making = threading.Lock()  # two generations may be built at the same time

    def __call__(self, routes: Routes, runtime: Runtime) -> None:
        with self._making:
            if self._console is None:
                self._console = _make()
        self._console.mount(routes, runtime)
