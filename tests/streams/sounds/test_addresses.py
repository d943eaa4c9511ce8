"""What may be fetched is said by the settings alone."""

from pathlib import Path

import pytest

from streams.errors import UnusableSound
from streams.sounds.addresses import Addresses, is_public
from tests.builders.contracts import settings


def addresses(**changes: object) -> Addresses:
    usual = {"schemes": "https, http", "hosts": "sounds.example.com, *.cdn.example.com, 127.0.0.1:8080"}
    return Addresses.of(settings(featurize=usual | changes).featurize)


def refusal(uri: str, **changes: object) -> str:
    with pytest.raises(UnusableSound) as refused:
        addresses(**changes).admitted(uri)
    return str(refused.value)


@pytest.mark.parametrize(
    "uri",
    [
        "https://sounds.example.com/a/b.flac?version=2",
        "https://SOUNDS.example.com:443/a",
        "http://sounds.example.com:80/a",
        "https://eu.cdn.example.com/a",
        "https://one.two.cdn.example.com/a",
    ],
)
def test_listed_hosts_are_let_in_at_their_usual_port(uri: str):
    assert addresses().admitted(uri).hostname


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("ftp://sounds.example.com/a", "has the scheme 'ftp', wanted one of https, http"),
        ("gopher://sounds.example.com/a", "has the scheme 'gopher'"),
        ("//sounds.example.com/a", "has the scheme ''"),
        ("file:///a.wav", "has the scheme 'file'"),
        ("https://elsewhere.example.com/a", "has the host 'elsewhere.example.com', wanted one of sounds.example.com"),
        ("https://sounds.example.com.evil.org/a", "has the host"),
        ("https://evilsounds.example.com/a", "has the host"),
        ("https://cdn.example.com/a", "has the host"),
        ("https://evilcdn.example.com/a", "has the host"),
        ("https://sounds.example.com:8443/a", "has the host"),
        ("http://sounds.example.com:443/a", "has the host"),
        ("https://sounds.example.com@evil.org/a", "holds a user or a password"),
        ("https://user:secret@sounds.example.com/a", "holds a user or a password"),
        ("https:///a", "has the host ''"),
        ("https://sounds.example.com:port/a", "is no URI"),
        ("https://[::1/a", "is no URI"),
        ("https://sounds.example.com/a b", "has blanks"),
        ("https://sounds.example.com\\@evil.org/a", "has blanks, control characters or backslashes"),
        ("https://sounds.\nexample.com/a", "has blanks"),
        ("http://127.0.0.1:8080/a", "leads to 127.0.0.1, wanted a public address"),
        ("http://127.0.0.1:8081/a", "has the host"),
    ],
)
def test_everything_else_is_refused_with_the_uri_and_the_reason(uri: str, why: str):
    said = refusal(uri)
    assert said.startswith(f"audio_uri {uri!r} ") and why in said


def test_a_listed_address_of_our_own_network_is_let_in_where_that_is_allowed():
    assert addresses(private_addresses=True).admitted("http://127.0.0.1:8080/a").port == 8080


def test_nothing_is_let_in_by_default():
    assert "wanted none: [featurize] lets nothing in" in refusal("https://sounds.example.com/a", hosts="")


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"])
def test_public_addresses(address: str):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
        "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "2002:a00:1::", "2001:0:4136:e378::",
    ],
)  # fmt: skip
def test_addresses_that_lead_into_a_network_of_ones_own(address: str):
    assert not is_public(address)


def test_files_lie_below_the_folder_wherever_links_lead(tmp_path: Path):
    inside, outside = tmp_path / "sounds", tmp_path / "secrets"
    for folder in (inside, outside, tmp_path / "sounds-too"):
        folder.mkdir()
        (folder / "a b.wav").write_bytes(b"")
    (inside / "link.wav").symlink_to(outside / "a b.wav")
    (inside / "good.wav").symlink_to(inside / "a b.wav")
    rules = addresses(schemes="file", folder=str(inside))
    assert rules.file(f"file://{inside}/a%20b.wav") == rules.file(f"file://localhost{inside}/good.wav")
    for uri in (
        f"file://{outside}/a%20b.wav",
        f"file://{inside}/../secrets/a%20b.wav",
        f"file://{inside}/%2e%2e/secrets/a%20b.wav",
        f"file://{inside}/link.wav",
        f"file://{tmp_path}/sounds-too/a%20b.wav",
    ):
        with pytest.raises(UnusableSound, match="lies outside of the folder of the sounds"):
            rules.file(uri)
    with pytest.raises(UnusableSound, match="names a file of the host 'elsewhere'"):
        rules.file("file://elsewhere/a.wav")
    with pytest.raises(UnusableSound, match="names no path"):
        rules.file(f"file://{inside}/%00.wav")
