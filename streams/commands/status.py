"""`bcl status`: how far the workers are behind, from Kafka itself, and what each worker says of its songs and model."""

import argparse
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from streams.commands.options import settings_from, settings_options

if TYPE_CHECKING:
    from streams.settings import Settings

EXAMPLE = "bcl status --brokers 127.0.0.1:9092 --worker http://127.0.0.1:8080"
ANSWERS_WITHIN_S = 3.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--worker", action="append", default=[], metavar="URL", help="a worker to ask; may be repeated")
    parser.add_argument("--max-lag", type=int, metavar="N", help="end with code 1 if a partition is further behind")
    parser.add_argument("--json", action="store_true")
    settings_options(parser)


def run(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    usual = [f"http://127.0.0.1:{settings.worker.http_port}"] if settings.worker.http_port else []
    lags = _lags(settings)
    workers = {url: _asked(url) for url in args.worker or usual}
    furthest = max((row["lag"] for row in lags), default=0)
    if args.json:
        print(json.dumps({"lag": lags, "furthest_behind": furthest, "workers": workers}))
    else:
        _show(lags, workers)
    silent = [url for url in args.worker if "error" in workers[url]]
    return 1 if silent or (args.max_lag is not None and furthest > args.max_lag) else 0


def _lags(settings: "Settings") -> list[dict[str, Any]]:
    from kafka import KafkaAdminClient, KafkaConsumer

    from streams.broker.security import kafka_python_arguments
    from streams.commands.records import reacting
    from streams.contracts.topics import Shard, featurize_group, group_of

    rows = []
    with reacting(settings.kafka):
        admin, consumer = KafkaAdminClient(**kafka_python_arguments(settings.kafka)), None
        try:
            consumer = KafkaConsumer(**kafka_python_arguments(settings.kafka), enable_auto_commit=False)
            prefix = settings.topics.prefix
            for group in (*(group_of(shard, prefix) for shard in Shard), featurize_group(prefix)):
                committed = admin.list_group_offsets({group: None})[group]
                ends = consumer.end_offsets(list(committed)) if committed else {}
                for at in sorted(committed):
                    offset, end = committed[at].offset, ends[at]
                    rows.append(
                        {
                            "group": group,
                            "topic": at.topic,
                            "partition": at.partition,
                            "committed": offset,
                            "end": end,
                            "lag": max(end - max(offset, 0), 0),
                        }
                    )
        finally:
            admin.close()
            if consumer is not None:
                consumer.close()
    return rows


def _asked(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/status", timeout=ANSWERS_WITHIN_S) as answer:
            told: dict[str, Any] = json.load(answer)
            return told
    except (urllib.error.URLError, OSError, ValueError) as error:
        return {"error": str(error)}


def _show(lags: list[dict[str, Any]], workers: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title="lag")
    for column in ("topic", "partitions", "records behind", "furthest"):
        table.add_column(column, justify="left" if column == "topic" else "right")
    for topic in dict.fromkeys(row["topic"] for row in lags):
        of_topic = [row["lag"] for row in lags if row["topic"] == topic]
        table.add_row(topic, str(len(of_topic)), str(sum(of_topic)), str(max(of_topic)))
    console.print(table if lags else "no worker has committed anything yet")
    for url, told in workers.items():
        console.print(f"{url}: {json.dumps(told)}", soft_wrap=True, markup=False, highlight=False)
