"""TLS 1.2 at least, whatever the OpenSSL of the machine is configured for."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("informers", "mcs_controller", "workqueue")


def makes_context(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("ssl.SSLContext", "ssl.create_default_context")


def unbounded(tree: ast.AST) -> list[str]:
    """The functions that make contexts and do not say the lowest version for each."""
    found = []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            made = sum(makes_context(node) for node in ast.walk(function))
            bounded = ast.unparse(function).count(".minimum_version = ssl.TLSVersion.TLSv1_2")
            if made != bounded:
                found.append(function.name)
    return found


def test_each_context_says_its_lowest_version():
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    assert {str(file): names for file in files if (names := unbounded(ast.parse(file.read_text())))} == {}
    assert sum(makes_context(node) for file in files for node in ast.walk(ast.parse(file.read_text()))) >= 3
