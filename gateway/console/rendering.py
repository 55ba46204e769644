"""Templates to HTML. Jinja2 is loaded, and every template compiled, at the first page, in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.console import words
from gateway.console.assets import Assets

FOLDER = Path(__file__).parent / "templates"


class Templates:
    """All templates of the console, compiled, and the static files they name. Everything that a template prints is
    escaped."""

    def __init__(self, folder: Path = FOLDER) -> None:
        from jinja2 import DictLoader, Environment, StrictUndefined
        from markupsafe import Markup

        sources = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.html")}
        self._environment = Environment(
            loader=DictLoader(sources),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            cache_size=len(sources) + 1,
        )
        self._environment.filters |= {
            "extract": lambda key, table: table[key],
            "number": words.number,
            "tokens": words.tokens,
            "marked": words.marked,
            "browser": words.browser,
            "duration": words.duration,
            "moment": words.moment,
            "for_script": lambda value: Markup(words.json_for_script(value)),
        }
        self.assets = Assets()
        self._environment.globals["static"] = self.assets.url
        for name in sources:
            self._environment.get_template(name)

    def render(self, template: str, values: Mapping[str, Any]) -> bytes:
        """The page. Raises jinja2.TemplateError for a variable that is not there."""
        return self._environment.get_template(template).render(values).encode()
