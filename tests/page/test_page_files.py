"""The files of the page: nothing from elsewhere, nothing inline, and the library as its makers made it."""

from __future__ import annotations

import hashlib
import re
import tomllib
from importlib.resources import files
from pathlib import Path

PAGE = Path(str(files("dbmazz_monitor"))) / "page"
VENDOR = PAGE / "vendor" / "uplot"
OWN = sorted(path for path in PAGE.iterdir() if path.is_file())


def test_nothing_is_fetched_from_elsewhere():
    namespace = "http://www.w3.org/2000/svg"  # a name, not an address
    for path in OWN:
        text = path.read_text().replace(namespace, "")
        assert not re.search(r"\bhttps?:|\bwss?:|//[a-z0-9-]+\.[a-z]|@import|url\((?!#)", text), path.name


def test_nothing_is_inline():
    html = (PAGE / "index.html").read_text()
    assert not re.search(r"<script(?! type=\"module\" src)|<style|\son\w+=|\sstyle=", html)


def test_every_file_that_is_referred_to_is_there():
    html = (PAGE / "index.html").read_text()
    for reference in re.findall(r'(?:src|href)="([^"#]+)"', html):
        assert reference == "api/state" or (PAGE / reference.removeprefix("static/")).is_file(), reference
    for path in OWN:
        if path.suffix == ".js":
            for imported in re.findall(r'from "\./([^"]+)"', path.read_text()):
                assert (PAGE / imported).is_file(), f"{path.name} imports {imported}"


def test_text_is_never_markup():
    for path in OWN:
        if path.suffix == ".js":
            found = re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(", path.read_text()
            )
            assert not found, f"{path.name} has {found}"


def test_every_id_that_the_scripts_look_up_is_on_the_page():
    ids = set(re.findall(r'id="([^"]+)"', (PAGE / "index.html").read_text()))
    for path in OWN:
        if path.suffix == ".js":
            for ident in re.findall(r'(?:find|getElementById)\("([^"]+)"\)', path.read_text()):
                assert ident in ids, f"{path.name} looks up {ident}"


def test_the_chart_library_is_unchanged_and_its_licence_is_with_it():
    noted = dict(reversed(line.split()) for line in (VENDOR / "VERSION.txt").read_text().splitlines() if "  " in line)
    there = {path.name for path in VENDOR.iterdir()} - {"VERSION.txt"}
    assert set(noted) == there == {"uPlot.esm.js", "uPlot.min.css", "LICENSE.txt"}
    for name, digest in noted.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
    assert "Permission is hereby granted" in (VENDOR / "LICENSE.txt").read_text()
    version = re.search(r"^version: (\S+)$", (VENDOR / "VERSION.txt").read_text(), re.MULTILINE)
    assert version
    assert f"(v{version[1]})" in (VENDOR / "uPlot.esm.js").read_text()[:400]


def test_the_chart_library_asks_for_nothing():
    text = (VENDOR / "uPlot.esm.js").read_text()
    assert not re.search(
        r"\bfetch\(|XMLHttpRequest|WebSocket|EventSource|importScripts|\bimport\b|eval\(|new Function", text
    )


def test_all_files_are_in_the_package(request):
    project = request.config.rootpath / "services" / "monitor"
    patterns = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packaged = {path for pattern in patterns["dbmazz_monitor"] for path in (project / "dbmazz_monitor").glob(pattern)}
    there = {path for path in (project / "dbmazz_monitor" / "page").rglob("*") if path.is_file()}
    assert there <= packaged
