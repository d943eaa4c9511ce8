"""`bcl release` checks a release that names a sound as its topic's contract wants it, before anything is sent."""

import json
from pathlib import Path

import pytest

from streams.cli import main


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main(["release", "--dry-run", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_names_a_sound_goes_to_audio_releases_and_what_does_not_to_song_releases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    uri = ("--audio-uri", "https://sounds.example.com/s1.flac", "--lyrics", "la la")
    assert told(capsys, "--song-id", "s1", *uri) == {"checked": ["s1"], "topic": "audio-releases", "at": []}
    assert told(capsys, "--song-id", "s1")["topic"] == "song-releases"
    assert told(capsys, "--withdraw", "s1")["topic"] == "song-releases"
    file = tmp_path / "releases.json"
    file.write_text(
        json.dumps([{"song_id": "s1", "released_ms": 1, "audio_uri": "file:///a"}, {"song_id": "s2", "released_ms": 1}])
    )
    assert told(capsys, str(file)) == {"checked": ["s1", "s2"], "topic": "audio-releases, song-releases", "at": []}


def test_a_sound_without_a_name_is_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["release", "--dry-run", "--song-id", "s1", "--audio-uri", ""]) == 1
    assert "audio_uri is '': Expected `str` of length >= 1" in capsys.readouterr().err
