"""`bcl broker`: the embedded Kafka alone, until it is told to stop (SIGTERM, Ctrl-C) or a node ends by itself."""

import argparse
import json
import os
import secrets
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.broker.certificates import Certificates

EXAMPLE = "bcl broker --nodes 3 --data runs/kafka"
PASSWORD = "BCL__KAFKA__SASL_PASSWORD"
LOOK_EVERY_S = 0.5


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1, help="1, or 3 with three copies of everything")
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="keep the data here; without it all goes at the end"
    )
    parser.add_argument(
        "--port", type=int, help="of the first node, the others' follow; without it free ones are taken"
    )
    parser.add_argument(
        "--tls", type=Path, metavar="FOLDER", help="speak TLS; certificates for trials are made here if there are none"
    )
    parser.add_argument("--mutual", action="store_true", help="with --tls: ask for the clients' certificates too")
    parser.add_argument(
        "--scram",
        metavar="USER",
        help=f"ask for this user's password: {PASSWORD} if it is set, else a new one is shown",
    )
    parser.add_argument("--kafka-home", type=Path, metavar="FOLDER", help="run this distribution of Kafka 4")
    parser.add_argument("--json", action="store_true", help="one JSON object when Kafka answers")


def run(args: argparse.Namespace) -> int:
    from streams.broker.embedded import EmbeddedKafka
    from streams.broker.jars import progress_on_terminal

    certificates = _certificates(args.tls, mutual=args.mutual) if args.tls else None
    password = os.environ.get(PASSWORD) or secrets.token_urlsafe(18)
    told_to_stop = threading.Event()
    with progress_on_terminal() as progress:
        kafka = EmbeddedKafka(
            args.nodes,
            args.data,
            certificates,
            {args.scram: password} if args.scram else None,
            port=args.port,
            kafka_home=args.kafka_home,
            progress=progress,
        )
        kafka.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())
    try:
        settings = _settings(kafka.bootstrap, certificates, args.scram, password)
        if args.json:
            started = {"bootstrap": kafka.bootstrap, "pids": kafka.pids, "folder": str(kafka.folder)}
            print(json.dumps(started | {"environment": settings}), flush=True)
        else:
            print(f"Kafka answers at {kafka.bootstrap}; Ctrl-C ends it. What its clients need:")
            print("\n".join(f"  {key}={value}" for key, value in settings.items()), flush=True)
        while not told_to_stop.wait(LOOK_EVERY_S):
            kafka.raise_if_ended()
    finally:
        kafka.stop()
    return 0


def _certificates(folder: Path, *, mutual: bool) -> "Certificates":
    from streams.broker.certificates import Certificates, make_certificates

    there = Certificates(folder.absolute(), mutual)
    return there if there.server_pem.exists() else make_certificates(folder.absolute(), mutual=mutual)


def _settings(bootstrap: str, certificates: "Certificates | None", user: str | None, password: str) -> dict[str, str]:
    """As environment variables, for any other command of ours."""
    settings = {"BCL__KAFKA__BROKERS": bootstrap}
    if certificates or user:
        settings["BCL__KAFKA__SECURITY"] = ("SASL_" if user else "") + ("SSL" if certificates else "PLAINTEXT")
    if certificates:
        settings["BCL__KAFKA__CA_FILE"] = str(certificates.ca_pem)
    if certificates and certificates.mutual:
        settings["BCL__KAFKA__CERT_FILE"] = str(certificates.client_cert)
        settings["BCL__KAFKA__KEY_FILE"] = str(certificates.client_key)
    if user:
        settings["BCL__KAFKA__SASL_USER"] = user
        settings[PASSWORD] = "***" if os.environ.get(PASSWORD) else password
    return settings
