"""What is wrong with a request that concerns one participant."""

from __future__ import annotations

from enum import StrEnum

from sfu.core.errors import PeerError


class DataTrackRefusal(StrEnum):
    """Wire format."""

    INVALID_HANDLE = "invalid_handle"
    INVALID_NAME = "invalid_name"
    DUPLICATE_HANDLE = "duplicate_handle"
    DUPLICATE_NAME = "duplicate_name"


_TEXTS = {
    DataTrackRefusal.INVALID_HANDLE: "no data track of this participant can have that number",
    DataTrackRefusal.INVALID_NAME: "a data track needs a name, and not a longer one than others",
    DataTrackRefusal.DUPLICATE_HANDLE: "another data track of this participant has that number",
    DataTrackRefusal.DUPLICATE_NAME: "another data track of this participant has that name",
}


class DataTrackError(PeerError):
    """A data track cannot be what was asked for."""

    code = "data_track"
    """In dialects that have no word for `reason`."""

    def __init__(self, reason: DataTrackRefusal) -> None:
        super().__init__(_TEXTS[reason])
        self.reason = reason
