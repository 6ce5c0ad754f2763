"""What kubectl is told when it asks for completions, and the flags that may stand anywhere."""

from __future__ import annotations

import pytest
from click import Context

from mcs_controller.mcsctl import completion
from mcs_controller.mcsctl.main import EXIT_USAGE, cli, main


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["doctor", "-o", ""], "text\njson\nyaml\n:4\n"),
        (["--kubeconfig", ""], ":0\n"),
        (["doctor", "-f", ""], ":0\n"),
        (["doctor", "--probe-i"], "--probe-image\tOf the short-lived Pod. Default: ours.\n:4\n"),
        (["--kubeconfig", "/nonexistent", "doctor", ""], ":4\n"),
    ],
)
def test_candidates_are_in_the_format_of_cobra(words: list[str], shown: str, capsys: pytest.CaptureFixture[str]):
    assert completion.main(words) == 0
    assert capsys.readouterr().out == shown


def test_names_that_are_none_are_not_offered(monkeypatch: pytest.MonkeyPatch):
    names = ["web", "web; reboot", "web\x1b[2J", "web\nno", "other"]
    monkeypatch.setattr(completion, "_ask", lambda *_: [{"metadata": {"name": name}} for name in names])
    assert completion.clusters(Context(cli), cli.params[0], "we") == ["web"]


def test_a_flag_without_its_value_is_named(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--context"]) == EXIT_USAGE
    assert "Option '--context' requires an argument" in capsys.readouterr().err
    assert completion.main(["doctor", "--context", ""]) == 0


@pytest.mark.parametrize(
    ("words", "context", "left"),
    [
        (["doctor", "web", "--context", "x"], "x", ["doctor", "web"]),
        (["--context", "y", "doctor", "web", "--context=x", "-n", "shop"], "x", ["doctor", "web", "-n", "shop"]),
        (["--timeout", "3", "trace", "web", "--timeout", "9"], "", ["trace", "web", "--timeout", "9"]),
        (["doctor", "--", "--context"], "", ["doctor", "--", "--context"]),
    ],
)
def test_flags_of_kubectl_may_follow_the_command(words: list[str], context: str, left: list[str]):
    made = cli.make_context("mcsctl", words)
    assert made.params["context_name"] == context
    assert [*made._protected_args, *made.args] == left
