"""`linqbot explain`: every code is explained, and found in each form in which it is written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from linq_events import EXAMPLES
from typed_command import data, shown

from linqbot import LinqbotError
from linqbot.ops import explanations

LINQBOT = Path(__file__).parent.parent.parent / "linqbot"
SIZES = {1000, 1024, 2000, 2048, 3000, 4096, 5000}
"""Numbers that look like codes and are counts."""


def numbers() -> Iterator[int]:
    """Yield every number in the code that looks like one of Linq's error codes."""
    code = re.compile(r"\b[1-5]_?0\d\d\b")
    for source in (path.read_text() for path in LINQBOT.rglob("*.py")):
        for node in ast.walk(ast.parse(source)) if code.search(source) else ():
            if isinstance(node, ast.Constant) and type(node.value) is int and code.fullmatch(str(node.value)):
                yield node.value


def test_every_code_of_linqbot_has_a_meaning_a_cause_and_a_fix() -> None:
    in_the_source = {
        code
        for path in LINQBOT.rglob("*.py")
        for code in re.findall(r"\bLQB\d{4}\b", path.read_text())
    }  # fmt: skip
    ours = explanations.of_ours()
    assert in_the_source == set(ours)
    for each in ours.values():
        assert all((each.means, each.why, each.to_do)), each.code
        assert "`" not in each.means + each.why + each.to_do


def family(kind: type[LinqbotError]) -> list[type[LinqbotError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in family(child))]


def test_no_two_errors_share_a_code_unless_one_inherits_it() -> None:
    explanations.of_ours()
    kinds = family(LinqbotError)
    own = [kind.lqb for kind in kinds if kind.__module__.startswith("linqbot") and "lqb" in vars(kind)]
    assert len(own) == len(set(own))


def test_every_error_code_of_linq_in_the_code_or_in_webhooks_is_explained() -> None:
    known = {int(code) for code in explanations.of_linq()}
    used = set(numbers())
    sent = {
        int(code) for payload in EXAMPLES.values() for code in re.findall(r'"(?:error_)?code": *(\d{4})\b', payload)
    }
    assert len(used & known) > 25
    assert used - known - SIZES == set()
    assert sent
    assert sent - known == set()


def test_every_rule_is_explained_and_names_an_explained_code() -> None:
    rules = explanations.of_rules()
    assert list(rules) == [f"R{number}" for number in range(1, len(rules) + 1)]
    codes = explanations.of_linq()
    for each in rules.values():
        assert each.means.endswith(".")
        for code in re.findall(r"linqbot explain (\d+)", each.to_do):
            assert code in codes, each.code


def test_a_code_is_found_however_it_is_written(subtests: pytest.Subtests) -> None:
    for asked, code, says in [
        ("LQB2001", "LQB2001 InvalidSignature", "LINQ_WEBHOOK_SECRET"),
        ("lqb2001", "LQB2001 InvalidSignature", "What to do"),
        ("[LQB1001]", "LQB1001 ConfigError", "Correct what the message names"),
        ("RateLimited", "LQB3004 RateLimited", "30 messages"),
        ("2024", "2024 HTTP 403", "opted out"),
        ("403/2024", "2024 HTTP 403", "https://docs.linqapp.com/error/codes/2xxx/2024/"),
        ("r14", "R14", "409/2015"),
        ("429", "1007 HTTP 429", "Retry-After"),
        ("409", "Linq's errors with status 409", "2014 HTTP 409"),
    ]:
        with subtests.test(asked=asked, code=code, says=says):
            output = shown("explain", asked)
            assert output.startswith(code)
            assert says in " ".join(output.split())
            assert max(map(len, output.splitlines())) <= 80


def test_a_misspelt_code_gets_a_suggestion(subtests: pytest.Subtests) -> None:
    for asked, near in ("LQB201", "LQB2001"), ("2042", "2024"), ("R104", "R14"), ("RateLimit", "RateLimited"):
        with subtests.test(asked=asked):
            said = shown("explain", asked, code=2)
            assert f"There is no code {asked}. Did you mean" in said
            assert near in said


def test_all_codes_are_listed_for_people_and_as_json_which_has_the_link_of_a_code() -> None:
    output = shown("explain")
    for code in explanations.everything():
        assert re.search(rf"^  {code}\b", output, re.MULTILINE), code
    assert max(map(len, output.splitlines())) <= 80
    assert [each["code"] for each in data("explain")] == list(explanations.everything())
    assert data("explain", "2024")["link"].endswith("/2024/")
