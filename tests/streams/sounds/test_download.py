"""Sounds come within their bounds, or with the reason why not."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streams.errors import UnusableSound
from streams.sounds.download import ATTEMPTS, Downloads
from tests.builders.contracts import settings
from tests.builders.sounds import Answer, Host, serving, wav

MAX_BYTES, TOO_SOON_S = 50_000, 0.5
SOUND = wav(1.0)
ANSWERS = {
    "/good.wav": Answer(SOUND),
    "/chunks.wav": Answer(SOUND, headers={"Content-Length": ""}),
    "/late.wav": Answer(SOUND, after_s=3 * TOO_SOON_S),
    "/drips.wav": Answer(SOUND, pause_s=0.2),
    "/large.wav": Answer(SOUND * 2),
    "/says-large.wav": Answer(says_length=MAX_BYTES + 1),
    "/cut.wav": Answer(SOUND[:9_000], says_length=len(SOUND)),
    "/moved.wav": Answer(status=302, headers={"Location": "/good.wav"}),
    "/packed.wav": Answer(SOUND, headers={"Content-Encoding": "gzip"}),
    "/forbidden.wav": Answer(status=403),
    "/broken.wav": Answer(status=500),
    "/busy-once.wav": Answer(SOUND, fails_first=1),
}


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with serving(ANSWERS) as running:
        yield running


@pytest.fixture
def make(host: Host, tmp_path: Path) -> Iterator[Callable[..., Downloads]]:
    made: list[Downloads] = []

    def make(**changes: object) -> Downloads:
        usual = {
            "schemes": "http,file",
            "hosts": f"{host.name},localhost:{host.port}",
            "folder": str(tmp_path),
            "private_addresses": True,
            "max_bytes": MAX_BYTES,
            "fetch_within_s": 60.0,
        }
        made.append(Downloads(settings(featurize=usual | changes).featurize))
        return made[-1]

    yield make
    for one in made:
        one.close()


def refusal(downloads: Downloads, uri: str) -> str:
    with pytest.raises(UnusableSound) as refused:
        downloads.fetched(uri)
    return str(refused.value)


def test_a_sound_comes_as_it_is(make: Callable[..., Downloads], host: Host):
    assert make().fetched(host.uri("/good.wav")) == SOUND


def test_several_threads_may_ask_at_once(make: Callable[..., Downloads], host: Host):
    downloads = make()
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(downloads.fetched, [host.uri("/good.wav")] * 12)) == [SOUND] * 12


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/large.wav", f"wanted at most {MAX_BYTES}"),
        ("/says-large.wav", f"names {MAX_BYTES + 1} bytes or more, wanted at most {MAX_BYTES}"),
        ("/cut.wav", "cannot be fetched: its end is missing"),
        ("/moved.wav", "the host answers 302: redirects are not followed"),
        ("/packed.wav", "comes as 'gzip', wanted it as it is"),
        ("/forbidden.wav", "the host answers 403"),
        ("/missing.wav", "the host answers 404"),
        ("/broken.wav", "the host answers 500"),
    ],
)
def test_what_is_not_had_is_refused_with_the_reason(make: Callable[..., Downloads], host: Host, path: str, why: str):
    said = refusal(make(), host.uri(path))
    assert said.startswith(f"audio_uri '{host.uri(path)}' ") and why in said


@pytest.mark.parametrize("path", ["/late.wav", "/drips.wav"])
def test_what_takes_too_long_is_refused(make: Callable[..., Downloads], host: Host, path: str):
    said = refusal(make(fetch_within_s=TOO_SOON_S), host.uri(path))
    assert f"cannot be fetched: it is not there within {TOO_SOON_S:g} s" in said


def test_a_redirect_is_not_followed_and_a_refusal_is_not_asked_again(make: Callable[..., Downloads], host: Host):
    downloads = make()
    before = list(host.asked)
    for path in ("/moved.wav", "/forbidden.wav", "/large.wav"):
        refusal(downloads, host.uri(path))
    assert host.asked[len(before) :] == ["/moved.wav", "/forbidden.wav", "/large.wav"]


def test_what_may_be_better_the_next_time_is_asked_again(make: Callable[..., Downloads], host: Host):
    downloads = make()
    assert downloads.fetched(host.uri("/busy-once.wav")) == SOUND
    before = host.asked.count("/broken.wav")
    refusal(downloads, host.uri("/broken.wav"))
    assert host.asked.count("/broken.wav") - before == ATTEMPTS


def test_a_name_that_leads_into_our_own_network_is_refused_before_anything_is_asked(
    make: Callable[..., Downloads], host: Host
):
    before = list(host.asked)
    said = refusal(make(private_addresses=False), f"http://localhost:{host.port}/good.wav")
    assert "wanted a public address" in said
    assert host.asked == before


def test_a_host_where_nobody_listens_is_named(make: Callable[..., Downloads]):
    said = refusal(make(hosts="127.0.0.1:1"), "http://127.0.0.1:1/a.wav")
    assert "cannot be fetched: ClientConnectorError" in said


def test_files_come_from_the_folder_alone_and_within_the_size(make: Callable[..., Downloads], tmp_path: Path):
    downloads = make()
    (tmp_path / "good.wav").write_bytes(SOUND)
    (tmp_path / "large.wav").write_bytes(b"x" * (MAX_BYTES + 1))
    os.mkfifo(tmp_path / "pipe.wav")
    assert downloads.fetched(f"file://{tmp_path}/good.wav") == SOUND
    assert "wanted at most" in refusal(downloads, f"file://{tmp_path}/large.wav")
    assert "names no regular file" in refusal(downloads, f"file://{tmp_path}/pipe.wav")
    assert "cannot be read: Is a directory" in refusal(downloads, f"file://{tmp_path}")
    assert "cannot be read: No such file" in refusal(downloads, f"file://{tmp_path}/none.wav")
    assert "lies outside" in refusal(downloads, "file:///etc/hostname")
