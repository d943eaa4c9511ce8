"""Which sounds may be fetched: rules on what an audio_uri says, and on the addresses that its host turns out to have.

Pure: nothing is looked up here.
"""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from streams.errors import UnusableSound
from streams.settings import FeaturizeSettings

_USUAL_PORTS = {"http": 80, "https": 443}
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address behind NAT64


@dataclass(frozen=True)
class Addresses:
    """What is let in."""

    schemes: tuple[str, ...]
    hosts: tuple[str, ...]  # host, host:port or *.domain
    folder: Path | None
    private: bool

    @classmethod
    def of(cls, settings: FeaturizeSettings) -> "Addresses":
        folder = Path(settings.folder).resolve() if settings.folder else None
        return cls(_listed(settings.schemes), _listed(settings.hosts), folder, settings.private_addresses)

    def admitted(self, uri: str) -> SplitResult:
        """Raises UnusableSound with the reason."""
        if re.search(r"[\s\\\x00-\x20\x7f]", uri):
            raise _refused(uri, "has blanks, control characters or backslashes, wanted a URI")
        try:
            parts = urlsplit(uri)
            port = parts.port
        except ValueError as error:
            raise _refused(uri, f"is no URI: {error}") from error
        if parts.scheme not in self.schemes:
            raise _refused(uri, f"has the scheme {parts.scheme!r:.40}, wanted {_one_of(self.schemes)}")
        if parts.scheme == "file":
            if parts.netloc not in ("", "localhost"):
                raise _refused(uri, f"names a file of the host {parts.netloc!r:.80}, wanted one of ours")
            return parts
        if parts.username is not None or parts.password is not None:
            raise _refused(uri, "holds a user or a password, wanted neither")
        if not parts.hostname or not self._is_listed(parts.hostname, port, parts.scheme):
            raise _refused(uri, f"has the host {parts.netloc!r:.80}, wanted {_one_of(self.hosts)}")
        if _is_address(parts.hostname):
            self.check_address(uri, parts.hostname)
        return parts

    def check_address(self, uri: str, address: str) -> None:
        if not self.private and not is_public(address):
            raise _refused(uri, f"leads to {address}, wanted a public address")

    def file(self, uri: str) -> Path:
        """Links followed: what counts is where the file really lies."""
        parts = self.admitted(uri)
        try:
            found = Path(unquote(parts.path, errors="strict")).resolve()
        except ValueError as error:
            raise _refused(uri, f"names no path: {error}") from error
        if self.folder is None or not found.is_relative_to(self.folder):
            raise _refused(uri, "lies outside of the folder of the sounds")
        return found

    def _is_listed(self, host: str, port: int | None, scheme: str) -> bool:
        usual = port in (None, _USUAL_PORTS[scheme])
        return any(
            (name == f"{host}:{port}" if port is not None else False)
            or (usual and (name == host or (name.startswith("*.") and host.endswith(name[1:]))))
            for name in self.hosts
        )


def is_public(address: str) -> bool:
    """Neither our own network's, nor one that leads there by another notation."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.sixtofour is not None or found.teredo is not None:
            return False
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if found in _TRANSLATED:
            return is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
    return found.is_global and not found.is_multicast and not found.is_reserved


def _refused(uri: str, why: str) -> UnusableSound:
    return UnusableSound(f"audio_uri {uri!r:.200} {why}")


def _listed(said: str) -> tuple[str, ...]:
    return tuple(one.strip().lower() for one in said.split(",") if one.strip())


def _one_of(names: tuple[str, ...]) -> str:
    return f"one of {', '.join(names)}" if names else "none: [featurize] lets nothing in"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
