"""What a session with an API server takes from its surroundings: nothing."""

import aiohttp
import pytest

from informers.client.config import ClientConfig
from informers.client.connection import open_session


@pytest.mark.parametrize("proxy_url", ["", "http://proxy.invalid:3128", "socks5://proxy.invalid:1080"])
async def test_session_takes_no_proxy_and_no_credentials_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, proxy_url: str
):
    monkeypatch.setenv("HTTPS_PROXY", "http://another.invalid:3128")
    config = ClientConfig(server="http://server.invalid", proxy_url=proxy_url)
    session, options = open_session(config, None)
    async with session:
        assert not session.trust_env, "a proxy of the environment would see the members' tokens"
        assert options.get("proxy", "") == (proxy_url if proxy_url.startswith("http:") else "")


async def test_session_keeps_no_cookies():
    session, _ = open_session(ClientConfig(server="http://server.invalid"), None)
    async with session:
        assert isinstance(session.cookie_jar, aiohttp.DummyCookieJar)
