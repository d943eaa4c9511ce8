"""Settings as frozen values, one section for each part, read once at start and handed over.

`config/defaults.toml` shows every key with its default and a line of meaning; overlays hold what differs;
`BCL__SECTION__KEY` in the environment comes last.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class KafkaSettings:
    brokers: str
    security: str  # PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL
    ca_file: str
    cert_file: str
    key_file: str
    sasl_mechanism: str
    sasl_user: str
    sasl_password: str = field(repr=False)  # from the environment only
    session_timeout_ms: int
    heartbeat_ms: int
    compression: str  # none, lz4, zstd


@dataclass(frozen=True)
class TopicSettings:
    listener_partitions: int
    song_partitions: int
    replication: int
    min_insync: int
    prefix: str


@dataclass(frozen=True)
class WorkerSettings:
    name: str  # static membership; empty: the host name
    data: str  # folder for state; one for each worker
    http_port: int  # 0: any free port
    records_per_batch: int
    commit_every_s: float
    progress_within_s: float
    drain_within_s: float
    deadline_tick_s: float


@dataclass(frozen=True)
class CheckpointSettings:
    store: str  # a folder or an fsspec url; empty: none are taken
    every_s: float
    keep: int
    keep_h: float  # older ones are removed even if fewer than `keep` remain: what was erased is gone by then


@dataclass(frozen=True)
class ModelSettings:
    artifact: str  # folder of the artifact
    songs_per_batch: int
    threads: int


@dataclass(frozen=True)
class ContractSettings:
    max_record_bytes: int
    max_ahead_h: float  # a time further ahead of its record than this is refused
    max_release_ahead_days: float  # a song may be announced this early


@dataclass(frozen=True)
class FeaturizeSettings:
    encoder: str  # "mel", or the folder of a trained HTCL model
    device: str  # cpu, cuda
    audio_field: str  # that the sound fills
    text_field: str  # that title, caption and lyrics fill, if the encoder reads; empty: none
    schemes: str  # https, http, file; commas between them
    hosts: str  # host, host:port or *.domain; commas between them
    folder: str  # below which file:// may lie
    private_addresses: bool  # a host may lie in our own network
    max_bytes: int  # of a sound
    fetch_within_s: float  # all attempts together
    fetches_at_once: int
    decoders: int  # processes
    decode_within_s: float  # of a processor; a sound that takes longer ends the process
    decode_bytes: int  # that decoding a sound may take
    songs_per_batch: int


@dataclass(frozen=True)
class ListeningSettings:
    effective_s: float  # a play is effective from this many seconds
    effective_share: float  # or from this share of the song
    completed_share: float
    strength_played: float
    strength_completed: float
    strength_liked: float
    half_life_days: float
    keep_plays: int  # ring of each listener
    forget_after_days: float  # a listener without plays for so long is dropped
    sampled_plays: int  # of a song in a partition, before sampling gets thinner


@dataclass(frozen=True)
class CrowdSettings:
    crowds_per_song: int
    listeners_per_song: int  # bounded sample
    half_life_days: float
    warm_at_listeners: int


@dataclass(frozen=True)
class MatchingSettings:
    neighbours: int
    min_similarity: float
    crowds: int
    max_share_per_neighbour: float  # of the total weight
    cold_for_days: float  # a release older than this when it is published is catalogue, not a release
    budget: int
    expires_after_h: float
    policy: str
    exact_below_songs: int  # FAISS kind by size
    rebuild_share: float  # of the index that may wait in the delta
    recall_sample_share: float  # of the searches that are checked against the exact index


@dataclass(frozen=True)
class ScoringSettings:
    rule: str  # max, share, mean, mass, blend, quota, song
    sharpness: float  # of the rules mass and blend: log sum mass exp(sharpness cos)
    familiarity: float  # what a listener has played of the neighbours counts too, with this weight
    candidates: str  # all, audience
    margin_sigmas: float
    listeners_per_block: int
    threads: int


@dataclass(frozen=True)
class SelectionSettings:
    exploration_share: float  # of the budget
    answer_within_s: float
    candidates_per_message: int


@dataclass(frozen=True)
class AdmissionSettings:
    consent_by_default: bool
    hold_out_share: float
    hold_out_salt: str
    cooldown_h: float
    rolling_h: float
    rolling_cap: int
    day_cap: int
    unknown_zone: str  # an IANA name to assume, or "suppress"
    quiet_from_minute: int  # where the listener has not said; equal to quiet_to_minute: none
    quiet_to_minute: int
    keep_pushes: int  # remembered of each listener; at least rolling_cap and day_cap
    keep_pushes_days: float


@dataclass(frozen=True)
class OutcomeSettings:
    window_h: float  # after the decision


@dataclass(frozen=True)
class Settings:
    kafka: KafkaSettings
    topics: TopicSettings
    worker: WorkerSettings
    checkpoints: CheckpointSettings
    model: ModelSettings
    contracts: ContractSettings
    featurize: FeaturizeSettings
    listening: ListeningSettings
    crowds: CrowdSettings
    matching: MatchingSettings
    scoring: ScoringSettings
    selection: SelectionSettings
    admission: AdmissionSettings
    outcomes: OutcomeSettings
