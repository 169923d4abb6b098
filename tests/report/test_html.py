import base64
import hashlib
import re
from html.parser import HTMLParser

import jinja2
import pytest

from segkit.report import html
from segkit.report.html import NOTHING, code, count, data_uri, number, percent, render, short


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The shared base with a page of one line."""
    for file in html.FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    page = '{% extends "base.html.j2" %}{% block main %}<p title="{{ text }}">{{ text }}</p>{% endblock %}'
    (tmp_path / "small.html.j2").write_text(page)
    monkeypatch.setattr(html, "FOLDER", tmp_path)
    return tmp_path


def test_what_is_put_in_is_escaped(folder):
    page = render("small.html.j2", {"text": "<script>alert('\"')</script>"})
    escaped = "&lt;script&gt;alert(&#39;&#34;&#39;)&lt;/script&gt;"
    assert f'<p title="{escaped}">{escaped}</p>' in page
    assert page.count("<script>") == 1


def test_a_name_that_is_missing_is_an_error(folder):
    with pytest.raises(jinja2.UndefinedError):
        render("small.html.j2", {})


def test_the_policy_admits_this_script_and_no_request(folder):
    page = render("small.html.j2", {"text": ""})
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    script = re.search(r"<script>(.*)</script>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_the_page_is_closed_and_has_a_language(folder):
    opened = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag == "html":
                assert ("lang", "en") in attrs
            if tag not in ("meta", "img", "br", "link"):
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Tags().feed(render("small.html.j2", {"text": ""}))
    assert opened == []


def test_commands_are_set_as_code_and_nothing_else_becomes_a_tag():
    assert code("give `a=<b>` or `c`") == "give <code>a=&lt;b&gt;</code> or <code>c</code>"
    assert code("<i> one ` alone") == "&lt;i&gt; one ` alone"
    assert code("`<script>`") == "<code>&lt;script&gt;</code>"


def test_numbers_align_and_what_is_missing_is_a_dash():
    assert [percent(v) for v in (0.332, 0.0029, 1e-9, 0.0, None)] == [
        "33.20",
        "0.29",
        "<0.01",
        "0.00",
        NOTHING,
    ]
    assert [count(v) for v in (0, 1234567, None)] == ["0", "1\u202f234\u202f567", NOTHING]
    assert [number(v) for v in (1.0, None)] == ["1.00", NOTHING]


def test_numbers_of_any_size_have_about_four_digits():
    found = [short(v) for v in (0.73124, 1.0, 12.9, 1234.5, 3e-6, -0.5, 7, 0, None)]
    assert found == ["0.7312", "1.000", "12.90", "1\u202f234", "3.00e-06", "-0.5000", "7", "0", NOTHING]


def test_an_address_holds_its_bytes():
    assert data_uri(b"a,b\n", "text/csv") == "data:text/csv;base64,YSxiCg=="
