"""A machine without the binaries: skipped locally, failed in CI."""

import pytest

from testbed.pytest_plugin import require_components


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)


def test_locally_a_missing_binary_skips_with_the_command_that_builds_it(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"missing etcd: run `python -m tools resolve etcd`"):
        require_components(["etcd"])


def test_in_ci_a_missing_binary_fails(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="missing etcd"):
        require_components(["etcd"])


def test_a_wrong_assets_variable_is_told_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "nowhere"))
    with pytest.raises(pytest.fail.Exception, match="is not a directory"):
        require_components(["etcd"])
