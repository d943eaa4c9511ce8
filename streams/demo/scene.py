"""The demo from its first phase to its last: each is a method of the scene, and `play` calls them in order.

prepare ─► train ─► start ─► warm up ─► release, while plays go on ─► wind down ─► judge
"""

import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from bcl_model.settings import read_settings
from bcl_model.train import Progress, train_artifact
from streams.broker.embedded import EmbeddedKafka
from streams.broker.topics import create
from streams.catalogue.content import content_of
from streams.config import config_folder, load_settings, variable_of
from streams.contracts.codec import decode_value
from streams.contracts.targets import Outcome
from streams.contracts.topics import READ_BY_STAGES, RELEASE_OUTCOMES
from streams.demo.comparison import compare
from streams.demo.interruption import Interruption
from streams.demo.live import Live, now_ms
from streams.demo.options import Options
from streams.demo.report import Measured
from streams.demo.screen import Now, Screen
from streams.demo.traffic import Traffic
from streams.demo.workers import Workers
from streams.settings import Settings
from streams.world.plays import Plays, history
from streams.world.world import World, WorldSettings

OVERLAY = "local.toml"


def play(options: Options, measured: Measured, screen: Screen, now: Now, interruption: Interruption) -> None:
    """Whatever happens: at the end no process of the demo runs, and without `keep` no file is left."""
    with ExitStack() as stack:
        try:
            scene = Scene(options, measured, screen, now, stack)
            scene.prepare()
            scene.train()
            scene.start()
            interruption.run(scene.live())
            scene.wind_down()
            interruption.run(scene.judge())
        finally:
            interruption.ignore()


class Scene:
    def __init__(self, options: Options, measured: Measured, screen: Screen, now: Now, stack: ExitStack) -> None:
        self._options, self._measured, self._screen, self._now = options, measured, screen, now
        self._stack = stack
        self._folder = Path(tempfile.mkdtemp(prefix="bcl-demo-"))
        self._workers = Workers(self._folder, keep=options.keep)
        if options.keep:
            measured.kept = self._folder
        else:
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)

    def prepare(self) -> None:
        """Kafka, its topics, and a world whose present is ours: what is old by the clock, Kafka would remove."""
        with self._phase("starting Kafka"):
            data = self._folder / "kafka" if self._options.keep else None
            self._kafka = self._stack.enter_context(EmbeddedKafka(data=data, progress=self._fetched))
            self._settings = self._settings_for(self._folder / "models")
            create(self._settings.kafka, self._settings.topics)
        with self._phase("making a world"):
            chosen = self._options
            self._world = World(
                WorldSettings(
                    chosen.listeners, chosen.songs, new_songs=chosen.releases, seed=chosen.seed, start_ms=now_ms()
                )
            )
            self._history: list[Plays] = list(history(self._world, chosen.history))
            self._measured.history = sum(map(len, self._history))

    def train(self) -> None:
        with self._phase("training the model"):
            heard = Plays.joined([block.take(block.effective()) for block in self._history])
            settings = read_settings(config_folder() / "models" / "demo.toml")
            threads = min(settings.run.threads, os.cpu_count() or 1)
            artifact = train_artifact(
                [(song.song_id, content_of(song)) for song in self._world.songs()],
                heard.listeners,
                heard.songs,
                self._folder / "models",
                replace(settings, run=replace(settings.run, seed=self._options.seed, threads=threads)),
                progress=self._trained,
            )
            self._settings = self._settings_for(artifact)
            self._measured.training = json.loads((artifact / "metrics.json").read_text())

    def start(self) -> None:
        with self._phase("starting workers"):
            self._stack.callback(self._workers.stop)
            for number in range(self._options.workers):
                environment = self._environment(artifact=Path(self._settings.model.artifact))
                self._workers.start(f"worker-{number}", environment, config_folder() / OVERLAY)
            self._now.workers = self._options.workers

    async def live(self) -> None:
        async with Traffic(self._settings.kafka, self._settings.topics) as traffic:
            live = Live(
                self._options,
                self._world,
                traffic,
                partitions=self._settings.topics.listener_partitions,
                measured=self._measured,
                screen=self._screen,
                now=self._now,
                look=self._look,
            )
            with self._phase("embedding the catalogue"):
                await live.publish_catalogue()
            with self._phase("playing the history"):
                began_s = time.monotonic()
                await live.publish_history(self._history)
                self._measured.history_per_second = self._measured.history / (time.monotonic() - began_s)
                self._history.clear()
            with self._phase("releasing songs"):
                await live.release(self._world.new_releases(self._options.releases))

    def wind_down(self) -> None:
        with self._phase("stopping the workers"):
            self._look()
            self._workers.stop()
            self._measured.worker_exit_codes = self._workers.exit_codes

    async def judge(self) -> None:
        with self._phase("judging"):
            async with Traffic(self._settings.kafka, self._settings.topics) as traffic:
                self._measured.dead_letters = await traffic.count(topic.dead_letters for topic in READ_BY_STAGES)
                self._measured.outcomes = await _outcomes(traffic)
                self._measured.comparison = await compare(traffic, self._settings, self._world)

    def _look(self) -> None:
        self._kafka.raise_if_ended()
        self._workers.raise_if_ended()

    def _settings_for(self, artifact: Path) -> Settings:
        return load_settings([config_folder() / OVERLAY], self._environment(artifact))

    def _environment(self, artifact: Path) -> dict[str, str]:
        """Settings that the caller's environment names hold here too, but for Kafka, which is the demo's own."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BCL__KAFKA__")}
        ours = {
            variable_of("kafka", "brokers"): self._kafka.bootstrap,
            variable_of("topics", "replication"): "1",
            variable_of("topics", "min_insync"): "1",
            variable_of("topics", "prefix"): "",
            variable_of("worker", "name"): "",
            variable_of("worker", "commit_every_s"): "0.25",
            variable_of("checkpoints", "store"): str(self._folder / "checkpoints"),
            variable_of("matching", "budget"): str(self._options.budget),
            variable_of("model", "artifact"): str(artifact),
            "OMP_NUM_THREADS": "1",
        }
        return inherited | ours

    @contextmanager
    def _phase(self, what: str) -> Iterator[None]:
        self._screen.phase(what)
        began_s = time.monotonic()
        yield
        self._measured.seconds[what] = time.monotonic() - began_s

    def _fetched(self, there: int, of: int) -> None:
        self._now.detail = f"fetched {there} of {of} jars"
        self._screen.refresh()

    def _trained(self, progress: Progress) -> None:
        self._now.detail = f"step {progress.step} of {progress.steps}, recall {progress.recall:.3f}"
        self._screen.refresh()


async def _outcomes(traffic: Traffic) -> dict[str, dict[str, int]]:
    """What came of all releases together, by arm; the newest outcome of a song counts."""
    newest: dict[bytes, Outcome] = {}
    async for _, records in traffic.logged(RELEASE_OUTCOMES):
        for record in records:
            outcome = decode_value(RELEASE_OUTCOMES, record.value)
            assert isinstance(outcome, Outcome)
            newest[record.key] = outcome
    totals: dict[str, Counter[str]] = {}
    for outcome in newest.values():
        for name in ("reached", "effective_plays", "likes"):
            for arm, count in getattr(outcome, name).items():
                totals.setdefault(arm, Counter())[name] += count
    return {arm: dict(total) for arm, total in sorted(totals.items())}
