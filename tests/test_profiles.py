"""What every model of the shipped catalogue can, as its provider says: a change of the table is seen."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.blueprint import read_blueprint
from gateway.profile import Profile

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "tests/profiles.txt"


def row(model: str, profile: Profile) -> str:
    cells = [
        "+".join(sorted(profile.dialects)),
        "+".join(sorted(profile.operations)),
        "n:any" if profile.max_choices is None else f"n:{profile.max_choices}",
        f"media:{profile.media}",
        f"left:{profile.on_disconnect}",
        "+".join(sorted(profile.understands)) or "-",
    ]
    return " ".join([model, *cells])


def test_the_table_is_the_one_kept(tmp_path: Path) -> None:
    """To renew it after a change that is meant: write what this prints into `tests/profiles.txt`."""
    config = ROOT / "config.yaml"
    keys = dict.fromkeys(re.findall(r"\$\{(\w+_KEY)", config.read_text()), "key-0123456789")
    blueprint = read_blueprint(config, {**keys, "GATEWAY_DATA": str(tmp_path)})
    assert set(blueprint.providers) == set(blueprint.config.providers)
    assert set(blueprint.profiles) == set(blueprint.config.models)
    found = "".join(f"{row(model, profile)}\n" for model, profile in sorted(blueprint.profiles.items()))
    print(found)
    assert found == TABLE.read_text()
