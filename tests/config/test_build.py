"""Checking: the exact text of every problem, and the frozen result."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from ipaddress import ip_network

import pydantic
import pytest
from pydantic import BaseModel

from gateway import config
from gateway.call import Price
from gateway.config import sections
from gateway.errors import ConfigFault

BASE = """\
providers:
  echo:
models:
  echo/a: {price: {input: 1, output: 2}}
  echo/b: {free: true}
aliases:
"""

PRICE = "must be an amount in USD of 0 or more, written plainly as in 0.40, with at most 12 decimal places"
TIME = "must be a time such as 500ms, 60s, 2m, 1h or 7d"
SECTION = "must be a section with `key: value` lines"
ID = "a model's id is written provider/model, of letters, digits and . _ : @ + ~ -, without `..`"
ADDRESS = "must be an address such as https://llm.example.org, without user, query or fragment"
SLASHES = (
    "a SQLite URL has three slashes before a relative path, sqlite:///data/gateway.db, "
    "and four before an absolute one, sqlite:////var/lib/gateway.db"
)


def test_defaults(build):
    made = build("")
    assert made.server == sections.Server()
    assert (made.server.host, made.server.port, made.server.max_body) == ("127.0.0.1", 8080, 20 << 20)
    assert (made.server.drain, made.server.keep_alive, made.server.json_depth) == (60.0, 15.0, 128)
    assert made.server.json_values == 400_000
    assert (made.upstream.total, made.upstream.backoff, made.upstream.max_event) == (1800.0, 0.25, 32 << 20)
    assert (made.credits.per_usd, made.credits.signup_grant, made.credits.minimum_output) == (1_000_000, 0, 16)
    assert (made.keys.prefix, made.keys.per_account) == ("mghp_", 10)
    assert made.pipeline == ("auth", "model_allow_list", "rate_limit", "quota", "routing", "usage_log")
    assert made.plugins == sections.PluginSettings()
    assert (made.default_model, made.strict, made.metrics.enabled, made.log.bodies) == (None, False, True, False)
    assert made.section("rate_limit").requests_per_minute == 60
    assert made.warnings == (
        "config.yaml:1: default_model: not set: a request that names no model will be refused",
        "config.yaml:1: providers: no provider is configured, so no request can be answered",
    )
    with pytest.raises(KeyError):
        made.section("nobody")


def test_sections_with_nothing_below_them_are_absent(build):
    made = build("server:\nrate_limit:\nproviders:\nmodels:\naliases:\nlog:\ndefault_model:\n")
    assert made.server == sections.Server()
    assert made.section("rate_limit").requests_per_minute == 60


def test_everything_is_taken_over(build):
    made = build(
        """\
server: {host: "::1", port: 0, max_body: 1MiB, drain: 0, trusted_proxies: [10.0.0.0/8, "::1"],
         public_url: "https://llm.example.org/api/"}
rate_limit: {requests_per_minute: 5}
pipeline: [auth]
providers:
  main: {plugin: server, api_key: "${KEY}", timeout: 2m, quirks: {stream: false}}
  echo:
models:
  main/vendor/m-1: {upstream: "4.1", provider: main, price: {input: 0.10, output: 1.60, per_request: 0.01},
    context: 1000, max_output: 100, input_modalities: [text, image], options: {a: [1.5, {b: x}]}}
  echo/b: {free: true, name: B, description: Free., supported_parameters: [seed]}
aliases:
  one: echo/b
  two: [main/vendor/m-1, {model: echo/b, weight: 2}, {model: one, when: unavailable}]
default_model: two
strict: true
""",
        {"KEY": "sk-secret"},
    )
    assert made.warnings == ()
    assert made.server.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert made.server.public_url == "https://llm.example.org/api"
    assert made.section("rate_limit").requests_per_minute == 5
    provider = made.providers["main"]
    assert (provider.name, provider.plugin, provider.where) == ("main", "server", "config.yaml:6")
    assert (provider.settings.api_key, provider.settings.timeout) == ("sk-secret", 120.0)
    assert made.secrets == {"sk-secret"}
    assert "sk-secret" not in repr(made)
    model = made.models["main/vendor/m-1"]
    assert (model.provider, model.upstream, model.where) == ("main", "4.1", "config.yaml:9")
    assert model.price == Price(input=Decimal("0.10"), output=Decimal("1.6"), per_request=Decimal(10_000))
    assert model.settings.options == {"a": (1.5, {"b": "x"})}
    free = made.models["echo/b"]
    assert (free.provider, free.upstream, free.price, free.settings.free) == ("echo", "b", None, True)
    assert [entry.model for entry in made.aliases["two"].entries] == ["main/vendor/m-1", "echo/b", "one"]
    assert [entry.weight for entry in made.aliases["two"].entries] == [None, 2.0, None]
    assert [entry.when for entry in made.aliases["two"].entries] == [None, None, "unavailable"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("servr: {}", "1: servr: unknown key; did you mean server?"),
        ("zzz: 1", "1: zzz: unknown key"),
        ("rate-limit: {}", "1: rate-limit: unknown key; did you mean rate_limit?"),
        ("\nserver:\n  prot: 1", "3: server.prot: unknown key; did you mean port?"),
        ("server: 5", f"1: server: {SECTION} (found 5)"),
        ("server: [a]", f"1: server: {SECTION}"),
        ("server: {port: 70000}", "1: server.port: must be at most 65535 (found 70000)"),
        ("server: {port: -1}", "1: server.port: must be at least 0 (found -1)"),
        ('server:\n  port: "8080"', '2: server.port: must be a whole number, without quotes (found "8080")'),
        ("server: {port: x}", '1: server.port: must be a whole number (found "x")'),
        ("server: {port: 80.5}", "1: server.port: must be a whole number (found 80.5)"),
        ("server: {port: true}", "1: server.port: must be a whole number (found true)"),
        ("server: {port: [1]}", "1: server.port: must be a whole number"),
        ("server: {port: ~}", "1: server.port: must be a whole number (found nothing)"),
        ("server: {host: 4.5}", "1: server.host: must be text: put it in quotes (found 4.5)"),
        ("server: {host: ''}", '1: server.host: must not be empty (found "")'),
        ("server: {host: 'http://x'}",
         "1: server.host: must be a host name or an IP address alone, such as 127.0.0.1, 0.0.0.0 or :: "
         '(found "http://x")'),
        ("server: {drain: 60}",
         "1: server.drain: a time needs a unit: ms, s, m, h or d, as in 500ms, 60s, 2m, 1h, 7d (found 60)"),
        ("server: {drain: 1 hour}", f'1: server.drain: {TIME} (found "1 hour")'),
        ("server: {body_timeout: 0}", "1: server.body_timeout: must be greater than 0 (found 0)"),
        ("server: {max_body: 0}", "1: server.max_body: must be greater than 0 (found 0)"),
        ("server: {max_body: 20M}",
         '1: server.max_body: must be a size such as 64KiB, 20MiB or 1GB, or a whole number of bytes (found "20M")'),
        ("server: {json_values: 10}", "1: server.json_values: must be at least 1000 (found 10)"),
        ("server: {json_depth: 1000}", "1: server.json_depth: must be at most 250 (found 1000)"),
        ("server: {trusted_proxies: 10.0.0.1}",
         '1: server.trusted_proxies: must be a list, as in [a, b] (found "10.0.0.1")'),
        ("server:\n  trusted_proxies:\n    - 10.0.0.1\n    - proxy",
         "4: server.trusted_proxies[1]: must be an IP address or a network such as 10.0.0.0/8 "
         '(with no bits set after the prefix) (found "proxy")'),
        ("server: {public_url: llm.example.org}", f'1: server.public_url: {ADDRESS} (found "llm.example.org")'),
        ("server: {public_url: 'https://a:b@c'}", f'1: server.public_url: {ADDRESS} (found "https://a:b@c")'),
        ("server: {public_url: 'http://[::1'}", f'1: server.public_url: {ADDRESS} (found "http://[::1")'),
        ("server: {public_url: 'http://a:b'}", f'1: server.public_url: {ADDRESS} (found "http://a:b")'),
        ("database: {url: gateway.db}",
         '1: database.url: must be a URL such as sqlite:///data/gateway.db (found "gateway.db")'),
        ("database: {url: 'postgresql://u@h/d'}",
         "1: database.url: no plugin offers a store for postgresql://; the kinds that there are: sqlite://"),
        ("database: {url: 'sqlite://a.db'}", f'1: database.url: {SLASHES}'),
        ("database: {url: 'sqlite:///:memory:'}",
         "1: database.url: the database must be a file: balances have to survive a restart"),
        ("credits: {signup_grant: 1.5}", "1: credits.signup_grant: must be a whole number (found 1.5)"),
        ("credits: {signup_grant: -1}", "1: credits.signup_grant: must be at least 0 (found -1)"),
        ("keys: {prefix: MG-}",
         '1: keys.prefix: must be small letters and digits and end in an underscore, such as mghp_ (found "MG-")'),
        ("keys: {per_accout: 1}", "1: keys.per_accout: unknown key; did you mean per_account?"),
        ("keys: {zzz: 1}", "1: keys.zzz: unknown key; known here: per_account, prefix"),
        ("log: {level: warn}",
         "1: log.level: must be debug, info, warning or error; did you mean warning? (found \"warn\")"),
        ("log: {bodies: yes}", '1: log.bodies: must be true or false (found "yes")'),
        ("log: {bodies: 'true'}", '1: log.bodies: must be true or false, without quotes (found "true")'),
        ("strict: 1", "1: strict: must be true or false (found 1)"),
        ("pipeline: auth", '1: pipeline: must be a list, as in [a, b] (found "auth")'),
        ("pipeline: [auth, {}]", "1: pipeline[1]: must be text"),
        ("pipeline:\n - auth\n - quota\n - auth", '4: pipeline[2]: "auth" is listed twice, first as entry 1'),
        ("plugins: {dir: 5}", "1: plugins.dir: must be the path of a folder (found 5)"),
        ("plugins: {disable: a}", '1: plugins.disable: must be a list, as in [a, b] (found "a")'),
        ("rate_limit: {requests_per_minute: 0}", "1: rate_limit.requests_per_minute: must be at least 1 (found 0)"),
        ("rate_limit: {per_minute: 1}",
         "1: rate_limit.per_minute: unknown key; did you mean requests_per_minute?"),
        ("rate_limit: 60", f"1: rate_limit: {SECTION} (found 60)"),
        ("careless: {limt: 2}", "1: careless.limt: unknown key; did you mean limit?"),
        ("careless: {url: bad}", '1: careless.url: bad is not a good address (found "bad")'),
        ('careless: {url: "bad\\n\\e"}',
         r"1: careless.url: bad\n\x1b is not a good address (found "
         r'"bad\n\u001b")'),
        ("careless: {url: raise}",
         "1: careless: the plugin's own check failed with KeyError; tell its author"),
        ("careless: {either: 5}",
         "1: careless.either: must be text: put it in quotes, or must be a list, as in [a, b] (found 5)"),
        ("default_model: nope", '1: default_model: no model or alias is named "nope"'),
        ("providers: []", "1: providers: must be a section with `name:` lines"),
        ("providers: {echo: 1}", f"1: providers.echo: {SECTION}"),
        ("providers: {a b: {plugin: echo}}",
         '1: providers."a b": a provider\'s name consists of letters, digits, - _ and .'),
        ("providers: {ecko: {}}",
         "1: providers.ecko: no plugin offers a kind of provider with this section's name; did you mean echo? "
         "(`plugin:` names the kind when it differs)"),
        ("providers:\n  x:\n    plugin: sever",
         '3: providers.x.plugin: no plugin offers this kind of provider; did you mean server? (found "sever")'),
        ("providers: {x: {plugin: 5}}",
         "1: providers.x.plugin: no plugin offers this kind of provider; installed: echo, server (found 5)"),
        ("providers: {echo: {api_key: x}}",
         "1: providers.echo.api_key: unknown key; known here: "
         "balance, endpoints, hosted_tools, keys, shared_ids, timeouts"),
        ("providers: {server: {api_kye: x}}", "1: providers.server.api_kye: unknown key; did you mean api_key?"),
        ("providers: {server: {quirks: {steam: 1}}}",
         "1: providers.server.quirks.steam: unknown key; did you mean stream?"),
        ("providers: {server: {timeout: 5}}",
         "1: providers.server.timeout: a time needs a unit: ms, s, m, h or d, as in 500ms, 60s, 2m, 1h, 7d (found 5)"),
        ("providers: {server: {api_key: 12345}}",
         "1: providers.server.api_key: must be text: put it in quotes (found a value that is not shown)"),
        ("models: 5", "1: models: must be a section with `name:` lines"),
        ("usage: {tag_metadata: [équipe_1, 'a b']}",
         '1: usage.tag_metadata[1]: must be a name of up to 64 letters, digits and . _ - (found "a b")'),
        (f"usage: {{tag_metadata: [{65 * 'a'}]}}",
         "1: usage.tag_metadata[0]: must be a name of up to 64 letters, digits and . _ - "
         f'(found "{57 * "a"}...")'),
    ],
)  # fmt: skip
def test_problems(problems, text, expected):
    assert problems(text) == [f"config.yaml:{expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpt: {free: true, provider: echo}", f"gpt: {ID}"),
        ("echo/../x: {free: true}", f'"echo/../x": {ID}'),
        ("echo/.: {free: true}", f'"echo/.": {ID}'),
        ("echo/: {free: true}", f"echo/: {ID}"),
        ("'echo/a b': {free: true}", f'"echo/a b": {ID}'),
        ('"echo/a\\n": {free: true}', f'"echo/a\\n": {ID}'),
        ("echo/" + "x" * 200 + ": {free: true}", '"echo/' + "x" * 72 + f'...": {ID}'),
        ("nobody/x: {free: true}",
         'nobody/x: `provider` is missing, and the provider "nobody" is not configured under providers'),
        ("m/x: {free: true, provider: ecko}",
         'm/x.provider: the provider is not configured under providers; did you mean echo? (found "ecko")'),
        ("echo/x: 5", f"echo/x: {SECTION} (found 5)"),
        ("echo/x: {fre: true}", "echo/x.fre: unknown key; did you mean free?"),
        ("echo/x: {price: {}}",
         "echo/x.price: needs at least one price; say `free: true` for a model that costs nothing"),
        ("echo/x: {price: 1}", f"echo/x.price: {SECTION} (found 1)"),
        ("echo/x: {price: {input: 1}}", "echo/x.price: needs output too; write 0 if that costs nothing"),
        ("echo/x: {price: {audio_input: 1}}",
         "echo/x.price: needs input and output too; write 0 if that costs nothing"),
        ("echo/x: {price: {input: -1, output: 1}}", f"echo/x.price.input: {PRICE} (found -1)"),
        ("echo/x: {price: {input: -0.5, output: 1}}", f"echo/x.price.input: {PRICE} (found -0.5)"),
        ("echo/x: {price: {input: 1e3, output: 1}}", f"echo/x.price.input: {PRICE} (found 1e3)"),
        ("echo/x: {price: {input: .nan, output: 1}}", f'echo/x.price.input: {PRICE} (found ".nan")'),
        ("echo/x: {price: {input: 2000000, output: 1}}", f"echo/x.price.input: {PRICE} (found 2000000)"),
        ("echo/x: {price: {input: 1000001.5, output: 1}}",
         "echo/x.price.input: must be at most 1000000 USD (found 1000001.5)"),
        ("echo/x: {price: {inptu: 1, input: 1, output: 1}}",
         "echo/x.price.inptu: unknown key; did you mean input?"),
        ("echo/x: {free: true, price: {input: 1, output: 1}}",
         "echo/x: has a price and is free: keep one of the two"),
        ("echo/x: {free: true, context: 0}", "echo/x.context: must be at least 1 (found 0)"),
        ("echo/x: {free: true, max_output: 9999999999999}",
         "echo/x.max_output: must be at most 1000000000 (found 9999999999999)"),
        ("echo/x: {free: true, upstream: 4.1}", "echo/x.upstream: must be text: put it in quotes (found 4.1)"),
        ("echo/x: {free: true, input_modalities: [txt]}",
         "echo/x.input_modalities[0]: must be text, image, audio, file or video; did you mean text? (found \"txt\")"),
        ("echo/x: {free: true, output_modalities: []}",
         "echo/x.output_modalities: must not be empty"),
        ("echo/x: {free: true, options: [1]}", f"echo/x.options: {SECTION}"),
    ],
)  # fmt: skip
def test_problems_of_models(problems, text, expected):
    assert problems(f"providers: {{echo: }}\nmodels:\n  {text}") == [f"config.yaml:3: models.{expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: echo/c", ['7: aliases.a: no model or alias is named "echo/c"; did you mean echo/b?']),
        ("a: [echo/a, b]", ['7: aliases.a[1]: no model or alias is named "b"; did you mean echo/b?']),
        ("a:\n   - model: echo/a\n   - model: echo/q",
         ['9: aliases.a[1].model: no model or alias is named "echo/q"; did you mean echo/b?']),
        ("a: {model: echo/q}", ['7: aliases.a.model: no model or alias is named "echo/q"; did you mean echo/b?']),
        ("a:", ["7: aliases.a: must name a model, or list several"]),
        ("a: []", ["7: aliases.a: must name a model, or list several"]),
        ("a: 5", ["7: aliases.a: must be a model's id, or a section with model, weight or when (found 5)"]),
        ("a: [[]]", ["7: aliases.a[0]: must be a model's id, or a section with model, weight or when"]),
        ("a: {weight: 1}", ["7: aliases.a.model: is missing"]),
        ("a: [{model: echo/a, wieght: 1}]", ["7: aliases.a[0].wieght: unknown key; did you mean weight?"]),
        ("a: [{model: echo/a, weight: 0}]", ["7: aliases.a[0].weight: must be greater than 0 (found 0)"]),
        ("a: [{model: echo/a, weight: -1.5}]", ["7: aliases.a[0].weight: must be greater than 0 (found -1.5)"]),
        ("a: [{model: echo/a, weight: true}]", ["7: aliases.a[0].weight: must be a number (found true)"]),
        ("a: [{model: echo/a, weight: 1e7}]", ["7: aliases.a[0].weight: must be at most 1000000 (found 1e7)"]),
        ("a: [{model: echo/a, when: never}]", ['7: aliases.a[0].when: must be unavailable (found "never")']),
        ("a: [echo/a, {model: echo/b, when: unavailable, weight: 1}]",
         ["7: aliases.a[1]: cannot have both weight and when; give the weighted entries an alias of their own"]),
        ("a: [echo/a, echo/a]", ['7: aliases.a[1]: "echo/a" is listed twice in this alias']),
        ("echo/a: echo/b", ["7: aliases.echo/a: there is a model of the same name; choose another"]),
        ("a b: echo/b",
         ['7: aliases."a b": an alias consists of letters, digits and . _ : @ + ~ - /, without `..`']),
        ("a: a", ["7: aliases.a: leads in a circle: a -> a"]),
        ("a: b\n  b: [echo/a, c]\n  c: [a]\n  d: a", ["7: aliases.a: leads in a circle: a -> b -> c -> a"]),
        ("a: [echo/a, b]\n  b: a\n  c: d\n  d: c\n  e: [a, c]",
         ["7: aliases.a: leads in a circle: a -> b -> a", "9: aliases.c: leads in a circle: c -> d -> c"]),
        ("z: y\n  y: z", ["7: aliases.z: leads in a circle: z -> y -> z"]),
        ("a: [echo/a, echo/b]\n  b: [{model: a, weight: 1}]",
         ['8: aliases.b[0].model: an entry with a weight must name a model, and "a" is an alias of several']),
        ("a0: echo/a\n" + "\n".join(f"  a{n}: a{n - 1}" for n in range(1, 10)),
         ["15: aliases.a8: leads through more than 8 levels of aliases"]),
    ],
)  # fmt: skip
def test_problems_of_aliases(problems, text, expected):
    assert problems(f"{BASE}  {text}") == [f"config.yaml:{problem}" for problem in expected]


def test_a_long_circle_is_shortened(problems):
    [problem] = problems(BASE + "".join(f"  a{n}: a{(n + 1) % 2000}\n" for n in range(2000)))
    assert problem == (
        "config.yaml:7: aliases.a0: leads in a circle: "
        "a0 -> a1 -> a2 -> a3 -> a4 -> ... -> a1997 -> a1998 -> a1999 -> a0"
    )


def test_eight_levels_of_aliases_are_fine(build):
    made = build(BASE + "  a0: echo/a\n" + "".join(f"  a{n}: a{n - 1}\n" for n in range(1, 8)))
    assert len(made.aliases) == 8


def test_all_problems_at_once_sorted_by_line(problems):
    text = """\
default_model: nope
server:
  port: eighty
  prot: 80
  port: 81
providers:
  server: {api_key: "${MISSING}", timeout: 5}
models:
  server/m: {price: {input: x, output: 1}}
aliases:
  a: server/m
  b: server/n
surplus: 1
"""
    assert problems(text) == [
        'config.yaml:1: default_model: no model or alias is named "nope"',
        'config.yaml:3: server.port: must be a whole number (found "eighty")',
        "config.yaml:4: server.prot: unknown key; did you mean port?",
        "config.yaml:5: server.port: the key is given twice, first on line 3",
        "config.yaml:7: providers.server.api_key: the environment variable MISSING is not set; set it, "
        "or write ${MISSING:-} if it may be missing",
        "config.yaml:7: providers.server.timeout: a time needs a unit: ms, s, m, h or d, as in 500ms, 60s, 2m, 1h, 7d "
        "(found 5)",
        f'config.yaml:9: models.server/m.price.input: {PRICE} (found "x")',
        'config.yaml:12: aliases.b: no model or alias is named "server/n"; did you mean server/m?',
        "config.yaml:13: surplus: unknown key",
    ]


def test_default_model_is_checked_even_beside_other_problems(problems):
    assert len(problems(BASE + "default_model: echo/a\nserver: {port: x}")) == 1


class TestEnvironment:
    def test_typed_by_what_comes_in(self, build):
        text = "server: {port: 1}".replace("1", '"${PORT}"')
        assert build("server:\n  port: ${PORT:-8080}").server.port == 8080
        assert build("server:\n  port: ${PORT:-8080}", {"PORT": "81"}).server.port == 81
        with pytest.raises(ConfigFault, match=r"without quotes \(found the value of \$\{PORT\}\)"):
            build(text, {"PORT": "81"})

    def test_empty_is_no_key(self, build):
        for value in ("${KEY:-}", '"${KEY:-}"'):
            made = build(f"providers:\n  server:\n    api_key: {value}\nmetrics:\n  token: {value}")
            assert made.providers["server"].settings.api_key == ""
            assert made.metrics.token is None

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("server:\n  port: ${V}", "2: server.port: must be a whole number (found the value of ${V})"),
            ("log:\n  level: ${V}", "2: log.level: must be debug, info, warning or error (found the value of ${V})"),
            ("careless:\n  url: bad${V}",
             "2: careless.url: is not accepted (the reason is withheld, it repeats a value that must not be shown) "
             "(found the value of ${V})"),
            ("providers:\n  x:\n    plugin: ${V}",
             "3: providers.x.plugin: no plugin offers this kind of provider; installed: echo, server "
             "(found the value of ${V})"),
            ("default_model: ${V}", "1: default_model: no model or alias is named the value of ${V}"),
            ("aliases:\n  a: ${V}", "2: aliases.a: no model or alias is named the value of ${V}"),
            ("pipeline:\n - x\n - ${V}\n - ${V}",
             "4: pipeline[2]: the value of ${V} is listed twice, first as entry 2"),
        ],
    )  # fmt: skip
    def test_its_values_are_never_shown(self, problems, text, expected):
        assert problems(text, {"V": "hush-1234"}) == [f"config.yaml:{expected}"]

    def test_nor_are_secrets_elsewhere(self, problems):
        text = "providers: {server: {api_key: hush-1234}}\nserver: {host: http://hush-1234}\n"
        text += "careless: {url: badhush-1234}"
        found = problems(text)
        assert len(found) == 2
        assert "hush-1234" not in "".join(found)


class TestPlugins:
    def test_pipeline_names_loaded_plugins(self, problems, build):
        text = "pipeline: [auth, qouta, zzz]"
        assert build(text).pipeline == ("auth", "qouta", "zzz")
        assert problems(text, plugins=["auth", "quota"]) == [
            'config.yaml:1: pipeline[1]: no plugin is named "qouta"; did you mean quota?',
            'config.yaml:1: pipeline[2]: no plugin is named "zzz"; loaded: auth, quota',
        ]

    def test_plugins_that_are_enabled_or_disabled_are_there(self, problems):
        text = "plugins: {enable: [auth, qouta, off], disable: [off, raet_limit]}"
        assert problems(text, plugins=["auth", "quota"], left_out=["off", "rate_limit"]) == [
            'config.yaml:1: plugins.disable[1]: no plugin is named "raet_limit"; did you mean rate_limit?',
            'config.yaml:1: plugins.enable[1]: no plugin is named "qouta"; did you mean quota?',
        ]

    def test_the_default_pipeline_leaves_out_what_is_not_loaded(self, build):
        assert build("", plugins=["usage_log", "auth", "other"]).pipeline == ("auth", "usage_log")
        assert build("pipeline:", plugins=["auth"]).pipeline == ("auth",)
        assert build("pipeline: [other]", plugins=["auth", "other"]).pipeline == ("other",)

    def test_a_plugin_cannot_own_a_section_of_the_core(self):
        with pytest.raises(ConfigFault) as caught:
            config.build(config.parse(b"", {}), {"server": BaseModel}, {})
        assert caught.value.problems == [
            "config.yaml:1: the plugin server cannot have a section: the core has one of that name"
        ]

    def test_a_required_key_of_an_absent_section(self):
        class Needs(BaseModel):
            url: str

        with pytest.raises(ConfigFault) as caught:
            config.build(config.parse(b"server: {}\n", {}), {"needs": Needs}, {})
        assert caught.value.problems == ["config.yaml:1: needs.url: is missing"]

    def test_keys_by_alias_and_free_sections(self):
        class Renamed(BaseModel):
            from_: int = pydantic.Field(0, alias="from")

        class Free(BaseModel, extra="allow"):
            pass

        made = config.build(config.parse(b"a: {from: 3}\nb: {x: 1}", {}), {"a": Renamed, "b": Free}, {})
        assert made.section("a").from_ == 3
        assert made.section("b").model_extra == {"x": 1}
        with pytest.raises(ConfigFault, match=r"config\.yaml:1: a\.from_: unknown key; did you mean from\?"):
            config.build(config.parse(b"a: {from_: 3}", {}), {"a": Renamed}, {})

    def test_first_step(self, tmp_path):
        (tmp_path / "here").mkdir()
        (tmp_path / "c.yaml").write_text("plugins: {dir: here, enable: [a], disable: [b]}\nserver: {port: x}")
        settings = config.plugin_settings(config.read(tmp_path / "c.yaml", {}))
        assert settings.dir == tmp_path.resolve() / "here"
        assert (settings.enable, settings.disable) == (("a",), ("b",))
        assert config.plugin_settings(config.parse(b"plugins: {dir: '${D:-}'}", {})).dir is None
        absolute = config.parse(f"plugins: {{dir: {tmp_path}}}".encode(), {})
        assert config.plugin_settings(absolute).dir == tmp_path

    def test_first_step_reports_the_texts_problems_too(self):
        with pytest.raises(ConfigFault) as caught:
            config.plugin_settings(config.parse(b"a: 1\na: 2\nplugins: {enabel: [a]}", {}))
        assert caught.value.problems == [
            "config.yaml:2: a: the key is given twice, first on line 1",
            "config.yaml:3: plugins.enabel: unknown key; did you mean enable?",
        ]

    def test_problems_of_the_first_step_are_not_repeated(self, problems):
        document = config.parse(b"plugins: {enabel: [a]}", {})
        for _ in range(2):
            with pytest.raises(ConfigFault) as caught:
                config.plugin_settings(document)
            assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("server: {host: 0.0.0.0}",
         ["1: server.host: other machines can connect, and keys would travel unencrypted: put a proxy with TLS in "
          "front (then set trusted_proxies and public_url), or listen on 127.0.0.1"]),
        ("server: {host: 0.0.0.0, public_url: 'https://x.org'}", []),
        ("server: {host: 0.0.0.0, trusted_proxies: [10.0.0.1]}", []),
        ("server: {host: '::1'}", []),
        ("server: {host: 127.9.9.9}", []),
        ("server: {host: localhost}", []),
        ("log: {bodies: true, level: debug}",
         ["1: log.bodies: what people write, and every answer, will stand in the log"]),
        ("log: {bodies: true}", ["1: log.bodies: nothing is logged of them unless `log.level` is `debug`"]),
        ("models:\n echo/x: {}",
         ["2: models.echo/x: has no price, so requests for it are refused; give it one, or say `free: true`"]),
        ("models:\n echo/x: {price: {input: 0, output: 0}, context: 5}",
         ["2: models.echo/x: all its prices are 0; `free: true` says so more plainly"]),
        ("models:\n echo/x: {price: {input: 1, output: 0}}",
         ["2: models.echo/x: has neither max_output nor context, so the cost of a request has no known upper bound"]),
        ("models:\n echo/x: {free: true, context: 5, max_output: 6}",
         ["2: models.echo/x: max_output is larger than context"]),
    ],
)  # fmt: skip
def test_warnings(build, text, expected):
    rest = "\nproviders: {echo: }\naliases: {default: echo/y}\ndefault_model: default"
    text = text if "models:" in text else text + "\nmodels:"
    made = build(f"{text}\n echo/y: {{free: true}}{rest}")
    assert list(made.warnings) == [f"config.yaml:{warning}" for warning in expected]


@pytest.mark.parametrize(
    ("price", "per_usd", "expected"),
    [
        ("{input: 0.10, output: 0.40}", 1_000_000, Price(input=Decimal("0.10"), output=Decimal("0.40"))),
        ("{input: 0.1, output: 3}", 1_000, Price(input=Decimal("0.0001"), output=Decimal("0.003"))),
        ("{per_request: 0.01, per_web_search: 0.005}", 1_000_000,
         Price(per_request=Decimal(10_000), per_web_search=Decimal(5_000))),
        ("{input: 999999.123456789012, output: 0}", 987_654_321,
         Price(input=Decimal("999999.123456789012") * 987_654_321 / 10**6)),
    ],
)  # fmt: skip
def test_prices_are_exact(build, price, per_usd, expected):
    import decimal

    made = build(f"credits: {{per_usd: {per_usd}}}\nproviders: {{echo: }}\nmodels:\n  echo/x: {{price: {price}}}")
    with decimal.localcontext() as context:
        context.prec = 60
        if per_usd == 987_654_321:
            expected = Price(input=Decimal("999999.123456789012") * 987_654_321 / 10**6)
        assert made.models["echo/x"].price == expected


def test_every_price_class_is_converted(build):
    *fields, tiers, batch = (field.name for field in dataclasses.fields(Price) if field.init)
    assert [*fields, tiers, batch] == list(sections.PriceSettings.model_fields)
    text = ", ".join(f"{name}: {position}.5" for position, name in enumerate(fields))
    made = build(f"providers: {{echo: }}\nmodels:\n  echo/x: {{price: {{{text}}}}}")
    for position, name in enumerate(fields):
        unit = 10**6 if name.startswith("per_") else 1
        found = getattr(made.models["echo/x"].price, name)
        assert (found["default"] if name == "per_image" else found) == (position + Decimal("0.5")) * unit


def test_a_batch_costs_a_part_of_all_but_searches(build):
    text = "{input: 1, output: 2, per_web_search: 0.01, per_image: {low: 1}, batch: 0.5, tiers: [{above: 9, input: 3}]}"
    price = build(f"providers: {{echo: }}\nmodels:\n  echo/x: {{price: {text}}}").models["echo/x"].price
    half = price.in_batch()
    assert (half.input, half.output, half.per_web_search) == (Decimal("0.5"), 1, price.per_web_search)
    assert half.of_image("low") == price.of_image("low") / 2
    assert (half.at(10).input, half.at(10).output) == (Decimal("1.5"), 1)
    assert half.in_batch() == half
    for one in (price, half):
        assert Price.of_data(json.loads(json.dumps(one.data()))) == one
    with pytest.raises(ConfigFault, match="a part from 0 to 1"):
        build("providers: {echo: }\nmodels:\n  echo/x: {price: {input: 1, output: 1, batch: 50}}")


def test_prices_of_images_may_be_a_table(build):
    table = "{high/1024x1024: 0.17, low: 0.02, default: 0.25}"
    made = build(f"providers: {{echo: }}\nmodels:\n  echo/x: {{price: {{per_image: {table}}}}}")
    price = made.models["echo/x"].price
    assert price.of_image("high/1024x1024") == 170_000
    assert price.of_image("low/512x512") == 20_000
    assert price.of_image("medium/512x512") == 250_000
    assert price.of_image("HIGH/1024X1024") == 170_000
    # What is not known of an image costs as much as it may.
    assert price.of_image("low/") == 20_000
    assert price.of_image("/") == price.of_image("/9x9") == 250_000


@pytest.mark.parametrize("table", ["{}", "{a/b/c: 1}", "{low: -1}", "[1]", "{low: x}"])
def test_odd_tables_of_images_are_reported(build, table):
    with pytest.raises(ConfigFault) as caught:
        build(f"providers: {{echo: }}\nmodels:\n  echo/x: {{price: {{per_image: {table}}}}}")
    assert "models.echo/x.price.per_image" in str(caught.value)


def test_a_tier_inherits_what_it_does_not_say(build):
    price = "{input: 2, output: 12, cached_input: 0.2, tiers: [{above: 200000, input: 4, output: 18}]}"
    made = build(f"providers: {{echo: }}\nmodels:\n  echo/x: {{price: {price}}}")
    [(above, tier)] = made.models["echo/x"].price.tiers
    assert above == 200_000
    assert (tier.input, tier.output, tier.cached_input, tier.tiers) == (4, 18, Decimal("0.2"), ())


def test_tiers_are_in_order(problems):
    tiers = "tiers: [{above: 9, input: 3}, {above: 9, input: 4}]"
    text = f"providers: {{echo: }}\nmodels:\n  echo/x: {{price: {{input: 1, output: 2, {tiers}}}}}"
    assert any("tiers must be in order" in fault for fault in problems(text))


class TestFrozen:
    TEXT = BASE + "  x: echo/a\ndefault_model: x"

    def test_nothing_can_be_changed(self, build):
        made = build(self.TEXT + "\nserver: {trusted_proxies: [10.0.0.1]}")
        for change in (
            lambda: setattr(made, "strict", True),
            lambda: setattr(made.server, "port", 1),
            lambda: setattr(made.models["echo/a"], "provider", "x"),
            lambda: setattr(made.models["echo/a"].settings, "free", True),
            lambda: setattr(made.aliases["x"], "entries", ()),
        ):
            with pytest.raises((dataclasses.FrozenInstanceError, pydantic.ValidationError)):
                change()
        for mapping in (made.models, made.aliases, made.providers, made.sections):
            with pytest.raises(TypeError):
                mapping["new"] = None  # type: ignore[index]

    def test_no_list_dict_or_set_is_reachable(self, build):
        made = build(self.TEXT + "\nserver: {trusted_proxies: [10.0.0.1]}\nplugins: {enable: [a], disable: [b]}")
        seen = []

        def walk(value):
            seen.append(value)
            assert type(value) not in (list, dict, set)
            if dataclasses.is_dataclass(value):
                for field in dataclasses.fields(value):
                    if field.name != "sections":
                        walk(getattr(value, field.name))
            elif isinstance(value, BaseModel):
                for name in type(value).model_fields:
                    walk(getattr(value, name))
            elif hasattr(value, "values"):
                for item in value.values():
                    walk(item)
            elif isinstance(value, tuple):
                for item in value:
                    walk(item)

        walk(made)
        assert len(seen) > 50

    def test_two_documents_share_nothing(self, build):
        assert build(self.TEXT).models is not build(self.TEXT).models


def test_what_a_reload_cannot_change(build):
    old = build("")
    assert old.fixed_differences(build("log: {level: debug}\nserver: {drain: 1s}")) == []
    new = build("server: {port: 1, host: '::1', workers: 2}\ndatabase: {url: 'sqlite:///other.db'}")
    assert old.fixed_differences(new) == [
        f"config.yaml: {key}: cannot be changed while the gateway runs; restart it"
        for key in ("server.host", "server.port", "server.workers", "database.url")
    ]


def test_keys_and_endpoints_of_a_provider(build):
    made = build(
        """\
providers:
  one: {plugin: server, api_key: k0}
  keys: {plugin: server, base_url: u, keys: [key-1, "${NONE:-}", "${KEY}", key-1], balance: weighted,
         timeouts: {connect: 1s, first_byte: 2s}}
  none: {plugin: server, keys: ["${NONE:-}"]}
  places: {plugin: server, timeout: 3s, endpoints: [{base_url: a, weight: 3}, {base_url: b, name: east, timeout: 4s}]}
models:
  one/m: {free: true, timeouts: {idle: 5s}}
""",
        {"KEY": "key-of-env"},
    )
    one, keys, none, places = made.providers.values()
    assert [(found.label, found.settings.api_key) for found in one.each_endpoint()] == [("1", "k0")]
    assert [(found.label, found.settings.api_key) for found in keys.endpoints] == [("1", "key-1"), ("3", "key-of-env")]
    assert {found.settings.base_url for found in keys.endpoints} == {"u"}
    assert (keys.terms.balance, keys.terms.timeouts.connect, keys.terms.timeouts.first_byte) == ("weighted", 1.0, 2.0)
    assert [found.settings.api_key for found in none.endpoints] == [""], "switched off as without api_key"
    assert [
        (found.label, found.weight, found.settings.base_url, found.settings.timeout) for found in places.endpoints
    ] == [
        ("1", 3.0, "a", 3.0),
        ("east", 1.0, "b", 4.0),
    ]
    assert places.settings is places.endpoints[0].settings
    assert made.models["one/m"].settings.timeouts.idle == 5.0
    assert {"key-1", "key-of-env"} <= made.secrets
    assert "key-1" not in repr(made)


def test_problems_of_keys_and_endpoints(problems):
    found = problems(
        """\
providers:
  echo: {keys: [a-key]}
  both: {plugin: server, keys: [a-key], api_key: b}
  two: {plugin: server, keys: [a-key], endpoints: [{base_url: x}]}
  bad: {plugin: server, balance: random, endpoints: [{base_url: 1, weight: 0}, {name: x}, {name: x, nam: y}]}
  late: {plugin: server, timeouts: {first_byte: 3}}
upstream: {cooldown: {pause: 1m, longest: 1s}}
"""
    )
    assert [line.removeprefix("config.yaml:") for line in found] == [
        "2: providers.echo.keys: this kind of provider has no api_key",
        "3: providers.both.keys: stands beside api_key: put that key into the list too",
        "4: providers.two: has keys and endpoints: give each endpoint its api_key instead",
        '5: providers.bad.balance: must be least_busy or weighted (found "random")',
        "6: providers.late.timeouts.first_byte: a time needs a unit: ms, s, m, h or d, as in 500ms, 60s, 2m, 1h, 7d "
        "(found 3)",
        "7: upstream.cooldown: pause must not be longer than longest",
    ]


def test_problems_of_single_endpoints(problems):
    found = problems(
        """\
providers:
  bad: {plugin: server, endpoints: [{base_url: 1, weight: 0}, {name: x}, {name: x}, {nam: y}]}
"""
    )
    assert [line.removeprefix("config.yaml:2: providers.bad.endpoints") for line in found] == [
        "[0].base_url: must be text: put it in quotes (found 1)",
        "[0].weight: must be greater than 0 (found 0)",
        "[2].name: another endpoint has this name",
        "[3].nam: unknown key; did you mean name?",
    ]


def test_a_folder_of_plugins_that_is_not_there(tmp_path):
    found = config.parse(b"plugins:\n  dir: plugins.d\n", {}, folder=tmp_path)
    with pytest.raises(ConfigFault) as caught:
        config.plugin_settings(found)
    assert caught.value.problems == [
        f"config.yaml:2: plugins.dir: the folder {tmp_path}/plugins.d cannot be read: No such file or directory"
    ]
    (tmp_path / "plugins.d").mkdir()
    again = config.parse(b"plugins: {dir: plugins.d}", {}, folder=tmp_path)
    assert config.plugin_settings(again).dir == tmp_path / "plugins.d"
