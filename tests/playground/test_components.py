"""Serving the modules, and plotly.js beside them: whole, compressed once, kept for ever, and nothing else with it."""

from __future__ import annotations

import gzip
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from playground import components
from playground.components import BASE, PLOTLY, accepts_gzip, head, mount_modules

ADDRESS = f"{BASE}/{PLOTLY}"


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(Starlette(routes=[mount_modules()]), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def original() -> bytes:
    """The file as the package's own record of what it installed finds it: another way than the one under test."""
    found = [file for file in importlib.metadata.files("plotly") or [] if file.name == "plotly.min.js"]
    return Path(found[0].locate()).read_bytes()


def raw(client: TestClient, address: str, **headers: str) -> tuple[dict[str, str], bytes]:
    """Headers and the bytes as they travelled, not unpacked."""
    with client.stream("GET", address, headers=headers) as answer:
        assert answer.status_code == 200
        return dict(answer.headers), b"".join(answer.iter_raw())


def test_plotly_travels_compressed_and_whole(client: TestClient, original: bytes) -> None:
    headers, packed = raw(client, ADDRESS, **{"Accept-Encoding": "gzip, deflate, br"})
    assert headers["content-encoding"] == "gzip"
    assert headers["vary"] == "Accept-Encoding"
    assert headers["content-type"].startswith("text/javascript")
    assert "immutable" in headers["cache-control"]
    assert int(headers["content-length"]) == len(packed) < 0.35 * len(original)
    assert gzip.decompress(packed) == original


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "br"])
def test_plotly_travels_plain_to_those_who_cannot_unpack_it(client: TestClient, original: bytes, accepted: str) -> None:
    headers, content = raw(client, ADDRESS, **{"Accept-Encoding": accepted})
    assert "content-encoding" not in headers
    assert headers["vary"] == "Accept-Encoding"
    assert "javascript" in headers["content-type"]
    assert "immutable" in headers["cache-control"]
    assert content == original


def test_plotly_is_packed_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    components._gzipped.cache_clear()
    packings = []
    compress = gzip.compress
    monkeypatch.setattr(components.gzip, "compress", lambda *a, **k: packings.append(1) or compress(*a, **k))
    first = raw(client, ADDRESS, **{"Accept-Encoding": "gzip"})[1]
    assert raw(client, ADDRESS, **{"Accept-Encoding": "gzip"})[1] == first
    assert len(packings) == 1


@pytest.mark.parametrize(
    "path",
    [
        "vendor/",
        "vendor/widgetbundle.js",
        "vendor/datasets/iris.csv",
        "vendor/../__init__.py",
        "vendor/plotly.min.js/",
        "vendor/plotly.min.js.map",
        "vendor/%2e%2e/%2e%2e/shell.py",
        "vendor//etc/passwd",
        "../shell.py",
        "nothing.js",
    ],
)
def test_nothing_else_of_the_package_or_the_machine_is_served(client: TestClient, path: str) -> None:
    answer = client.get(f"{BASE}/{path}")
    if path == "vendor/plotly.min.js/":  # the same file by another spelling, or nothing
        assert answer.status_code == 404 or "plotly.js" in answer.text[:40]
        return
    assert answer.status_code == 404
    assert "immutable" not in answer.headers.get("cache-control", "")


def test_only_reading_is_allowed(client: TestClient) -> None:
    assert client.post(ADDRESS, content=b"x").status_code >= 400
    assert client.head(ADDRESS).status_code == 200


def test_no_page_asks_for_plotly_before_a_figure_is_drawn() -> None:
    assert "plotly.min" not in head()
    assert "plotly_view/plotly_view.js" in head()


def test_without_the_package_there_is_no_such_module(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    before = components.content_hash()
    monkeypatch.setattr(components.importlib.util, "find_spec", lambda name: None)
    assert client.get(ADDRESS).status_code == 404
    assert components.content_hash() != before  # the path tells one plotly.js from another, or none


def test_serving_does_not_import_the_package() -> None:
    code = "import sys, playground.components as c; assert c.plotly_file(); print('plotly' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True
    )
    assert said.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.1", True),
        ("gzip; q=0", False),
        ("gzip;q=0.000, *", False),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("x-gzip-like", False),
        ("gzip;q=much", False),
    ],
)
def test_who_accepts_gzip(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


@given(st.text(max_size=40))
def test_any_header_gets_an_answer(header: str) -> None:
    assert accepts_gzip(header) in {True, False}
