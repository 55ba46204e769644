"""Key texts, voucher codes and subkeys."""

from __future__ import annotations

import re
import zlib

import pytest

from gateway import credentials as secrets


def test_derive_is_hkdf():
    # RFC 5869, test case 3: SHA-256, salt and info empty.
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert secrets.derive(b"\x0b" * 22, "", 42).hex() == expected


def test_labels_separate_subkeys():
    assert secrets.derive(b"s" * 32, "key-pepper") != secrets.derive(b"s" * 32, "voucher-pepper")


def test_the_format_of_a_key():
    key = secrets.new_key("mghp_")
    assert re.fullmatch(r"mghp_[0-9A-Za-z]{30}_[0-9A-Za-z]{6}", key)
    value = 0
    for letter in key[-6:]:
        value = value * 62 + secrets.ALPHABET.index(letter)
    assert value == zlib.crc32(key[:-7].encode())


def test_scanners_do_not_take_it_for_another_companys_token():
    assert not any(re.search(r"ghp_[0-9a-zA-Z]{36}", secrets.new_key("mghp_")) for _ in range(100))


def test_every_changed_letter_is_noticed():
    key = secrets.new_key("mghp_")
    assert secrets.well_formed(key, "mghp_")
    for i, letter in enumerate(key):
        changed = key[:i] + ("a" if letter != "a" else "b") + key[i + 1 :]
        assert not secrets.well_formed(changed, "mghp_"), i


@pytest.mark.parametrize("text", ["", "mghp_", "mghp_" + "\u00e9" * 37, "x" * 42, "mghp_" + "\ud800" * 37, "\0" * 42])
def test_anything_else_is_no_key(text):
    assert not secrets.well_formed(text, "mghp_")


def test_the_label_shows_prefix_and_last_four():
    assert secrets.label_of("mghp_" + "x" * 33 + "ab12", "mghp_") == "mghp_...ab12"


def test_codes_are_read_as_people_write_them():
    code = secrets.new_code()
    assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{5}-){3}[0-9A-HJKMNP-TV-Z]{5}", code)
    plain = code.replace("-", "")
    assert secrets.read_code(code) == plain
    assert secrets.read_code(" " + plain.lower() + " ") == plain
    assert secrets.read_code("O" * 10 + "il" * 5) == "0" * 10 + "1" * 10


@pytest.mark.parametrize("text", ["", "1234", "U" * 20, "0" * 21, "0" * 5000])
def test_anything_else_is_no_code(text):
    assert secrets.read_code(text) is None
