"""Checks across sections, and remarks on what can be used but is probably not meant."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import ip_address

from gateway.config.document import Document, Problem, Where, quote, show_path
from gateway.config.explain import Checker
from gateway.config.sections import Core
from gateway.config.settings import Alias, ModelEntry, ProviderEntry

MAX_ALIAS_LEVELS = 8


def _no_plugin(checker: Checker, told: str, plugin: str, plugins: Collection[str]) -> str:
    hint = checker.guess(plugin, plugins) or f"; loaded: {', '.join(sorted(plugins)) or 'none'}"
    return f"no plugin is named {told}{hint}"


def check_names(checker: Checker, names: set[str], plugins: Collection[str] | None, left_out: Collection[str]) -> None:
    """`pipeline` names nobody twice and only loaded plugins, `plugins.enable` and `disable` only what is there;
    `default_model` is one of `names`.

    Looks at the plain values, so that these are checked also when another part of the file is wrong.
    """
    document = checker.document
    pipeline = document.values.get("pipeline")
    first: dict[str, int] = {}
    for index, plugin in enumerate(pipeline if isinstance(pipeline, list) else []):
        if not isinstance(plugin, str):
            continue
        path: Where = ("pipeline", index)
        told = _told(document, path, plugin)
        if plugin in first:
            document.report(path, f"{told} is listed twice, first as entry {first[plugin] + 1}")
        elif plugins is not None and plugin not in plugins:
            document.report(path, _no_plugin(checker, told, plugin, plugins))
        first.setdefault(plugin, index)
    section = document.values.get("plugins")
    listed = section if isinstance(section, dict) else {}
    enabled, disabled = listed.get("enable"), listed.get("disable")
    never = disabled if isinstance(disabled, list) else []
    for index, plugin in enumerate(enabled if isinstance(enabled, list) else []):
        # Misspelt, a step such as `quota` would be left out without a word.
        if isinstance(plugin, str) and plugins is not None and plugin not in plugins and plugin not in never:
            path = ("plugins", "enable", index)
            document.report(path, _no_plugin(checker, _told(document, path, plugin), plugin, plugins))
    for index, plugin in enumerate(never):
        # Misspelt, the one that was meant would go on.
        if isinstance(plugin, str) and plugins is not None and plugin not in plugins and plugin not in left_out:
            path = ("plugins", "disable", index)
            there = {*plugins, *left_out}
            document.report(path, _no_plugin(checker, _told(document, path, plugin), plugin, there))
    default = document.values.get("default_model")
    if default and isinstance(default, str) and default not in names:
        told = _told(document, ("default_model",), default)
        document.report(("default_model",), f"no model or alias is named {told}{checker.guess(default, names)}")


def check_aliases(checker: Checker, aliases: Mapping[str, Alias], names: set[str]) -> None:
    """Every entry leads to a model, without circles, and none twice.

    names: all model ids and aliases in the file, also those with problems of their own.
    """
    document = checker.document
    for alias in aliases.values():
        seen: set[str] = set()
        for index, entry in enumerate(alias.entries):
            path = _entry_path(document, alias.name, index)
            told = _told(document, path, entry.model)
            if entry.model not in names:
                document.report(path, f"no model or alias is named {told}{checker.guess(entry.model, names)}")
            elif entry.model in seen:
                document.report(path, f"{told} is listed twice in this alias")
            seen.add(entry.model)
            inner = aliases.get(entry.model)
            if entry.weight is not None and inner is not None and len(inner.entries) > 1:
                document.report(path, f"an entry with a weight must name a model, and {told} is an alias of several")
    _check_circles(document, aliases)


def _entry_path(document: Document, name: str, index: int) -> Where:
    """Where the file names an entry's model: the alias itself, a list item, or the `model` in a section."""
    path: Where = ("aliases", name, index)
    if path not in document.lines:
        path = ("aliases", name)
    return (*path, "model") if (*path, "model") in document.lines else path


def _check_circles(document: Document, aliases: Mapping[str, Alias]) -> None:
    pending = {
        name: [entry.model for entry in alias.entries if entry.model in aliases] for name, alias in aliases.items()
    }
    for _ in range(MAX_ALIAS_LEVELS):
        settled = [name for name, inner in pending.items() if not any(other in pending for other in inner)]
        for name in settled:
            del pending[name]
    # What is left leads into a circle, or too deep. Following one open reference of each finds every circle that
    # has no other circle behind it, in linear time and without recursion.
    following = {name: next((other for other in inner if other in pending), None) for name, inner in pending.items()}
    circles = 0
    done: set[str] = set()
    for start in following:
        trail: list[str] = []
        here: str | None = start
        while here is not None and here not in done:
            done.add(here)
            trail.append(here)
            here = following[here]
        if here in trail:
            circles += 1
            _report_circle(document, trail[trail.index(here) :])
    if following and not circles:
        deepest = min(following, key=lambda name: document.line(("aliases", name)))
        document.report(("aliases", deepest), f"leads through more than {MAX_ALIAS_LEVELS} levels of aliases")


def _report_circle(document: Document, steps: list[str]) -> None:
    first = min(range(len(steps)), key=lambda index: document.line(("aliases", steps[index])))
    ordered = [*steps[first:], *steps[:first], steps[first]]
    shown = [quote(name)[1:-1] for name in ordered]
    if len(shown) > 10:
        shown[5:-4] = ["..."]
    document.report(("aliases", steps[first]), f"leads in a circle: {' -> '.join(shown)}")


def warnings(
    document: Document, core: Core, providers: Mapping[str, ProviderEntry], models: Mapping[str, ModelEntry]
) -> tuple[str, ...]:
    """Remarks in the form of problems, sorted by line."""
    remarks: list[tuple[Where, str]] = []
    server = core.server
    if not _is_loopback(server.host) and server.public_url is None and not server.trusted_proxies:
        remarks.append(
            (
                ("server", "host"),
                "other machines can connect, and keys would travel unencrypted: put a proxy with TLS in front "
                "(then set trusted_proxies and public_url), or listen on 127.0.0.1",
            )
        )
    if core.log.bodies:
        written = "what people write, and every answer, will stand in the log"
        unwritten = "nothing is logged of them unless `log.level` is `debug`"
        remarks.append((("log", "bodies"), written if core.log.level == "debug" else unwritten))
    if not providers:
        remarks.append((("providers",), "no provider is configured, so no request can be answered"))
    if core.default_model is None:
        remarks.append((("default_model",), "not set: a request that names no model will be refused"))
    for model in models.values():
        remarks.extend((("models", model.id), remark) for remark in _model_remarks(model))
    problems = [Problem(document.line(where), show_path(where), text) for where, text in remarks]
    return tuple(problem.render(document.name) for problem in sorted(problems))


def _model_remarks(model: ModelEntry) -> list[str]:
    settings = model.settings
    remarks = []
    if model.price is None and not settings.free:
        remarks.append("has no price, so requests for it are refused; give it one, or say `free: true`")
    price = settings.price
    if price is not None and not any(getattr(price, name) for name in type(price).model_fields):
        remarks.append("all its prices are 0; `free: true` says so more plainly")
    # What is no text is bounded by the request itself.
    writes = settings.operations is None or "chat" in settings.operations
    if price is not None and writes and settings.max_output is None and settings.context is None:
        remarks.append("has neither max_output nor context, so the cost of a request has no known upper bound")
    if settings.max_output is not None and settings.context is not None and settings.max_output > settings.context:
        remarks.append("max_output is larger than context")
    return remarks


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _told(document: Document, where: Where, value: str) -> str:
    """A value in quotes, or the variable it came from."""
    names = document.origins.get(where)
    return "the value of " + " and ".join(f"${{{name}}}" for name in names) if names else quote(value)
