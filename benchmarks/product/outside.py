"""A client that has nothing to do with the controller: reads what a server sends, and does nothing with it.

python -m benchmarks.product.outside URL
"""

from __future__ import annotations

import asyncio
import ssl
import sys

import aiohttp


async def read(url: str) -> None:
    """Ask again when an answer is over, until killed. Nothing is decompressed or verified."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connector = aiohttp.TCPConnector(ssl=context)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        while True:
            try:
                async with session.get(url) as response:
                    while await response.content.readany():
                        pass
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(read(sys.argv[1]))
