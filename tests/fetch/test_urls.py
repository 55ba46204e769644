"""One reader of URLs: what it lets through means the same to everybody, and what it does not is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fetch.urls import MediaUrl, UrlProblem, follow, parse_url

GOOD = [
    ("http://example.com", MediaUrl(False, "example.com", 80, "/", False)),
    ("HTTPS://Example.COM/A.png", MediaUrl(True, "example.com", 443, "/A.png", False)),
    ("https://example.com:8443/a?b=c#d", MediaUrl(True, "example.com", 8443, "/a?b=c", False)),
    ("https://example.com:/a", MediaUrl(True, "example.com", 443, "/a", False)),
    ("https://example.com?x", MediaUrl(True, "example.com", 443, "/?x", False)),
    ("https://example.com?", MediaUrl(True, "example.com", 443, "/?", False)),
    ("https://example.com#@evil.com/", MediaUrl(True, "example.com", 443, "/", False)),
    ("https://example.com./a", MediaUrl(True, "example.com", 443, "/a", False)),
    ("https://example.com/a@b:c//d", MediaUrl(True, "example.com", 443, "/a@b:c//d", False)),
    ("https://example.com/%7Ea%2F?q=%20", MediaUrl(True, "example.com", 443, "/%7Ea%2F?q=%20", False)),
    ('https://example.com/ü"<>', MediaUrl(True, "example.com", 443, "/%C3%BC%22%3C%3E", False)),
    ("https://bücher.example/", MediaUrl(True, "xn--bcher-kva.example", 443, "/", False)),
    ("https://EXAMPLE。com/", MediaUrl(True, "example.com", 443, "/", False)),
    ("http://8.8.8.8/", MediaUrl(False, "8.8.8.8", 80, "/", True)),
    ("http://8.8.8.8./", MediaUrl(False, "8.8.8.8", 80, "/", True)),
    ("http://[2606:4700::1111]:80/", MediaUrl(False, "2606:4700::1111", 80, "/", True)),
    ("http://[::FFFF:8.8.8.8]/", MediaUrl(False, "::ffff:808:808", 80, "/", True)),
    ("http://localhost/", MediaUrl(False, "localhost", 80, "/", False)),
    ("http://my_bucket.s3.example/", MediaUrl(False, "my_bucket.s3.example", 80, "/", False)),
    # Digits and dots of other scripts, as addresses: judged as what they become.
    ("http://①②⑦.⓪.⓪.①/", MediaUrl(False, "127.0.0.1", 80, "/", True)),
    ("http://127。0。0。1/", MediaUrl(False, "127.0.0.1", 80, "/", True)),
]

BAD = {
    "scheme": "ftp://example.com file:///etc/passwd gopher://x:70/_ data:image/png;base64,AA== //example.com "
    "example.com http:/example.com http:example.com javascript:alert(1) jar:http://x!/ http https:// "
    "http:///a http://?a http://#a",
    "user": "http://user@example.com/ http://user:pass@example.com/ http://example.com@127.0.0.1/ http://@example.com/ "
    "http://8.8.8.8%40x@127.0.0.1/ http://a:80@127.0.0.1:80/",
    "number": "http://0x7f.1/ http://2130706433/ http://0177.0.0.1/ http://127.1/ http://0/ http://0x7f000001/ "
    "http://017700000001/ http://127.0.0.1.1/ http://08.8.8.8/ http://1.2.3.0x4/ http://example.1/ http://0x/ "
    "http://example.com.0x7f/ http://256.256.256.256/ http://0300.0250.1/ http://①②⑦.1/",
    "IPv6": "http://[::1/ http://::1/ http://[fe80::1%25eth0]/ http://[fe80::1%eth0]/ http://[::1]x/ http://[]/ "
    "http://[v1.x]/ http://[::1]:x/ http://[[::1]]/ http://x[::1]/",
    "host": "http://a..b/ http://.a/ http://-a.example/ http://a-.example/ http://a%2eb/ http://127%2e0.0.1/ "
    "http://a;b/ http://a,b/ http://a$b/ http://exam!ple/ http://*.example/ "
    "http://a^b/ http://./ http://../ http://faß.de/ "
    "http://a\u200db.example/ http://a\ufe00\u0378.example/",
    "port": "http://a:0/ http://a:65536/ http://a:999999/ http://a:-1/ http://a:x/ http://a:80:80/ "
    "http://a:\uff10/ http://a:+80/",
}

UNTIDY = [
    "",
    " http://example.com/",
    "http://example.com/ ",
    "http://example.com/a b",
    "http://example.com\\@127.0.0.1/",
    "http:\\\\127.0.0.1\\",
    "http://127.0.0.1\\.example.com/",
    "http://example.com/\r\nHost: other",
    "http://example.com/\n",
    "http://exam\tple.com/",
    "http://example.com\0.evil.com/",
    "http://example.com/\x7f",
    "http://example.com/\u2028",
    "http://example.com/\u00a0",
    "http://exa\u200bmple.com/",
    "http://exa\u00admple.com/",
    "http://example.com/\ud800",
    "http://example.com/" + "a" * 8192,
    "http://" + "a" * 64 + ".com/",
    "http://" + "a." * 130 + "com/",
]


@pytest.mark.parametrize(("text", "url"), GOOD)
def test_what_a_url_means(text, url):
    assert parse_url(text) == url


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, row in BAD.items() for text in row.split()])
def test_refused(kind, text):
    with pytest.raises(UrlProblem, match="user information" if kind == "user" else "URL|IPv4"):
        parse_url(text)


@pytest.mark.parametrize("text", UNTIDY)
def test_untidy_text_is_refused(text):
    with pytest.raises(UrlProblem):
        parse_url(text)


@given(st.one_of(st.text(), st.text().map("http://".__add__), st.from_regex(r"https?://[^/]{1,30}(/.*)?")))
def test_any_text_is_a_url_or_a_problem(text):
    try:
        url = parse_url(text)
    except UrlProblem:
        return
    assert f"{url.authority}{url.target}".isascii()
    assert not set(f"{url.authority}{url.target}") & set(" \r\n\t\\\0")
    assert "@" not in url.authority
    assert url.target.startswith("/")
    # It is stable: what is checked on the first hop is what a second reading gives.
    assert parse_url(str(url)) == url


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://a/", "a"),
        ("http://a:443/", "a:443"),
        ("https://a:443/", "a"),
        ("https://a:80/", "a:80"),
        ("http://[::1]/", "[::1]"),
        ("http://[::1]:8080/", "[::1]:8080"),
    ],
)
def test_host_header(url, authority):
    assert parse_url(url).authority == authority


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/b", "https://a.example/b"),
        ("b", "https://a.example/x/b"),
        ("../b?c", "https://a.example/b?c"),
        ("?q", "https://a.example/x/y?q"),
        ("//b.example/c", "https://b.example/c"),
        ("https://b.example:8443/", "https://b.example:8443/"),
        ("#f", "https://a.example/x/y"),
    ],
)
def test_redirects(location, leads_to):
    assert str(follow(parse_url("https://a.example/x/y"), location)) == leads_to


@pytest.mark.parametrize(
    "location",
    [
        "http://a.example/",
        "ftp://a.example/",
        "file:///etc/passwd",
        "data:image/png;base64,AA==",
        "//user@b.example/",
        "//[::1/",
        "https://[x]/",
        "/a b",
        "/a\\b",
        "\\\\b.example",
        "/a\tb",
        "//0x7f.1/",
        "",
    ],
)
def test_refused_redirects(location):
    with pytest.raises(UrlProblem):
        follow(parse_url("https://a.example/x/y"), location)


def test_http_may_become_https():
    assert follow(parse_url("http://a.example/"), "https://a.example/").secure
