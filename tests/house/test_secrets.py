"""What must never be in the repository: keys, and traces of somebody's machine."""

from __future__ import annotations

import re

import pytest

# Put together, so that this file does not find itself.
REGISTRIES = "|".join(name + r"\." + top for name, top in [("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org")])
HOME = "|".join(["work", "root", "home", "Users"])
KEYS = [
    r"sk-(?:proj-|ant-|svcacct-)?[A-Za-z0-9_-]{32,}",
    r"AIza[0-9A-Za-z_-]{35}",
    r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])",
    r"gh[pousr]_[0-9A-Za-z]{36}",
    r"xox[abprs]-[0-9A-Za-z-]{20,}",
    r"gsk_[0-9A-Za-z]{40,}",
    r"-----BEGIN [A-Z ]*PRIVATE " + "KEY-----",
    r"mghp_[0-9A-Za-z]{30}_[0-9A-Za-z]{6}",
]
FAULTS = {
    "looks like a key": re.compile("|".join(KEYS)),
    "is a path of one machine": re.compile(rf"(?<![\w.:/*\]-])/(?:{HOME}|opt)/[\w.-]+"),
    "is a host of a package registry": re.compile(REGISTRIES),
    "is a path outside the repository": re.compile(r"(?:\.\./)+shared/"),
}

# Texts that only look so. A made-up key is written with a repeated character, and then needs no entry here.
ALLOWED = {"/opt/tollgate", "/home/tollgate"}
MADE_UP = re.compile(r"(.)\1{9}|example|EXAMPLE|redacted|REDACTED|x{6}|0123456789|abcdefghij", re.DOTALL)


def faults_in(text: str) -> list[str]:
    return [
        f"{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r} {what}"
        for what, pattern in FAULTS.items()
        for match in pattern.finditer(text)
        if match[0] not in ALLOWED and not MADE_UP.search(match[0])
    ]


def test_the_repository_tells_nothing(root, project_files):
    assert len(project_files) > 20
    found = []
    for path in project_files:
        data = (root / path).read_bytes()
        if b"\0" not in data[:8000]:
            found += [f"{path}:{fault}" for fault in faults_in(data.decode("utf-8", "replace"))]
    assert not found


def test_no_file_holds_secrets_by_its_name(project_files):
    names = re.compile(r"^\.env|\.(?:pem|key|p12|db|sqlite3?)$|^id_(?:rsa|ed25519)")
    assert not [str(path) for path in project_files if names.search(path.name)]


@pytest.mark.parametrize(
    "text",
    [
        "api_key = 'sk-" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3z'",
        "ghp_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5",
        "see /" + "root/notes.txt",
        "cd /" + "work/main",
        "https://files.python" + "hosted.org/x",
    ],
)
def test_a_trace_is_found(text):
    assert len(faults_in(text)) == 1


@pytest.mark.parametrize("text", ["sk-" + "x" * 40, "https://example.org/home/page", "sk-test", "/opt/tollgate"])
def test_harmless_texts_are_accepted(text):
    assert not faults_in(text)
