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

from gateway.console.site import Console

__all__ = ["Console"]
