"""Where settings stand: the environment, `.env`, and the YAML file that DBMAZZ_CONFIG names, as names with their texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dbmazz.errors import ConfigError

if TYPE_CHECKING:
    import yaml
    from dotenv.parser import Original

ENVIRONMENT = "the environment"
CONFIG = "DBMAZZ_CONFIG"
# What a name of ours, or of anybody else's variable, looks like.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Given:
    """One name with its text, and where it stands: `origin` is `.env`, a file's name, or `the environment`."""

    name: str
    text: str = field(repr=False)
    origin: str
    line: int = 0

    @property
    def where(self) -> str:
        """For people: `line 3 of .env`."""
        return f"line {self.line} of {self.origin}" if self.line else self.origin


def files(environment: Mapping[str, str], directory: Path) -> tuple[list[Given], list[ConfigError]]:
    """What stands in the YAML file and in `.env`, weakest first, and what cannot be read there."""
    dotenv, mistakes = _dotenv(directory / ".env")
    named = environment.get(CONFIG) or next((one.text for one in reversed(dotenv) if one.name == CONFIG), "")
    if not named:
        return dotenv, mistakes
    entries, more = _yaml(directory / named, named)
    return [*entries, *dotenv], [*more, *mistakes]


def _dotenv(path: Path) -> tuple[list[Given], list[ConfigError]]:
    """A name that stands twice counts as Docker and shells take it: the last wins."""
    if not path.exists():
        return [], []
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    way_out = "Write one NAME=value per line"
    try:
        with path.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
        broken = [one for one in bindings if one.error or (one.key and one.value is None)]
        # With lines that it cannot read, the library would log, in words of its own, what we say below.
        values = {} if broken else dotenv_values(path)
    except (OSError, UnicodeDecodeError) as error:
        return [], [ConfigError(f".env cannot be read ({type(error).__name__})", way_out)]
    given = [
        # `values` has ${NAME} replaced, as Docker does it.
        Given(one.key, values.get(one.key, one.value) or "", ".env", _line(one.original))
        for one in bindings
        if one.key and one.value is not None and not one.error
    ]
    return given, [ConfigError(f"line {_line(one.original)} of .env is not a setting", way_out) for one in broken]


def _line(original: Original) -> int:
    """Where the name stands: the parser counts empty lines before it to it."""
    before = original.string[: len(original.string) - len(original.string.lstrip())]
    return original.line + before.count("\n")


def _yaml(path: Path, shown: str) -> tuple[list[Given], list[ConfigError]]:
    """Taken as nodes, so that a text is what stands there: unquoted, 0123 stays 0123, and no does not become False."""
    import yaml

    try:
        # The C parser where there is one is not worth a second behaviour.
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return [], [ConfigError(f"{CONFIG}={shown} cannot be read ({_why(error)})", "It takes a YAML file")]
    if root is None or _is_null(root):
        return [], []
    if not isinstance(root, yaml.MappingNode):
        return [], [ConfigError(f"{shown} is not a mapping", "Write one `name: value` per line")]
    given: dict[str, Given] = {}
    mistakes = []
    for key, value in root.value:
        try:
            one = _entry(key, value, shown)
            if one.name in given:
                before = f"line {given[one.name].line}"
                raise ConfigError(f"{one.name} in {one.where} stands in {before} already", "Leave one of the two")
            given[one.name] = one
        except ConfigError as error:
            mistakes.append(error)
    return list(given.values()), mistakes


def _why(error: Exception) -> str:
    """The line of a slip in YAML; not the library's words, which quote what stands there."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return f"line {mark.line + 1} is not YAML" if mark is not None else type(error).__name__


def _entry(key: yaml.Node, value: yaml.Node, shown: str) -> Given:
    line = key.start_mark.line + 1
    name = key.value if isinstance(key.value, str) else ""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"line {line} of {shown} does not begin with a name", "Write one `name: value` per line")
    if name.upper() == CONFIG:
        raise ConfigError(f"{CONFIG} in line {line} of {shown} has no effect", "Set it in the environment or in .env")
    return Given(name.upper(), _text(value, name, f"line {line} of {shown}"), shown, line)


def _text(value: yaml.Node, name: str, where: str) -> str:
    """The text of a YAML value, as the variable would have it; nothing behind the colon is the empty text."""
    import yaml

    if isinstance(value, yaml.ScalarNode):
        return "" if _is_null(value) else value.value
    if isinstance(value, yaml.MappingNode):
        raise ConfigError(f"{name} in {where} is a mapping", "It takes one value, or a list")
    words = [item.value for item in value.value if isinstance(item, yaml.ScalarNode)]
    if len(words) < len(value.value):
        raise ConfigError(f"{name} in {where} has a list or a mapping in its list", "It takes one value, or a list")
    if any("," in word for word in words):
        raise ConfigError(f"{name} in {where} has a comma in an item of its list", "Commas separate: make it two items")
    return ",".join(words)


def _is_null(node: yaml.Node) -> bool:
    return node.tag == "tag:yaml.org,2002:null"
