"""LiveKit's requests in the domain's words. Pure.

Raises InvalidRequestError for what makes no sense; everything else is the domain's to judge.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from livekit.protocol import agent_dispatch, models, room, rtc

from sfu.core.codecs import Codec, Encryption, MediaKind, TrackSource
from sfu.core.errors import InvalidRequestError
from sfu.core.ids import Identity, ParticipantSid, TrackSid
from sfu.participants.audience import Audience
from sfu.participants.info import AgentRequest, ClientInfo
from sfu.participants.permissions import Permissions
from sfu.participants.requests import ParticipantUpdate, TrackRequest
from sfu.tracks.data_track import DataTrackRequest
from sfu.tracks.hints import BackupPolicy, TrackHints
from sfu.tracks.layers import LayerInfo
from sfu.tracks.subscription import MAX_HEIGHT_PX, MAX_TEMPORAL, SubscriptionWish
from sfu.tracks.track import TrackInfo
from signaling.livekit import enums, mapping

MAX_PIXELS = 2**16 - 1  # what the packet plane holds of a height
MAX_BITRATE_BPS = 2**32 - 1
FULL_FPS = 25  # asked for less, a receiver is served by fewer temporal layers
HALF_FPS = 13
LOW_HEIGHT_PX = 180  # the lowest of three layers of a usual camera
MAX_DESCRIPTION_BYTES = 4096  # of what is in a data track: names of an encoding and a schema
PRIORITIES = 256  # of the domain, 1 to 255 with the highest last; the wire counts from 1, the highest


class UnsupportedTypeError(InvalidRequestError):
    """A track that is neither sound nor picture."""

    code = "unsupported_type"


def agent_request(wanted: agent_dispatch.RoomAgentDispatch) -> AgentRequest:
    """An agent that a room asks for. Calls of the dispatch service have the same fields."""
    return AgentRequest(
        agent_name=wanted.agent_name,
        metadata=wanted.metadata,
        attributes=dict(wanted.attributes),
        restart=wanted.restart_policy != agent_dispatch.JobRestartPolicy.JRP_NEVER,
    )


def track_request(request: rtc.AddTrackRequest) -> TrackRequest:
    """What `add_track` declares."""
    kind = enums.MEDIA_KINDS.get(request.type)
    if kind is None:
        raise UnsupportedTypeError("type", "only audio and video tracks are published like this")
    layers = _layers(request.layers)
    if not layers and request.simulcast_codecs:
        layers = _layers(request.simulcast_codecs[0].layers)
    return TrackRequest(
        source=enums.SOURCES.get(request.source, TrackSource.UNKNOWN),
        cid=request.cid,
        name=request.name,
        muted=request.muted,
        layers=layers,
        width_px=min(request.width, MAX_PIXELS),
        height_px=min(request.height, MAX_PIXELS),
        encryption=enums.ENCRYPTIONS.get(request.encryption, Encryption.CUSTOM),
        stereo=request.stereo or models.AudioTrackFeature.TF_STEREO in request.audio_features,
        kind=kind,
        mime=_mime(kind, request.simulcast_codecs),
        hints=TrackHints(
            stream=request.stream,
            dtx=not request.disable_dtx,
            red=not request.disable_red,
            audio_features=tuple(
                dict.fromkeys(
                    enums.AUDIO_FEATURES[number]
                    for number in request.audio_features
                    if number in enums.AUDIO_FEATURES
                )
            ),
            trailer_features=tuple(
                dict.fromkeys(
                    enums.TRAILER_FEATURES[number]
                    for number in request.packet_trailer_features
                    if number in enums.TRAILER_FEATURES
                )
            ),
            backup_policy=enums.BACKUP_POLICIES.get(
                request.backup_codec_policy, BackupPolicy.PREFER_REGRESSION
            ),
            layers=layers,
        ),
        backup_mime=_mime(kind, request.simulcast_codecs[1:2]) if kind is MediaKind.VIDEO else "",
    )


def data_track_request(request: rtc.PublishDataTrackRequest) -> DataTrackRequest:
    """What `publish_data_track_request` wants."""
    description = models.DataTrackInfo()
    if request.HasField("frame_encoding"):
        description.frame_encoding.CopyFrom(request.frame_encoding)
    if request.HasField("schema"):
        description.schema.CopyFrom(request.schema)
    packed = description.SerializeToString()
    if len(packed) > MAX_DESCRIPTION_BYTES:
        raise InvalidRequestError("schema", f"is longer than {MAX_DESCRIPTION_BYTES} bytes")
    return DataTrackRequest(
        handle=request.pub_handle,
        name=request.name,
        encryption=enums.ENCRYPTIONS.get(request.encryption, Encryption.CUSTOM),
        description=packed,
    )


def _layers(layers: Iterable[models.VideoLayer]) -> tuple[LayerInfo, ...]:
    """Lowest first, with the rids that the SDKs use where the wire names none."""
    known = [layer for layer in layers if layer.quality <= models.VideoQuality.HIGH]
    known.sort(key=lambda layer: layer.quality)
    several = len(known) > 1
    return tuple(
        LayerInfo(
            rid=layer.rid or (mapping.RIDS[index] if several and index < len(mapping.RIDS) else None),
            width_px=min(layer.width, MAX_PIXELS),
            height_px=min(layer.height, MAX_PIXELS),
            bitrate_bps=min(layer.bitrate, MAX_BITRATE_BPS),
        )
        for index, layer in enumerate(known)
    )


def _mime(kind: MediaKind, codecs: Sequence[rtc.SimulcastCodec]) -> str:
    """The first codec in the spelling that everybody uses; "" if none is named."""
    if not codecs or not codecs[0].codec:
        return Codec.OPUS.mime if kind is MediaKind.AUDIO else ""
    name = codecs[0].codec.lower().removeprefix(f"{kind.value}/")
    try:
        return Codec(name).mime
    except ValueError:
        return ""


def client_info(info: models.ClientInfo, address: str) -> ClientInfo:
    """What the client says about itself."""
    return ClientInfo(
        sdk=enums.name_of(models.ClientInfo.SDK, info.sdk),
        version=info.version,
        address=address,
        protocol=info.client_protocol,
        capabilities=tuple(
            enums.name_of(models.ClientInfo.Capability, number) for number in info.capabilities
        ),
    )


def participant_update(name: str, metadata: str, attributes: dict[str, str]) -> ParticipantUpdate:
    """Empty texts leave things as they are; an empty attribute is deleted."""
    return ParticipantUpdate(name=name or None, metadata=metadata or None, attributes=attributes or None)


def subscribed_tracks(
    request: rtc.UpdateSubscription | room.UpdateSubscriptionsRequest,
) -> tuple[TrackSid, ...]:
    """Every track that is named in either list, once."""
    lists = (request.track_sids, *(entry.track_sids for entry in request.participant_tracks))
    return tuple(dict.fromkeys(TrackSid(sid) for sids in lists for sid in sids))


def audience(request: rtc.SubscriptionPermission) -> Audience:
    """Who may have the publisher's tracks."""
    identities: dict[Identity, frozenset[TrackSid] | None] = {}
    participants: dict[ParticipantSid, frozenset[TrackSid] | None] = {}
    for entry in request.track_permissions:
        tracks = None if entry.all_tracks else frozenset(TrackSid(sid) for sid in entry.track_sids)
        if entry.participant_identity:
            identities[Identity(entry.participant_identity)] = tracks
        elif entry.participant_sid:
            participants[ParticipantSid(entry.participant_sid)] = tracks
    return Audience(request.all_participants, identities, participants)


def initial_wish(*, adaptive: bool, may_pause: bool = True) -> SubscriptionWish:
    """For tracks whose size on screen is not known yet: an adaptive client says it soon."""
    return SubscriptionWish(max_height_px=LOW_HEIGHT_PX if adaptive else MAX_HEIGHT_PX, may_pause=may_pause)


def track_wish(
    setting: rtc.UpdateTrackSettings, track: TrackInfo, *, may_pause: bool = True
) -> SubscriptionWish:
    """What a receiver wants of one track, replacing what it wanted before."""
    wish = SubscriptionWish(
        max_height_px=_height_px(setting, track),
        paused=setting.disabled,
        max_temporal=_temporal(setting.fps),
        may_pause=may_pause,
    )
    if setting.priority:
        wish = replace(wish, priority=max(1, PRIORITIES - setting.priority))
    return wish


def _height_px(setting: rtc.UpdateTrackSettings, track: TrackInfo) -> int:
    if track.kind is MediaKind.AUDIO:
        return MAX_HEIGHT_PX
    heights = sorted(layer.height_px for layer in mapping.spatial_layers(track))
    if setting.height:
        # The smallest layer that fills the picture.
        wanted = next((height for height in heights if height >= setting.height), heights[-1])
    else:
        wanted = heights[min(setting.quality, len(heights) - 1)]
    if wanted:
        return min(wanted, MAX_HEIGHT_PX)
    # Sizes were not announced.
    return min(setting.height, MAX_HEIGHT_PX) or (LOW_HEIGHT_PX << min(setting.quality, 2))


def _temporal(fps: int) -> int:
    if not fps or fps >= FULL_FPS:
        return MAX_TEMPORAL
    return 1 if fps >= HALF_FPS else 0


def permissions(wanted: models.ParticipantPermission, before: Permissions) -> Permissions:
    """What an administrator sets: all of it. Obsolete fields that old tools leave out stay as they are."""
    sources = [enums.SOURCES[number] for number in wanted.can_publish_sources if number in enums.SOURCES]
    return Permissions(
        can_publish=wanted.can_publish,
        can_subscribe=wanted.can_subscribe,
        can_publish_data=wanted.can_publish_data,
        can_publish_sources=frozenset(sources) if wanted.can_publish_sources else None,
        can_update_metadata=wanted.can_update_metadata,
        can_subscribe_metrics=wanted.can_subscribe_metrics,
        hidden=wanted.hidden,
        recorder=wanted.recorder or before.recorder,
        agent=wanted.agent or before.agent,
    )
