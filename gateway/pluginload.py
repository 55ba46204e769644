"""Find plugins, register them with pluggy, and refuse the ones that cannot work, saying where.

Plugins come from three places: the gateway's own list (built-in chain steps, bundled providers), installed
distributions with an entry point in the group `gateway`, and plain `.py` files in `plugins.dir`.
Each gateway has its own plugin manager and its own plugin instances, so several can run in one process.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, get_type_hints

import pluggy

from gateway import __version__, hookspecs
from gateway.deferred import Later
from gateway.errors import ConfigFault
from gateway.provider import Provider, ProviderKind

ENTRY_POINT_GROUP = "gateway"
API_VERSION = 1
"""Of the plugin interface: `gateway.api` and the hooks. It grows when a plugin that was right may be wrong now."""
PLUGIN_CLASS = "Plugin"


class _Manager(pluggy.PluginManager):
    """pluggy looks at each name of a plugin as if it could be a descriptor that must not be run. Nearly all names of a
    plugin are plain functions without a mark or no functions at all, and a start asks for all names of all plugins."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        """The options of a hook implementation as pluggy reads them, None for anything else."""
        found = _written(plugin, name)
        if isinstance(found, FunctionType):
            hook = f"{self.project_name}_impl" in vars(found)
        else:
            hook = isinstance(found, (staticmethod, classmethod, MethodType, MemberDescriptorType))
        return super().parse_hookimpl_opts(plugin, name) if hook else None


def _written(plugin: object, name: str) -> object:
    """What stands under a name of a module or object, or of its classes, without running a descriptor."""
    own = vars(plugin) if hasattr(plugin, "__dict__") else {}
    if name in own:
        return own[name]
    classes = plugin.__mro__ if isinstance(plugin, type) else type(plugin).__mro__
    return next((vars(owner)[name] for owner in classes if name in vars(owner)), None)


class Plugins:
    """The registered plugins of one gateway, in order: those that `pipeline` names first, then by name. left_out: the
    names of those that are there, and are not to be used."""

    def __init__(self, manager: pluggy.PluginManager, names: Sequence[str], left_out: Iterable[str] = ()) -> None:
        self.manager = manager
        self.names = tuple(names)
        self.left_out = frozenset(left_out)

    def order(self, pipeline: Sequence[str]) -> Plugins:
        """The same plugins with those of `pipeline` (which must all be loaded) in front."""
        rest = [name for name in self.names if name not in pipeline]
        return Plugins(self.manager, [*pipeline, *rest], self.left_out)

    def implementations(self, hook: str) -> Iterator[tuple[str, pluggy.HookImpl]]:
        """The implementations of one hook in plugin order, each with its plugin's name."""
        by_name = {impl.plugin_name: impl for impl in getattr(self.manager.hook, hook).get_hookimpls()}
        for name in self.names:
            if name in by_name:
                yield name, by_name[name]

    def register(self, hook: str, **takers: Callable[[str, Any], None]) -> None:
        """Call a start-up hook in which plugins register something. takers: for each of the hook's arguments, what is
        called with the plugin's name and with what it registers."""
        for name, impl in self.implementations(hook):
            impl.function(*(functools.partial(takers[argument], name) for argument in impl.argnames))

    def call(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """Call a synchronous start-up hook on each plugin; returns (plugin name, result) pairs."""
        return [
            (name, impl.function(*(arguments[argument] for argument in impl.argnames)))
            for name, impl in self.implementations(hook)
        ]


def load(
    own: Mapping[str, object],
    *,
    directory: Path | None = None,
    enabled: Iterable[str] | None = None,
    disabled: Iterable[str] = (),
    entry_point_group: str | None = ENTRY_POINT_GROUP,
) -> Plugins:
    """Load and check all plugins.

    own: name -> module, class or object that the gateway brings itself. directory: a folder of `.py` files,
    each one plugin named after the file. enabled: the only names to load, None for all; disabled: names to leave out.
    A later source replaces an earlier one of
    the same name, so an operator can override a built-in step. Raises ConfigFault with every problem found.
    """
    found: dict[str, object] = dict(own)
    problems: list[str] = []
    only, never = None if enabled is None else set(enabled), set(disabled)

    left_out: set[str] = set()

    def wanted(name: str) -> bool:
        if (only is None or name in only) and name not in never:
            return True
        left_out.add(name)
        return False

    for point in _installed(entry_point_group) if entry_point_group else ():
        if not wanted(point.name):
            continue
        try:
            found[point.name] = point.load()
        except (Exception, SystemExit) as error:  # a plugin is foreign code: what it raises becomes a start-up problem
            problems.append(f"plugin {point.name} ({point.value}): cannot be imported: {_describe(error)}")
    for path in sorted(directory.glob("*.py")) if directory else ():
        if path.stem.startswith("_") or not wanted(path.stem):
            continue
        try:
            found[path.stem] = import_file(path)
        except (Exception, SystemExit) as error:  # as above
            problems.append(f"plugin {path.stem}: {path}: cannot be imported: {_describe(error)}")

    manager = _Manager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    names = sorted(name for name in found if wanted(name))
    for name in names:
        try:
            plugin = _instance(found[name])
        except (Exception, SystemExit) as error:  # as above
            problems.append(f"plugin {name}: cannot be created: {_describe(error)}")
            continue
        faults = [*_version_faults(name, found[name], plugin), *_check(name, plugin, manager)]
        problems.extend(faults)
        if not faults:
            manager.register(plugin, name)
    if problems:
        raise ConfigFault(problems)
    return Plugins(manager, names, left_out)


def _installed(group: str) -> EntryPoints:
    """The entry points of all installed distributions. Reading their metadata costs 5 ms and more, so it is read again
    only when a folder of the import path has changed, as installing changes it."""
    return _entry_points(group, tuple((place, _changed_at(place)) for place in sys.path))


@functools.lru_cache(maxsize=4)
def _entry_points(group: str, places: tuple[tuple[str, int], ...]) -> EntryPoints:
    return entry_points(group=group)


def _changed_at(place: str) -> int:
    try:
        return os.stat(place or ".").st_mtime_ns
    except OSError:
        return 0


def _instance(found: object) -> object:
    """One plugin object per gateway: classes are instantiated, also a module's class named `Plugin`."""
    if isinstance(found, ModuleType):
        found = getattr(found, PLUGIN_CLASS, found)
    return found() if inspect.isclass(found) else found


def _version_faults(name: str, found: object, plugin: object) -> Iterator[str]:
    """A plugin may say, as `api_version`, for which version of the plugin interface it was written."""
    wanted = getattr(plugin, "api_version", getattr(found, "api_version", API_VERSION))
    if wanted == API_VERSION and not isinstance(wanted, bool):
        return
    where = f"plugin {name}: api_version is {wanted!r}, but this gateway ({__version__}) has version {API_VERSION}"
    if not isinstance(wanted, int) or isinstance(wanted, bool):
        yield f"{where}; it must be a whole number"
    elif wanted > API_VERSION:
        yield f"{where} of the plugin interface: update the gateway, or install an older version of the plugin"
    else:
        yield (
            f"{where} of the plugin interface: update the plugin; the changelog names what has changed since, under "
            "`Plugin interface`"
        )


def import_file(path: Path) -> ModuleType:
    """The module that a plain file holds, under a name of its own. Raises what it raises."""
    # The digest keeps two folders with equal file names apart when two gateways run in one process.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"gateway_plugin_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pydantic look a class's module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:  # cancellation too; raised again once things are put right
        sys.modules.pop(name, None)
        raise
    return module


def _check(name: str, plugin: object, manager: pluggy.PluginManager) -> list[str]:
    """Everything wrong with a plugin's hook functions, each with file and line."""
    specs = _hook_names()
    problems = []
    for attribute in dir(plugin):
        if attribute.startswith("__"):
            continue
        marked = manager.parse_hookimpl_opts(plugin, attribute)
        if marked is None and attribute not in specs:
            continue
        function = inspect.getattr_static(plugin, attribute, None)
        if marked is None:
            if inspect.isfunction(function):
                problems.append(f"{_where(name, function)}: {attribute} bears a hook's name but lacks @hookimpl")
            continue
        for what in _hook_faults(attribute, getattr(plugin, attribute), dict(marked), specs):
            problems.append(f"{_where(name, function)}: {attribute}: {what}")
    return problems


@functools.cache
def _hook_names() -> frozenset[str]:
    return frozenset(spec for spec in dir(hookspecs) if hasattr(getattr(hookspecs, spec), f"{hookspecs.PROJECT}_spec"))


def _hook_faults(attribute: str, function: Any, options: dict[str, Any], specs: frozenset[str]) -> Iterator[str]:
    hook = options.get("specname") or attribute
    if hook not in specs:
        yield f"there is no such hook; the hooks are: {', '.join(sorted(specs))}"
        return
    if options.get("hookwrapper") or options.get("wrapper"):
        yield "hook wrappers are not supported, because requests do not pass through pluggy"
    if options.get("tryfirst") or options.get("trylast"):
        yield "tryfirst/trylast have no effect here; the order is what `pipeline:` in the configuration says"
    known = arguments_of(getattr(hookspecs, hook))
    for argument in arguments_of(function):
        if argument not in known:
            yield f"unknown argument '{argument}'; the hook offers: {', '.join(known) or 'none'}"
    is_async = inspect.iscoroutinefunction(function)
    if hook in hookspecs.ASYNC_HOOKS and not is_async:
        yield "must be `async def`"
    if hook not in hookspecs.ASYNC_HOOKS and is_async:
        yield "must be a plain `def`, not async"


def registered_providers(plugins: Plugins) -> tuple[dict[str, ProviderKind], dict[str, str]]:
    """The kinds of providers that the plugins offer, and which plugin offers each. Raises ConfigFault for a kind whose
    `create` is a class, or says that it returns one, which lacks a method or has a wrong one."""
    kinds: dict[str, ProviderKind] = {}
    owners: dict[str, str] = {}
    problems: list[str] = []

    def register(name: str, kind: ProviderKind) -> None:
        kinds[kind.kind] = kind
        owners[kind.kind] = name
        problems.extend(creation_faults(name, kind.create, Provider, "a provider"))

    plugins.register("register_providers", register=register)
    if problems:
        raise ConfigFault(problems)
    return kinds, owners


def registered_creations(plugins: Plugins, hook: str, protocol: type[Any], what: str) -> dict[str, Any]:
    """What plugins register in a hook of kinds with `kind` and `create`, by `kind`. Raises ConfigFault as
    `registered_providers` does. what: `a payment service`."""
    kinds: dict[str, Any] = {}
    problems: list[str] = []

    def register(name: str, kind: Any) -> None:
        kinds[kind.kind] = kind
        problems.extend(creation_faults(name, kind.create, protocol, what))

    plugins.register(hook, register=register)
    if problems:
        raise ConfigFault(problems)
    return kinds


def registered_schemes(plugins: Plugins, hook: str, protocol: type[Any], what: str) -> dict[str, Any]:
    """What plugins register in a hook of kinds that a URL's scheme chooses, by scheme. Raises ConfigFault for one that
    lacks a method of `protocol`, or has a wrong one. what: `a store`."""
    kinds: dict[str, Any] = {}
    problems: list[str] = []

    def register(name: str, kind: Any) -> None:
        problems.extend(_method_faults(name, kind, protocol, what))
        if hasattr(kind, "schemes"):
            kinds.update(dict.fromkeys(kind.schemes, kind))
        else:
            problems.append(f"{_where_class(name, type(kind))}: {what} needs the attribute `schemes`")

    plugins.register(hook, register=register)
    if problems:
        raise ConfigFault(problems)
    return kinds


def check_late(plugins: Plugins) -> None:
    """Import what plugins put off until it is used (`later`). Raises ConfigFault for what cannot be imported."""
    problems: dict[str, None] = {}
    for name in plugins.names:
        plugin = plugins.manager.get_plugin(name)
        whole = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__
        package = whole.partition(".")[0]
        modules = [module for at, module in list(sys.modules.items()) if at.partition(".")[0] == package]
        for value in [value for module in modules for value in vars(module).values()]:
            problems.update(dict.fromkeys(late_faults(name, value)))
    if problems:
        raise ConfigFault(list(problems))


def late_faults(plugin: str, value: object) -> Iterator[str]:
    """Why something that a plugin put off cannot be imported; nothing for whatever was not put off."""
    if isinstance(value, Later):
        try:
            value.load()
        except (Exception, SystemExit) as error:  # a plugin is foreign code, as in `load`
            yield f"plugin {plugin} ({value.place}): cannot be imported: {_describe(error)}"


def creation_faults(plugin: str, create: Any, protocol: type[Any], what: str) -> Iterator[str]:
    """What is wrong with what a kind creates, where that is known beforehand: `create` is a class, or says that it
    returns one. what: `a provider`, or another word for what `protocol` describes."""
    made = create if inspect.isclass(create) else _returned_class(create)
    if made is not None and made is not protocol:
        yield from _method_faults(plugin, made, protocol, what)


def check_providers(providers: Iterable[tuple[str, Provider]], protocol: type[Any] = Provider) -> None:
    """Does each instance have what the gateway will call? providers: each with the plugin that made it. protocol:
    `Provider`, or `MediaProvider` for those whose profile asks for media as bytes. Raises ConfigFault with plugin, file
    and line of everything that is missing, takes other arguments or is async."""
    problems: dict[str, None] = {}
    for plugin, provider in providers:
        for problem in _method_faults(plugin, provider, protocol, "a provider"):
            problems[problem] = None
        for attribute in ("name", "transport"):
            if not hasattr(provider, attribute):
                problems[f"{_where_class(plugin, type(provider))}: a provider needs the attribute `{attribute}`"] = None
    if problems:
        raise ConfigFault(list(problems))


def _returned_class(create: Any) -> type[Any] | None:
    try:
        found = get_type_hints(create).get("return")
    except (NameError, TypeError, AttributeError):
        return None  # annotations that cannot be resolved: the instance is checked all the same
    return found if inspect.isclass(found) else None


def _method_faults(plugin: str, found: Any, protocol: type[Any], what: str) -> Iterator[str]:
    """What is wrong with the methods of a class, or of an instance, by the signatures of `protocol`, as it calls them:
    its parameters with a name alone by name, the others by place."""
    owner = found if inspect.isclass(found) else type(found)
    for name, model in inspect.getmembers(protocol, inspect.isfunction):
        if name.startswith("_"):
            continue
        parameters = list(inspect.signature(model).parameters.values())[1:]
        arguments = [parameter.name for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
        named = {parameter.name: None for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
        shown = f"{name}({', '.join(('self', *arguments, *(['*', *named] if named else ())))})"
        method = getattr(found, name, None)
        if not callable(method):
            yield f"{_where_class(plugin, owner)}: {what} needs the method {shown}"
            continue
        given = (found, *arguments) if inspect.isclass(found) else arguments
        try:
            inspect.signature(method).bind(*given, **named)
        except TypeError as error:
            yield f"{_where(plugin, method)}: must take {shown}: {error}"
        is_async = inspect.iscoroutinefunction(method)
        if inspect.iscoroutinefunction(model):
            if not is_async:
                yield f"{_where(plugin, method)}: {name}: must be `async def`"
        elif is_async or inspect.isasyncgenfunction(method):
            yield f"{_where(plugin, method)}: {name}: must be a plain `def`, not async"


def _where_class(plugin: str, owner: type[Any]) -> str:
    try:
        return f"plugin {plugin}: {inspect.getsourcefile(owner)}:{inspect.getsourcelines(owner)[1]}"
    except (OSError, TypeError):
        return f"plugin {plugin}: {owner.__name__}"


def arguments_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The argument names of a hook or its implementation, without `self`."""
    return tuple(inspect.signature(function).parameters)


def _where(name: str, function: Any) -> str:
    function = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(function, "__code__", None)
    return f"plugin {name}: {code.co_filename}:{code.co_firstlineno}" if code else f"plugin {name}"


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
