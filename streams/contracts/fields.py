"""The types that contracts are made of, with the bounds within which a value is believed."""

from typing import Annotated

import msgspec

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Tokens = Annotated[tuple[Token, ...], msgspec.Meta(max_length=64)]
Text = Annotated[str, msgspec.Meta(max_length=20_000)]
Title = Annotated[str, msgspec.Meta(max_length=1_000)]
Market = Annotated[str, msgspec.Meta(min_length=2, max_length=8)]
Vector = Annotated[tuple[float, ...], msgspec.Meta(min_length=1, max_length=4_096)]

# From 1970 to 2100. Whether a time lies too far ahead of the record that names it is judged at the door.
EpochMs = Annotated[int, msgspec.Meta(gt=0, lt=4_102_444_800_000)]
DurationMs = Annotated[int, msgspec.Meta(ge=0, le=86_400_000)]
MinuteOfDay = Annotated[int, msgspec.Meta(ge=0, lt=1_440)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Budget = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
