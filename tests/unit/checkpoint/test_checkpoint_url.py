"""CHECKPOINT_URL: which file, and one clear line for everything else."""

from pathlib import Path

import pytest
from dbmazz.config import Settings
from dbmazz.errors import ConfigError
from dbmazz_checkpoint.store.url import sqlite_path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///checkpoint.db", "checkpoint.db"),
        ("sqlite:///data/deep/checkpoint.db", "data/deep/checkpoint.db"),
        ("sqlite:////var/lib/dbmazz/checkpoint.db", "/var/lib/dbmazz/checkpoint.db"),
        (Settings().checkpoint_url, "data/checkpoint.db"),
    ],
)
def test_three_slashes_are_relative_four_absolute(url, path):
    assert sqlite_path(url) == Path(path)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://me:hunter2@host/db", "not in this version"),
        ("postgres://me:hunter2@host/db", "not in this version"),
        ("mysql://me:hunter2@host/db", "does not begin with sqlite://"),
        ("postgresql:hunter2@host/db", "does not begin with sqlite://"),
        ("data/checkpoint.db", "does not begin with sqlite://"),
        ("", "does not begin with sqlite://"),
        ("sqlite:///", "names no file"),
        ("sqlite:///data/", "names no file"),
        ("sqlite://data/checkpoint.db", "a slash is missing"),
        ("sqlite:///:memory:", "would forget"),
        ("sqlite:///a.db?mode=ro", "options"),
    ],
)
def test_everything_else_is_a_config_error_with_the_way_out(url, says):
    with pytest.raises(ConfigError, match=says) as caught:
        sqlite_path(url)
    assert "sqlite:///" in caught.value.way_out
    assert "hunter2" not in str(caught.value)
    assert caught.value.exit_code == 2
