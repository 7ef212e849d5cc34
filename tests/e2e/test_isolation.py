"""The tests of this directory share a stack, so that none may use the connection of another."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path


def _connections(function: ast.FunctionDef) -> set[str]:
    """The literal names that a test gives to connections."""
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "source" and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant):
                found.add(str(first.value))
    return found


def test_no_two_tests_name_a_connection_alike() -> None:
    users = defaultdict(set)
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for name in _connections(node):
                    users[name].add(f"{path.name}::{node.name}")
    assert len(users) > 20
    assert {name: sorted(tests) for name, tests in users.items() if len(tests) > 1} == {}
