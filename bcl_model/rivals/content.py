"""What a trial says of its songs, beside where the audiences of their kin lie: as our models are told it, no less.

The audiences follow from the plays of warm songs alone, and no song sees its own: a warm one stands where it would if
nobody had heard it, as a cold one does (see kin.py).
"""

from dataclasses import dataclass

from bcl_model.audiences import fields_with_audiences
from bcl_model.encoder import Batch, tensors_of
from bcl_model.evaluation.trial import Trial
from bcl_model.fields import Fields
from bcl_model.kin import with_audiences
from bcl_model.settings import AudienceSettings


@dataclass(frozen=True)
class KinSettings(AudienceSettings):
    fields: tuple[str, ...] = ("artist", "album")  # as config/models has it for ours; data without them goes without


def content_of(trial: Trial, audience: AudienceSettings) -> tuple[Fields, Batch]:
    """Fields that are learned on the warm songs, and all songs as they encode them."""
    contents, _ = with_audiences(trial.contents, trial.known, audience)
    fields = fields_with_audiences(trial.fields, audience).learned([contents[song] for song in trial.warm])
    return fields, tensors_of(fields.encode(contents))
