"""What can go wrong with a model, and what to do about it."""


class ModelError(Exception):
    """The root: catch it only where the process ends."""


class ArtifactDamaged(ModelError):
    """The folder is not, or no longer, what was written."""


class UnknownArtifact(ModelError):
    pass


class BadModelSettings(ModelError, ValueError):
    pass


class BadData(ModelError, ValueError):
    """The data folder, the field description or the interactions cannot be trained on."""


class FieldMismatch(ValueError):
    """A song's content does not fit the fields of the model."""

    def __init__(self, field: str, found: str, wanted: str) -> None:
        super().__init__(f"field {field!r} holds {found}, wanted {wanted}")
        self.field, self.found, self.wanted = field, found, wanted
