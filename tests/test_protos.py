"""The protos: nothing breaks against the baseline, everything has a comment, names follow one rule.

Each check is shown to find what breaks it, on a small proto that is broken on purpose.
"""

import importlib.util
import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
PROTOS = ROOT / "protos"

_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_CAMEL = re.compile(r"([A-Z][a-z0-9]*)+")
_CONSTANT = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")


def load_generator():
    """protos/generate.py, which is a script and no package."""
    spec = importlib.util.spec_from_file_location("generate_protos", PROTOS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()


@pytest.fixture(scope="session")
def current(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorSet:
    """The descriptors of the protos as they are, with comments."""
    target = tmp_path_factory.mktemp("protos") / "current.binpb"
    generator.write_descriptor(target, comments=True)
    return FileDescriptorSet.FromString(target.read_bytes())


@pytest.fixture(scope="session")
def baseline() -> FileDescriptorSet:
    return FileDescriptorSet.FromString((PROTOS / "baseline.binpb").read_bytes())


# Walking. A path is what SourceCodeInfo names a declaration by: field numbers and indices of the descriptor protos.

Path_ = tuple[int, ...]


def messages(file: FileDescriptorProto, *, maps: bool = False) -> Iterator[tuple[Path_, str, DescriptorProto]]:
    """Path, full name and descriptor of every message, nested ones too; entries of maps only when asked for."""

    def walk(path: Path_, prefix: str, found: DescriptorProto):
        if maps or not found.options.map_entry:
            name = f"{prefix}.{found.name}"
            yield path, name, found
            for index, nested in enumerate(found.nested_type):
                yield from walk((*path, 3, index), name, nested)

    for index, message in enumerate(file.message_type):
        yield from walk((4, index), file.package, message)


def enums(file: FileDescriptorProto) -> Iterator[tuple[Path_, str, EnumDescriptorProto]]:
    for index, enum in enumerate(file.enum_type):
        yield (5, index), f"{file.package}.{enum.name}", enum
    for path, name, message in messages(file):
        for index, enum in enumerate(message.enum_type):
            yield (*path, 4, index), f"{name}.{enum.name}", enum


def oneof_of(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    """Name of the field's oneof; the ones that `optional` makes do not count."""
    if field.HasField("oneof_index") and not field.proto3_optional:
        return message.oneof_decl[field.oneof_index].name
    return ""


# Breaking changes


def contract(protos: FileDescriptorSet) -> dict[str, str]:
    """Everything that a peer built from an older version relies on: a name for it, and what it must stay."""
    found: dict[str, str] = {}
    for file in protos.file:
        for _, name, message in messages(file, maps=True):
            found[f"message {name}"] = "message"
            for field in message.field:
                kind = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
                label = FieldDescriptorProto.Label.Name(field.label).removeprefix("LABEL_").lower()
                what = [field.name, label, kind, field.type_name, oneof_of(message, field), str(field.proto3_optional)]
                found[f"field {name} {field.number}"] = " ".join(filter(None, what))
        for _, name, enum in enums(file):
            found[f"enum {name}"] = "enum"
            found |= {f"value {name} {value.number}": value.name for value in enum.value}
        for service in file.service:
            name = f"{file.package}.{service.name}"
            found[f"service {name}"] = "service"
            for method in service.method:
                streams = f"{method.client_streaming} {method.server_streaming}"
                found[f"rpc {name}/{method.name}"] = f"{method.input_type} {method.output_type} {streams}"
    return found


def breaking_changes(before: FileDescriptorSet, after: FileDescriptorSet) -> list[str]:
    """What is gone or has changed; additions are none."""
    new = contract(after)
    findings = []
    for name, what in contract(before).items():
        if name not in new:
            findings.append(f"{name} ({what}) is gone")
        elif new[name] != what:
            findings.append(f"{name} was {what}, is {new[name]}")
    return findings


# Comments


def missing_comments(protos: FileDescriptorSet) -> list[str]:
    """Declarations without a comment above them."""
    findings = []
    for file in protos.file:
        commented = {
            tuple(location.path) for location in file.source_code_info.location if location.leading_comments.strip()
        }
        findings += [f"{name} has no comment" for path, name in declarations(file) if path not in commented]
    return findings


def declarations(file: FileDescriptorProto) -> Iterator[tuple[Path_, str]]:
    """Path and name of everything that needs a comment, the package (what the file is about) included."""
    yield (2,), f"the package statement of {file.name}"
    for path, name, message in messages(file):
        yield path, name
        yield from (((*path, 2, index), f"{name}.{field.name}") for index, field in enumerate(message.field))
        real = {oneof_of(message, field) for field in message.field}
        for index, oneof in enumerate(message.oneof_decl):
            if oneof.name in real:
                yield (*path, 8, index), f"{name}.{oneof.name}"
    for path, name, enum in enums(file):
        yield path, name
        yield from (((*path, 2, index), f"{name}.{value.name}") for index, value in enumerate(enum.value))
    for index, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield (6, index), name
        yield from (((6, index, 2, number), f"{name}/{method.name}") for number, method in enumerate(service.method))


# Names


def naming_slips(protos: FileDescriptorSet) -> list[str]:
    """Names that do not follow the rule."""
    checks = (file_slips, message_slips, enum_slips, service_slips)
    return [slip for file in protos.file for check in checks for slip in check(file)]


def file_slips(file: FileDescriptorProto) -> Iterator[str]:
    directory, _, name = file.name.rpartition("/")
    if directory.replace("/", ".") != file.package:
        yield f"{file.name}: package {file.package} is not its directory"
    if not _SNAKE.fullmatch(name.removesuffix(".proto")):
        yield f"{file.name} is not lower_snake_case.proto"
    if file.syntax != "proto3":
        yield f"{file.name} is not proto3"


def message_slips(file: FileDescriptorProto) -> Iterator[str]:
    for _, name, message in messages(file):
        if not _CAMEL.fullmatch(message.name):
            yield f"message {name} is not CamelCase"
        for found in (*message.field, *message.oneof_decl):
            synthetic = found.name.startswith("_")  # the oneof that `optional` makes
            if not synthetic and not _SNAKE.fullmatch(found.name):
                yield f"field {name}.{found.name} is not lower_snake_case"


def enum_slips(file: FileDescriptorProto) -> Iterator[str]:
    for _, name, enum in enums(file):
        if not _CAMEL.fullmatch(enum.name):
            yield f"enum {name} is not CamelCase"
        prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
        for value in enum.value:
            if not _CONSTANT.fullmatch(value.name) or not value.name.startswith(prefix):
                yield f"value {name}.{value.name} does not begin with {prefix}"
        zero = next(value.name for value in enum.value if value.number == 0)
        if zero != f"{prefix}UNSPECIFIED":
            yield f"value {name}.{zero} = 0 is not {prefix}UNSPECIFIED"


def service_slips(file: FileDescriptorProto) -> Iterator[str]:
    for service in file.service:
        if not service.name.endswith("Service") or not _CAMEL.fullmatch(service.name):
            yield f"service {service.name} does not end with Service"
        for method in service.method:
            if not _CAMEL.fullmatch(method.name):
                yield f"rpc {service.name}/{method.name} is not CamelCase"
            for found, suffix in ((method.input_type, "Request"), (method.output_type, "Response")):
                standard = (f"{method.name}{suffix}", f"{service.name}{method.name}{suffix}")
                if found.rpartition(".")[2] not in standard:
                    yield f"rpc {service.name}/{method.name} has {found}, expected {' or '.join(standard)}"


# The protos of the house


def test_nothing_breaks_against_the_baseline(baseline, current):
    """When a change is meant to break (before the first release only): `python protos/generate.py --baseline`."""
    assert breaking_changes(baseline, current) == []


def test_everything_has_a_comment(current):
    assert missing_comments(current) == []


def test_names_follow_the_rule(current):
    assert naming_slips(current) == []


def test_all_files_and_services_are_looked_at(baseline, current):
    names = [file.name for file in current.file]
    assert names == [file.name for file in baseline.file] or set(names) > {file.name for file in baseline.file}
    assert sorted(names) == sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    services = {service.name for file in current.file for service in file.service}
    assert services >= {"ReaderService", "TransformerService", "LoaderService", "CheckpointService"}
    assert len(contract(current)) > 300


KINDS = {".py", ".pyi", ".binpb"}


def test_generated_code_is_that_of_the_protos(tmp_path):
    """Generated code is not committed, so it can be older than the protos: `python protos/generate.py` makes it new."""
    generator.generate(tmp_path)
    fresh = {path.name: path.read_bytes() for path in (tmp_path / "dbmazz" / "v1").iterdir()}
    installed = ROOT / "services" / "core" / "dbmazz" / "v1"
    present = {path.name: path.read_bytes() for path in installed.iterdir() if path.is_file() and path.suffix in KINDS}
    assert sorted(fresh) == sorted(present)
    assert [name for name in sorted(fresh) if fresh[name] != present[name]] == []


def test_generated_code_is_not_committed():
    assert "/services/core/dbmazz/v1/" in (ROOT / ".gitignore").read_text().splitlines()


# Each check finds what breaks it

SAMPLE = """syntax = "proto3";

// What the file is about.
package house.v1;

// Greets.
service GreeterService {
  // Says hello.
  rpc Greet(GreetRequest) returns (stream GreetResponse);
  // State.
  rpc GetStatus(GreeterServiceGetStatusRequest) returns (GreeterServiceGetStatusResponse);
}

// Kind of greeting.
enum GreetKind {
  // Never sent.
  GREET_KIND_UNSPECIFIED = 0;
  // Loud.
  GREET_KIND_LOUD = 1;
}

// Asks.
message GreetRequest {
  // Who.
  string name = 1;
  // One of them.
  oneof tone {
    // Loud.
    bool loud = 2;
    // How loud.
    int32 volume = 3;
  }
  // By language.
  map<string, string> words = 4;
  // Inside.
  message Inner {
    // Depth.
    int32 depth = 1;
  }
  // Perhaps.
  optional int32 age = 5;
}

// Answers.
message GreetResponse {
  // Kinds.
  repeated GreetKind kinds = 1;
}

// Asks.
message GreeterServiceGetStatusRequest {}

// Answers.
message GreeterServiceGetStatusResponse {}
"""


@pytest.fixture
def compiled(tmp_path: Path) -> Callable[..., FileDescriptorSet]:
    """Compiles the sample after one replacement; the file is house/v1/greeter.proto unless named otherwise."""

    def compile_sample(old: str = "", new: str = "", name: str = "house/v1/greeter.proto") -> FileDescriptorSet:
        assert old in SAMPLE
        path, target = tmp_path / name, tmp_path / "out.binpb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SAMPLE.replace(old, new, 1) if old else SAMPLE)
        include = files("grpc_tools") / "_proto"
        arguments = [f"-I{tmp_path}", f"-I{include}", f"--descriptor_set_out={target}", "--include_source_info", name]
        assert protoc.main(["protoc", *arguments]) == 0
        return FileDescriptorSet.FromString(target.read_bytes())

    return compile_sample


def test_the_sample_is_sound(compiled):
    assert breaking_changes(compiled(), compiled()) == []
    assert missing_comments(compiled()) == []
    assert naming_slips(compiled()) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  string name = 1;", "", "field house.v1.GreetRequest 1 (name optional string False) is gone"),
        ("  string name = 1;", "  reserved 1;", "is gone"),
        (
            "  string name = 1;",
            "  string name = 9;",
            "field house.v1.GreetRequest 1 (name optional string False) is gone",
        ),
        ("  string name = 1;", "  bytes name = 1;", "was name optional string False, is name optional bytes False"),
        ("  string name = 1;", "  string title = 1;", "is title optional string"),
        ("  string name = 1;", "  repeated string name = 1;", "is name repeated string"),
        ("  string name = 1;", "  optional string name = 1;", "is name optional string True"),
        (
            "int32 volume = 3;\n  }",
            "}\n  int32 volume = 3;",
            "was volume optional int32 tone False, is volume optional int32 False",
        ),
        ("map<string, string> words", "map<string, int32> words", "WordsEntry 2 was value optional string"),
        ("repeated GreetKind kinds", "repeated int32 kinds", "is kinds repeated int32"),
        ("    int32 depth = 1;", "", "field house.v1.GreetRequest.Inner 1"),
        ("  GREET_KIND_LOUD = 1;", "", "value house.v1.GreetKind 1 (GREET_KIND_LOUD) is gone"),
        ("  GREET_KIND_LOUD = 1;", "  GREET_KIND_LOUD = 2;", "value house.v1.GreetKind 1 (GREET_KIND_LOUD) is gone"),
        ("  GREET_KIND_LOUD = 1;", "  GREET_KIND_SOFT = 1;", "was GREET_KIND_LOUD, is GREET_KIND_SOFT"),
        ("  rpc Greet(GreetRequest) returns (stream GreetResponse);", "", "rpc house.v1.GreeterService/Greet"),
        ("returns (stream GreetResponse)", "returns (GreetResponse)", "rpc house.v1.GreeterService/Greet was"),
        ("rpc Greet(GreetRequest)", "rpc Greet(stream GreetRequest)", "rpc house.v1.GreeterService/Greet was"),
        ("(GreetRequest)", "(GreetResponse)", "rpc house.v1.GreeterService/Greet was"),
        ("service GreeterService", "service OtherService", "service house.v1.GreeterService (service) is gone"),
    ],
)
def test_breaking_changes_are_found(compiled, old, new, says):
    findings = breaking_changes(compiled(), compiled(old, new))
    assert any(says in finding for finding in findings), findings


@pytest.mark.parametrize("kind", ["message", "enum", "service"])
def test_declarations_that_are_gone_are_found(compiled, kind):
    field = {"message": "message_type", "enum": "enum_type", "service": "service"}[kind]
    before, after = compiled(), compiled()
    gone = getattr(after.file[0], field).pop()
    assert f"{kind} house.v1.{gone.name} ({kind}) is gone" in breaking_changes(before, after)


def test_additions_break_nothing(compiled):
    before = compiled()
    for old, new in (
        ("  string name = 1;", "  string name = 1;\n  // More.\n  string more = 17;"),
        ("  GREET_KIND_LOUD = 1;", "  GREET_KIND_LOUD = 1;\n  // Soft.\n  GREET_KIND_SOFT = 2;"),
        ("// Asks.\nmessage", "// New.\nmessage New {}\n\n// Asks.\nmessage"),
        ("  // Who.\n", "  // Who is greeted.\n"),
    ):
        assert breaking_changes(before, compiled(old, new)) == []


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("// What the file is about.\n", "the package statement of house/v1/greeter.proto"),
        ("// Greets.\n", "house.v1.GreeterService"),
        ("  // Says hello.\n", "house.v1.GreeterService/Greet"),
        ("// Kind of greeting.\n", "house.v1.GreetKind"),
        ("  // Never sent.\n", "house.v1.GreetKind.GREET_KIND_UNSPECIFIED"),
        ("// Asks.\n", "house.v1.GreetRequest"),
        ("  // Who.\n", "house.v1.GreetRequest.name"),
        ("  // One of them.\n", "house.v1.GreetRequest.tone"),
        ("    // How loud.\n", "house.v1.GreetRequest.volume"),
        ("  // By language.\n", "house.v1.GreetRequest.words"),
        ("  // Inside.\n", "house.v1.GreetRequest.Inner"),
        ("    // Depth.\n", "house.v1.GreetRequest.Inner.depth"),
        ("  // Perhaps.\n", "house.v1.GreetRequest.age"),
    ],
)
def test_missing_comments_are_found(compiled, old, name):
    assert missing_comments(compiled(old, "")) == [f"{name} has no comment"]
    assert missing_comments(compiled(old, "//\n")) == [f"{name} has no comment"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("package house.v1;", "package house.v2;", "house/v1/greeter.proto: package house.v2 is not its directory"),
        ("string name = 1", "string Name = 1", "field house.v1.GreetRequest.Name is not lower_snake_case"),
        ("string name = 1", "string fullName = 1", "field house.v1.GreetRequest.fullName is not lower_snake_case"),
        ("string name = 1", "string full__name = 1", "field house.v1.GreetRequest.full__name is not lower_snake_case"),
        ("oneof tone", "oneof Tone", "field house.v1.GreetRequest.Tone is not lower_snake_case"),
        ("message Inner", "message inner_part", "message house.v1.GreetRequest.inner_part is not CamelCase"),
        ("  GREET_KIND_LOUD", "  LOUD", "value house.v1.GreetKind.LOUD does not begin with GREET_KIND_"),
        ("  GREET_KIND_LOUD", "  GREET_KIND_loud", "does not begin with GREET_KIND_"),
        ("GREET_KIND_UNSPECIFIED", "GREET_KIND_UNKNOWN", "GREET_KIND_UNKNOWN = 0 is not GREET_KIND_UNSPECIFIED"),
        ("service GreeterService", "service Greeter", "service Greeter does not end with Service"),
        ("rpc Greet(", "rpc greet(", "rpc GreeterService/greet is not CamelCase"),
        (
            "(GreetRequest)",
            "(GreetResponse)",
            "has .house.v1.GreetResponse, expected GreetRequest or GreeterServiceGreetRequest",
        ),
        ("(stream GreetResponse)", "(GreetRequest)", "has .house.v1.GreetRequest, expected GreetResponse"),
    ],
)
def test_naming_slips_are_found(compiled, old, new, says):
    slips = naming_slips(compiled(old, new))
    assert any(says in slip for slip in slips), slips


def test_the_syntax_is_looked_at(compiled):
    protos = compiled()
    protos.file[0].syntax = "proto2"
    assert naming_slips(protos) == ["house/v1/greeter.proto is not proto3"]


def test_file_names_are_looked_at(compiled):
    assert naming_slips(compiled(name="house/v1/Greeter.proto")) == [
        "house/v1/Greeter.proto is not lower_snake_case.proto"
    ]
