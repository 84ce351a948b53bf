"""Which tests hold which recorded case: read from the tests' source, so that it does not depend on what a run selects."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.starrocks.cases import CASES, NOT_EMULATED

HERE = Path(__file__).parent
MARKS = ("case", "refused")


@dataclass
class Case:
    """`emulated` and `refused` name the tests ("file::function"); `inferred` tells that some fact behind it is not
    recorded by StarRocks; `reason` is why it is refused."""

    ident: str
    title: str
    emulated: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    inferred: bool = False
    reason: str = ""


def registry() -> dict[str, Case]:
    """Every case by its id, in the order of the list. Raises ValueError for a test that names an unknown id."""
    cases = {ident: Case(ident, title, reason=NOT_EMULATED.get(ident, "")) for ident, title in CASES.items()}
    for path in sorted(HERE.glob("test_*.py")):
        for name, mark, idents, inferred in _marks(ast.parse(path.read_text(encoding="utf-8"))):
            for ident in idents:
                if ident not in cases:
                    raise ValueError(f"{path.name}::{name} names the case {ident!r}, which is not in cases.py")
                held = cases[ident].emulated if mark == "case" else cases[ident].refused
                held.append(f"{path.name}::{name}")
                cases[ident].inferred |= inferred
    return cases


def _marks(tree: ast.Module) -> Iterator[tuple[str, str, list[str], bool]]:
    """Test function, mark, ids and `inferred` of every `pytest.mark.case(...)` and `refused(...)` of a file, also of
    those inside `pytest.param(..., marks=...)`."""
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or not function.name.startswith("test_"):
            continue
        for decorator in function.decorator_list:
            for call in ast.walk(decorator):
                if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                    continue
                if call.func.attr not in MARKS or not ast.unparse(call.func.value).endswith("mark"):
                    continue
                idents = [ast.literal_eval(argument) for argument in call.args]
                inferred = any(word.arg == "inferred" and ast.literal_eval(word.value) for word in call.keywords)
                yield function.name, call.func.attr, idents, inferred
