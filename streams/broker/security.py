"""How clients reach Kafka: arguments that follow from the settings, and the true reason when it cannot be reached."""

import asyncio
import logging
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from streams.errors import BadSettings, BrokerUnavailable
from streams.settings import KafkaSettings

ANSWERS_WITHIN_S = 5.0

# Where logging is not configured their warnings would go to standard error; the true reason is in what is raised
for _client in ("kafka", "aiokafka"):
    logging.getLogger(_client).addHandler(logging.NullHandler())


def aiokafka_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """For every client of aiokafka: consumer, producer, admin."""
    return {"bootstrap_servers": settings.brokers.replace(" ", ""), **_credentials(settings)}


def kafka_python_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """For every client of kafka-python. Its own patience is 30 s, and at the end it does not know the reason."""
    return {
        "bootstrap_servers": settings.brokers.replace(" ", "").split(","),
        "bootstrap_timeout_ms": int(1000 * ANSWERS_WITHIN_S),
        **_credentials(settings),
    }


def _credentials(settings: KafkaSettings) -> dict[str, Any]:
    arguments: dict[str, Any] = {"security_protocol": settings.security}
    if settings.security.endswith("SSL"):
        arguments["ssl_context"] = ssl_context(settings)
    if settings.security.startswith("SASL"):
        arguments["sasl_mechanism"] = settings.sasl_mechanism
        arguments["sasl_plain_username"] = settings.sasl_user
        arguments["sasl_plain_password"] = settings.sasl_password
    return arguments


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    """Checks the brokers' names and certificates: against ca_file, or against what the system trusts if it is empty."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise BadSettings(
            f"[kafka] ca_file = {settings.ca_file!r} is not a file of PEM certificates: {error}"
        ) from error
    if settings.cert_file:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file or None)
        except (OSError, ssl.SSLError) as error:
            raise BadSettings(
                f"[kafka] cert_file = {settings.cert_file!r} with key_file = {settings.key_file!r} "
                f"is not a PEM certificate and its key: {error}"
            ) from error
    return context


async def reachable(settings: KafkaSettings) -> None:
    """Returns when a broker has let us in and each that it names can be reached; raises BrokerUnavailable otherwise.

    The clients themselves retry and then say "timeout": the reason would stand in their logs only.
    """
    from aiokafka.conn import collect_hosts

    credentials, reasons = _credentials(settings), []
    for host, port, _ in collect_hosts(settings.brokers.replace(" ", ""), randomize=False):
        try:
            named = await _let_in(host, port, credentials)
        except Exception as error:  # whatever it is, it is why this broker cannot be used
            reasons.append(f"{host}:{port}: {_what_to_do(error, settings)}")
            continue
        unreachable = [
            f"{host}:{port} answers, but names {name} as a broker, which cannot be reached from here: "
            f"{_what_to_do(error, settings)}. Mend the brokers' advertised.listeners"
            for name, error in await asyncio.gather(*(_error_at(name, credentials) for name in named))
            if error
        ]
        if len(unreachable) < len(named):
            return
        reasons += unreachable
    raise BrokerUnavailable("no Kafka can be reached:\n  " + "\n  ".join(reasons))


def reachable_now(settings: KafkaSettings) -> None:
    """The same for callers without an event loop; a thread of its own, since theirs may have one all the same."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, reachable(settings)).result()


async def _let_in(host: str, port: int, credentials: dict[str, Any]) -> list[tuple[str, int]]:
    """The brokers that this one names, once TLS, the password and the protocol are agreed."""
    from aiokafka.conn import create_conn
    from aiokafka.protocol.metadata import MetadataRequest

    async with asyncio.timeout(ANSWERS_WITHIN_S):
        connection = await create_conn(
            host, port, client_id="bcl", request_timeout_ms=int(1000 * ANSWERS_WITHIN_S), **credentials
        )
        try:
            answer = await connection.send(MetadataRequest([]))
            return [(broker[1], broker[2]) for broker in answer.brokers]
        finally:
            await connection.close()


async def _error_at(name: tuple[str, int], credentials: dict[str, Any]) -> tuple[str, Exception | None]:
    try:
        await _let_in(*name, credentials)
    except Exception as error:  # as above
        return "{}:{}".format(*name), error
    return "{}:{}".format(*name), None


def _what_to_do(error: Exception, settings: KafkaSettings) -> str:
    from aiokafka import errors

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is refused: {cause.verify_message}; compare [kafka] ca_file and brokers with it"
        if isinstance(cause, ssl.SSLError) and "CERTIFICATE_REQUIRED" in (cause.reason or ""):
            return "it wants to see our certificate; set [kafka] cert_file and key_file"
        if isinstance(cause, ssl.SSLError):
            return f"TLS fails: {cause.reason or cause}; does [kafka] security = {settings.security!r} fit this port?"
        if isinstance(cause, errors.AuthenticationFailedError | errors.SaslAuthenticationFailed):
            return (
                f"user {settings.sasl_user!r} is refused: {cause}; see [kafka] sasl_user and sasl_mechanism, "
                "and BCL__KAFKA__SASL_PASSWORD in the environment"
            )
        if isinstance(cause, errors.UnsupportedSaslMechanismError):
            return f"it does not offer [kafka] sasl_mechanism = {settings.sasl_mechanism!r}"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, TimeoutError | errors.KafkaConnectionError | EOFError | errors.CorrelationIdError):
        return (
            f"accepted, but no Kafka answered ({type(error).__name__} {error}); "
            f"does [kafka] security = {settings.security!r} fit this port?"
        )
    if isinstance(error, ConnectionRefusedError):
        return "refused: nothing listens there; is it started, and is [kafka] brokers right?"
    return f"{error or type(error).__name__}; see [kafka] brokers"
