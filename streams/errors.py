"""What can go wrong in the live system, and who reacts.

StreamsError
├── Reject                this message can never succeed: dead letter with the reason, go on
│   ├── MalformedMessage  the bytes are not a contract
│   └── UnusableSound     what an audio_uri names cannot be had, or not be heard
├── Retry                 the same call may succeed later: wait, call again, the message stays ours
│   └── StoreUnavailable  state cannot be read or written now
│       └── StoreDamaged  nor ever again: take the folder away, restore a checkpoint, replay the tail
└── Stop                  going on would corrupt something: end the worker, a person looks
    ├── BadSettings       a setting is missing, unknown or of the wrong type
    ├── ArtifactMismatch  two vectors that are to be compared come from different model versions
    ├── TopicMismatch     a topic is not as configured
    ├── BrokerUnavailable no Kafka can be started or reached
    ├── LostOwnership     the work is another worker's now
    ├── NoProgress        a partition has records and does not move
    └── NothingToJudge    a replayed log ends before the plays after any release are in
"""


class StreamsError(Exception):
    """The root: catch it only where the process ends."""


class Reject(StreamsError):
    pass


class MalformedMessage(Reject):
    pass


class UnusableSound(Reject):
    pass


class Retry(StreamsError):
    pass


class StoreUnavailable(Retry):
    pass


class StoreDamaged(StoreUnavailable):
    pass


class Stop(StreamsError):
    pass


class BadSettings(Stop):
    pass


class ArtifactMismatch(Stop):
    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(
            f"the vectors come from artifact {found}, the artifact in use is {wanted}; "
            f"run `bcl model rollback`, or `bcl embed` the catalogue with {wanted}"
        )


class TopicMismatch(Stop):
    pass


class BrokerUnavailable(Stop):
    pass


class LostOwnership(Stop):
    pass


class NoProgress(Stop):
    pass


class NothingToJudge(Stop):
    pass
