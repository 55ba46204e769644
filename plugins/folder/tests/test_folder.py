"""The pages that come along, and a folder of one's own."""

from __future__ import annotations

import asyncio

from tollgate_folder import Folder, FolderSettings, read_page, register_search, why_not_ready

from gateway.api import SearchQuery


def test_the_pages_that_come_along_are_found_by_their_words():
    folder = Folder("f", FolderSettings())
    found = asyncio.run(folder.search(SearchQuery("Is the lighthouse open?", count=2), None))
    assert len(found) == 2
    assert found[0].url == "https://news.example/lighthouse"
    assert found == asyncio.run(folder.search(SearchQuery("Is the lighthouse open?", count=2), None))
    page = asyncio.run(folder.read(found[0].url, None))
    assert "219 steps" in page.text
    assert asyncio.run(folder.read("https://elsewhere.example/", None)) is None


def test_all_addresses_are_of_nobody():
    folder = Folder("f", FolderSettings())
    for result in asyncio.run(folder.search(SearchQuery("news", count=50), None)):
        assert ".example/" in result.url
        assert result.title
        assert result.text


def test_a_folder_of_ones_own(tmp_path):
    (tmp_path / "one.md").write_text("Just text about bees.\n\nAnd more.")
    (tmp_path / "two.md").write_text("title: Bees\r\nurl: https://b.example/x\r\n\r\nBees bees.")
    folder = Folder("f", FolderSettings(path=str(tmp_path)))
    found = asyncio.run(folder.search(SearchQuery("more bees"), None))
    assert [result.url for result in found] == ["https://pages.example/one", "https://b.example/x"]
    assert found[0].text == "Just text about bees.\n\nAnd more."
    assert read_page("", "x").text == ""
    assert why_not_ready(FolderSettings(path=str(tmp_path / "no")))


def test_it_is_for_development():
    kinds = []
    register_search(kinds.append)
    assert kinds[0].development
    assert not kinds[0].ready(FolderSettings())
