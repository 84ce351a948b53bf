"""All mistakes of all sources at once, each with its place; and YAML as it is written, not as YAML would have it."""

from pathlib import Path

import pytest
from dbmazz.config import Settings, load_configuration, load_settings, read_sources
from dbmazz.errors import ConfigError, ConfigErrors


def from_yaml(directory: Path, text: str) -> Settings:
    (directory / "ring.yaml").write_text(text, encoding="utf-8")
    return load_settings({"DBMAZZ_CONFIG": "ring.yaml"}, directory)


def refused(directory: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        from_yaml(directory, text)
    return str(caught.value)


def test_every_mistake_of_every_source_is_a_line_of_its_own(tmp_path: Path):
    (tmp_path / "ring.yaml").write_text("flush_size: 0\ntabels: a.b\nsink_port: [1, 2]\n")
    (tmp_path / ".env").write_text("DBMAZZ_CONFIG=ring.yaml\nnonsense\n\nSOFT_DELETE=maybe\nLOG_LEVEL=info\n")
    with pytest.raises(ConfigErrors) as caught:
        load_settings({"METRICS_PORT": "-1", "SINK_PASWORD": "hunter2"}, tmp_path)
    assert caught.value.exit_code == 2
    assert sorted(str(caught.value).split("\n")) == sorted(
        [
            "line 2 of .env is not a setting. Write one NAME=value per line",
            "FLUSH_SIZE=0 in line 1 of ring.yaml is out of range. It takes a whole number from 1 to 1000000",
            "SINK_PORT=1,2 in line 3 of ring.yaml is not valid. It takes a whole number from 1 to 65535",
            "SOFT_DELETE=maybe in line 4 of .env is not valid. It takes true or false",
            "LOG_LEVEL=info in line 5 of .env is not one of the choices. "
            "It takes one of DEBUG, INFO, WARNING, ERROR; did you mean INFO?",
            "METRICS_PORT=-1 in the environment is out of range. It takes a whole number from 0 to 65535",
            "TABELS in line 2 of ring.yaml is not a setting of dbmazz. Did you mean TABLES?",
            "SINK_PASWORD in the environment is not a setting of dbmazz. Did you mean SINK_PASSWORD?",
        ]
    )


def test_one_mistake_is_the_error_itself(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        load_settings({"FLUSH_SIZE": "0"}, tmp_path)
    assert not isinstance(caught.value, ConfigErrors)


def test_origins_are_told(tmp_path: Path):
    (tmp_path / "ring.yaml").write_text("# a comment\n\nsink_user: yaml\nsink_database: yaml\n")
    (tmp_path / ".env").write_text("DBMAZZ_CONFIG=ring.yaml\nSINK_DATABASE=dotenv\nSINK_PORT=1\n")
    found = load_configuration({"SINK_PORT": "2"}, tmp_path)
    assert dict(found.origins) == {
        "SINK_USER": "line 3 of ring.yaml",
        "SINK_DATABASE": "line 2 of .env",
        "SINK_PORT": "the environment",
    }
    assert (found.settings.sink_user, found.settings.sink_database, found.settings.sink_port) == ("yaml", "dotenv", 2)


def test_a_shadowed_mistake_counts_when_asked_for(tmp_path: Path):
    (tmp_path / ".env").write_text("FLUSH_SIZE=0\n")
    assert load_settings({"FLUSH_SIZE": "5"}, tmp_path).flush_size == 5
    configuration, mistakes = read_sources({"FLUSH_SIZE": "5"}, tmp_path, shadowed=True)
    assert configuration.settings.flush_size == 5
    assert [str(one).partition(" is ")[0] for one in mistakes] == ["FLUSH_SIZE=0 in line 1 of .env"]


def test_what_can_be_read_is_there_beside_the_mistakes(tmp_path: Path):
    configuration, mistakes = read_sources({"FLUSH_SIZE": "0", "SINK_USER": "me"}, tmp_path)
    assert configuration.settings == Settings(sink_user="me")
    assert (len(mistakes), dict(configuration.origins)) == (1, {"SINK_USER": "the environment"})


def test_a_value_cannot_paint_the_terminal(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        load_settings({"FLUSH_SIZE": "\x1b[31mred\n"}, tmp_path)
    assert str(caught.value).isprintable()


def test_dotenv_replaces_names_as_docker_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOME_HOST", "fe-1")
    (tmp_path / ".env").write_text("export SINK_URL=http://${SOME_HOST}:8030\nSINK_USER='${SOME_HOST}'\n")
    assert load_settings({}, tmp_path).sink_url == "http://fe-1:8030"


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("0123", "0123"),  # octal, were it a number
        ("1_000", "1_000"),
        ("no", "no"),
        ("2026-11-20", "2026-11-20"),
        ("'it''s: # fine'", "it's: # fine"),
        ('"tab\\tand \\u00e9"', "tab\tand é"),
        ("p#ss", "p#ss"),
        ("pass # a comment", "pass"),
        ("null", ""),
        ("~", ""),
        ("", ""),
        ("'null'", "null"),
        ("|-\n  one line", "one line"),
    ],
)
def test_yaml_texts_are_taken_as_they_are_written(tmp_path: Path, text: str, password: str):
    assert from_yaml(tmp_path, f"sink_password: {text}\n").sink_password == password


def test_yaml_lists_in_both_styles(tmp_path: Path):
    assert from_yaml(tmp_path, "tables: [a.b, 'c.*']\n").tables == ("a.b", "c.*")
    assert from_yaml(tmp_path, "TABLES:\n  - a.b\n  - 'c.*'\n").tables == ("a.b", "c.*")
    assert from_yaml(tmp_path, "tables: []\n").tables == ()
    assert from_yaml(tmp_path, "loader_address:\n- a:1\n- b:2\n").loader_address == "a:1,b:2"


def test_an_alias_of_yaml_is_followed(tmp_path: Path):
    assert from_yaml(tmp_path, "sink_user: &who me\nsink_password: *who\n").sink_password == "me"


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "null\n"])
def test_an_empty_yaml_file_is_all_defaults(tmp_path: Path, text: str):
    assert from_yaml(tmp_path, text) == Settings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sink_user: a\nSINK_USER: b\n", "SINK_USER in line 2 of ring.yaml stands in line 1 already"),
        ("tables: [[a.b], c.d]\n", "tables in line 1 of ring.yaml has a list or a mapping in its list"),
        ("tables: [{a: b}]\n", "tables in line 1 of ring.yaml has a list or a mapping in its list"),
        ("tables: &t [a.b, *t]\n", "has a list or a mapping in its list"),
        ("tables: ['a.b,c.d']\n", "has a comma in an item of its list"),
        ("? [a]\n: b\n", "line 1 of ring.yaml does not begin with a name"),
        ("1: b\n", "line 1 of ring.yaml does not begin with a name"),
        ("dbmazz_config: other.yaml\n", "DBMAZZ_CONFIG in line 1 of ring.yaml has no effect"),
        ("flush_siz: 1\n", "Did you mean FLUSH_SIZE?"),
        ("sink_user: a\n sink_port: 1\n", "cannot be read (line 2 is not YAML)"),
        ("a: 1\n---\nb: 2\n", "cannot be read (line 2 is not YAML)"),
        ("<<: {flush_size: 1}\n", "does not begin with a name"),
    ],
)
def test_yaml_that_is_refused(tmp_path: Path, text: str, says: str):
    assert says in refused(tmp_path, text)


@pytest.mark.parametrize("text", ["sink_password: *hunter2\n", "sink_password: 'hunter2\n", "sink_pasword: hunter2\n"])
def test_a_slip_around_a_secret_does_not_show_it(tmp_path: Path, text: str):
    assert "hunter2" not in refused(tmp_path, text)
