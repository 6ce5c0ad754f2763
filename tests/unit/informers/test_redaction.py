"""What people are shown of URLs, and of answers that quote our secrets."""

import base64

import pytest

from informers.client.redaction import proxy_secrets, redact, redact_bytes, shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host:6443/path", "https://host:6443/path"),
        ("https://user:password@host:6443", "https://host:6443"),
        ("https://user:pass@word@host", "https://host"),
        ("https://user:pass/word@host", "https://host"),
        ("https://user:password@[no", "https://[no"),
        ("https://host/?key=value#more", "https://host/"),
        ("not a URL", "not a URL"),
        ("", ""),
    ],
)
def test_url_is_shown_without_what_may_be_secret(url, expected):
    assert shown(url) == expected


def test_secrets_are_taken_out_wherever_they_are():
    assert redact("a secret, a secret", ["secret", "other"]) == "a [redacted], a [redacted]"
    assert redact_bytes(b"\xff secret", ["secret"]) == b"\xff [redacted]"


def test_what_is_too_short_to_be_a_secret_is_left():
    assert redact("banana", ["", "a", "ana"]) == "banana"


def test_secrets_of_a_proxy_are_known_in_the_forms_in_which_it_sees_them():
    found = set(proxy_secrets("http://user:p%40ss@proxy:1", {"X-Key": ["one", "two"]}))
    assert found == {"p%40ss", "p@ss", base64.b64encode(b"user:p@ss").decode(), "one", "two"}


@pytest.mark.parametrize("url", ["", "http://proxy:1", "http://user@proxy:1", "http://[no"])
def test_proxy_without_password_has_no_secrets(url):
    assert list(proxy_secrets(url, {})) == []
