"""Fetches the bytes of a sound: from a folder or by HTTP, within bounds of size and time, from where it is let in.

No redirects, no proxies, no cookies, no compression. Names are looked up once, and the connection goes to the very
addresses that were checked.
"""

import asyncio
import os
import stat
import threading
from pathlib import Path
from socket import AF_INET, AddressFamily
from urllib.parse import SplitResult

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from streams.errors import UnusableSound
from streams.settings import FeaturizeSettings
from streams.sounds.addresses import Addresses

ATTEMPTS = 3
PAUSE_S = 0.2  # before the second attempt, doubled before each further one
PIECE_BYTES = 64 * 1024


class _TriedAgain(Exception):
    """Why this attempt failed; the next may not."""


class Downloads:
    """Has an event loop of its own in a thread, so that any thread may ask; close it in the end."""

    def __init__(self, settings: FeaturizeSettings) -> None:
        self._settings, self._addresses = settings, Addresses.of(settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="downloads", daemon=True)
        self._thread.start()
        self._session = asyncio.run_coroutine_threadsafe(self._opened(), self._loop).result()

    def fetched(self, uri: str) -> bytes:
        parts = self._addresses.admitted(uri)
        if parts.scheme == "file":
            return self._read(uri, self._addresses.file(uri))
        return asyncio.run_coroutine_threadsafe(self._downloaded(uri, parts), self._loop).result()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._session.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _read(self, uri: str, file: Path) -> bytes:
        try:
            with open(file, "rb", opener=_without_waiting) as opened:  # Path.open takes no opener
                found = os.fstat(opened.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise UnusableSound(f"audio_uri {uri!r:.200} names no regular file")
                self._check_size(uri, found.st_size)
                return opened.read(self._settings.max_bytes)
        except OSError as error:
            raise UnusableSound(f"audio_uri {uri!r:.200} cannot be read: {error.strerror}") from error

    async def _opened(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=_CheckedResolver(self._addresses), use_dns_cache=False, limit=self._settings.fetches_at_once
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),  # ours counts all attempts
            headers={"Accept-Encoding": "identity", "User-Agent": "bcl-featurize"},
        )

    async def _downloaded(self, uri: str, parts: SplitResult) -> bytes:
        url = URL(uri, encoded=True)
        if (url.scheme, (url.raw_host or "").lower(), url.explicit_port) != (parts.scheme, parts.hostname, parts.port):
            raise UnusableSound(f"audio_uri {uri!r:.200} can be read in two ways")
        why = "nothing was answered"
        try:
            async with asyncio.timeout(self._settings.fetch_within_s):
                for attempt in range(ATTEMPTS):
                    await asyncio.sleep(PAUSE_S * 2**attempt / 2 if attempt else 0)
                    try:
                        return await self._attempt(uri, url)
                    except _TriedAgain as reason:
                        why = str(reason)
                    except aiohttp.ClientPayloadError:
                        why = "its end is missing"
                    except (aiohttp.ClientError, OSError) as error:
                        why = f"{type(error).__name__}: {error}"
        except TimeoutError:
            why = f"it is not there within {self._settings.fetch_within_s:g} s ({why} before)"
        raise UnusableSound(f"audio_uri {uri!r:.200} cannot be fetched: {why:.200}")

    async def _attempt(self, uri: str, url: URL) -> bytes:
        async with self._session.get(url, allow_redirects=False) as answer:
            if answer.status >= 500 or answer.status == 429:
                raise _TriedAgain(f"the host answers {answer.status}")
            if answer.status != 200:
                hint = ": redirects are not followed" if 300 <= answer.status < 400 else ""
                raise UnusableSound(f"audio_uri {uri!r:.200} cannot be fetched: the host answers {answer.status}{hint}")
            if (packed := answer.headers.get("Content-Encoding", "identity")) != "identity":
                raise UnusableSound(f"audio_uri {uri!r:.200} comes as {packed!r:.40}, wanted it as it is")
            self._check_size(uri, answer.content_length or 0)
            body = bytearray()
            async for piece in answer.content.iter_chunked(PIECE_BYTES):
                body += piece
                self._check_size(uri, len(body))
            return bytes(body)

    def _check_size(self, uri: str, size: int) -> None:
        if size > self._settings.max_bytes:
            raise UnusableSound(
                f"audio_uri {uri!r:.200} names {size} bytes or more, wanted at most {self._settings.max_bytes}"
            )


def _without_waiting(path: str, flags: int) -> int:
    """A pipe without a writer would wait for ever."""
    return os.open(path, flags | os.O_NONBLOCK)


class _CheckedResolver(AbstractResolver):
    """One address that is not let in is enough to refuse the name: who controls it could choose."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses, self._resolver = addresses, aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_INET) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for one in found:
            self._addresses.check_address(host, one["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()
