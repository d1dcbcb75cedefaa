//! The dataclasses of `sfu/dataplane/commands.py` to the engine's commands, by class name.
//!
//! An error names class and field: `AddTrack.codecs: ...`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use airside_engine::codec::Codec;
use airside_engine::command::{
    AddSlot, AddTrack, AddTransport, Command, DataDialect, DataTrack, IceCredentials, LayerSpec,
    LocalPath, MediaKind, Member, ReceiveCodec, Role, SendCodec, SendData, SetRemote, Source,
    Target, Wish,
};
use airside_engine::ids::{ParticipantId, RoomId, SlotId, TapId, TrackId, TransportId, WorkerId};
use airside_engine::load::{AudioSpec, GeneratorSpec, MeterId, VideoLayerSpec, VideoSpec};
use airside_engine::rtp::{ExtensionKind, PlayoutDelay};
use airside_engine::units::Bitrate;
use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTypeMethods;

/// One dataclass, read field by field.
struct Fields<'a, 'py> {
    object: &'a Bound<'py, PyAny>,
    class: String,
}

impl<'a, 'py> Fields<'a, 'py> {
    fn new(object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        let class = object.get_type().name()?.to_string();
        Ok(Self { object, class })
    }

    fn raw(&self, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.object
            .getattr(name)
            .map_err(|_| PyTypeError::new_err(format!("{}.{name} is missing", self.class)))
    }

    fn get<T: FromPyObjectOwned<'py>>(&self, name: &str) -> PyResult<T> {
        let value = self.raw(name)?;
        value.extract().map_err(|error: T::Error| self.blame(name, &error.into()))
    }

    /// A field that `read` understands.
    fn with<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<T>,
    ) -> PyResult<T> {
        read(&self.raw(name)?).map_err(|error| self.blame(name, &error))
    }

    /// A field that may be `None`.
    fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<T>,
    ) -> PyResult<Option<T>> {
        self.with(name, |value| if value.is_none() { Ok(None) } else { read(value).map(Some) })
    }

    /// A field with many values of one kind.
    fn each<T>(
        &self,
        name: &str,
        read: impl Fn(&Bound<'py, PyAny>) -> PyResult<T>,
    ) -> PyResult<Vec<T>> {
        self.with(name, |values| values.try_iter()?.map(|value| read(&value?)).collect())
    }

    /// A field that is the text of an enum.
    fn one_of<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> PyResult<T> {
        let text: String = self.get(name)?;
        let found = choices.iter().find(|(choice, _)| *choice == text);
        found.map(|(_, value)| *value).ok_or_else(|| self.unknown(name, &text))
    }

    fn optional_one_of<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> PyResult<Option<T>> {
        let given: Option<String> = self.get(name)?;
        given.map(|_| self.one_of(name, choices)).transpose()
    }

    fn unknown(&self, name: &str, value: &str) -> PyErr {
        PyValueError::new_err(format!("{}.{name}: {value:?} is unknown", self.class))
    }

    /// The same error with the field in front. Overflow of an integer is a wrong value here.
    fn blame(&self, name: &str, error: &PyErr) -> PyErr {
        Python::attach(|py| {
            let text = format!("{}.{name}: {}", self.class, error.value(py));
            if error.is_instance_of::<PyTypeError>(py) {
                PyTypeError::new_err(text)
            } else {
                PyValueError::new_err(text)
            }
        })
    }

    fn transport(&self) -> PyResult<TransportId> {
        self.get("transport").map(TransportId)
    }

    fn track(&self) -> PyResult<TrackId> {
        self.get("track").map(TrackId)
    }

    fn slot(&self) -> PyResult<SlotId> {
        self.get("slot").map(SlotId)
    }

    fn room(&self) -> PyResult<RoomId> {
        self.get("room").map(RoomId)
    }

    fn kind(&self) -> PyResult<MediaKind> {
        self.one_of("kind", &[("audio", MediaKind::Audio), ("video", MediaKind::Video)])
    }

    fn codec(&self) -> PyResult<Codec> {
        let name: String = self.get("codec")?;
        Codec::from_name(&name).ok_or_else(|| self.unknown("codec", &name))
    }
}

/// One command.
///
/// # Errors
/// `TypeError` or `ValueError` that names class and field.
pub(super) fn command(object: &Bound<'_, PyAny>) -> PyResult<Command> {
    let fields = Fields::new(object)?;
    Ok(match fields.class.as_str() {
        "AddTransport" => Command::AddTransport(add_transport(&fields)?),
        "SetRemote" => Command::SetRemote(set_remote(&fields)?),
        "AddRemoteCandidate" => Command::AddRemoteCandidate {
            transport: fields.transport()?,
            address: fields.with("address", address)?,
        },
        "RestartIce" => Command::RestartIce {
            transport: fields.transport()?,
            local: fields.with("local", credentials)?,
        },
        "LimitSending" => Command::LimitSending {
            transport: fields.transport()?,
            limit: fields.get::<Option<u64>>("bitrate_bps")?.map(Bitrate::bps),
        },
        "RemoveTransport" => Command::RemoveTransport { transport: fields.transport()? },
        "AddTrack" => Command::AddTrack(add_track(&fields)?),
        "SetTrackMuted" => {
            Command::SetTrackMuted { track: fields.track()?, muted: fields.get("muted")? }
        }
        "RemoveTrack" => Command::RemoveTrack { track: fields.track()? },
        "AddTarget" => {
            Command::AddTarget { track: fields.track()?, target: fields.with("target", target)? }
        }
        "RemoveTarget" => {
            Command::RemoveTarget { track: fields.track()?, target: fields.with("target", target)? }
        }
        "AddSlot" => Command::AddSlot(add_slot(&fields)?),
        "RemoveSlot" => Command::RemoveSlot { slot: fields.slot()? },
        "Subscribe" => Command::Subscribe {
            slot: fields.slot()?,
            track: fields.track()?,
            wish: fields.with("wish", wish)?,
        },
        "UpdateSubscription" => {
            Command::UpdateSubscription { slot: fields.slot()?, wish: fields.with("wish", wish)? }
        }
        "Unsubscribe" => Command::Unsubscribe { slot: fields.slot()? },
        "RequestKeyframe" => {
            Command::RequestKeyframe { track: fields.track()?, layer: fields.get("layer")? }
        }
        "SetMember" => Command::SetMember(member(&fields)?),
        "RemoveMember" => Command::RemoveMember {
            room: fields.room()?,
            participant: ParticipantId(fields.get("participant")?),
        },
        "SendData" => Command::SendData(send_data(&fields)?),
        "SetDataTrack" => Command::SetDataTrack(data_track(&fields)?),
        "RemoveDataTrack" => Command::RemoveDataTrack {
            publisher: TransportId(fields.get("publisher")?),
            handle: fields.get("handle")?,
        },
        "ReadDataReceived" => Command::ReadDataReceived {
            transport: TransportId(fields.get("transport")?),
            token: fields.get("token")?,
        },
        "ReadStats" => Command::ReadStats { token: fields.get("token")? },
        other => return Err(PyTypeError::new_err(format!("{other} is not a command"))),
    })
}

fn add_transport(fields: &Fields<'_, '_>) -> PyResult<AddTransport> {
    Ok(AddTransport {
        transport: fields.transport()?,
        room: fields.room()?,
        role: fields.one_of("role", &[("server", Role::Server), ("client", Role::Client)])?,
        local: fields.with("local", credentials)?,
        socket: fields.get("socket")?,
        local_path: fields.optional("local_path", local_path)?,
    })
}

fn local_path(object: &Bound<'_, PyAny>) -> PyResult<LocalPath> {
    let fields = Fields::new(object)?;
    Ok(LocalPath { ring: fields.get("ring")?, route: fields.get("route")? })
}

fn credentials(object: &Bound<'_, PyAny>) -> PyResult<IceCredentials> {
    let fields = Fields::new(object)?;
    Ok(IceCredentials { ufrag: fields.get("ufrag")?, password: fields.get("password")? })
}

/// A pair of IP address and port.
fn address(object: &Bound<'_, PyAny>) -> PyResult<SocketAddr> {
    let (ip, port): (String, u16) = object.extract()?;
    let ip: IpAddr =
        ip.parse().map_err(|_| PyValueError::new_err(format!("{ip:?} is not an IP address")))?;
    Ok(SocketAddr::new(ip, port))
}

fn set_remote(fields: &Fields<'_, '_>) -> PyResult<SetRemote> {
    let extensions: Vec<(u8, String)> = fields.get("extensions")?;
    let extensions = extensions.into_iter();
    let playout_delay: Option<(u16, u16)> = fields.get("playout_delay")?;
    Ok(SetRemote {
        transport: fields.transport()?,
        ice: fields.optional("ice", credentials)?,
        fingerprints: fields.get("fingerprints")?,
        candidates: fields.each("candidates", address)?,
        extensions: extensions
            .filter_map(|(id, uri)| ExtensionKind::from_uri(&uri).map(|kind| (id, kind)))
            .collect(),
        allow_mixed: fields.get("allow_mixed")?,
        transport_cc: fields.get("transport_cc")?,
        remb: fields.get("remb")?,
        data: fields.get("data")?,
        opens_channels: fields.get("opens_channels")?,
        dtls_active: fields.get("dtls_active")?,
        congestion_control: fields.get("congestion_control")?,
        playout_delay: playout_delay
            .map(|(min_10ms, max_10ms)| PlayoutDelay { min_10ms, max_10ms }),
    })
}

fn add_track(fields: &Fields<'_, '_>) -> PyResult<AddTrack> {
    Ok(AddTrack {
        track: fields.track()?,
        room: fields.room()?,
        source: fields.with("source", source)?,
        kind: fields.kind()?,
        codecs: fields.each("codecs", receive_codec)?,
        layers: fields.each("layers", layer_spec)?,
        screen: fields.get("screen")?,
        encrypted: fields.get("encrypted")?,
        muted: fields.get("muted")?,
        cname: fields.get("cname")?,
    })
}

fn source(object: &Bound<'_, PyAny>) -> PyResult<Source> {
    let fields = Fields::new(object)?;
    Ok(match fields.class.as_str() {
        "TransportSource" => {
            Source::Transport { transport: fields.transport()?, mid: fields.get("mid")? }
        }
        "RingSource" => Source::Ring { home: WorkerId(fields.get("home")?) },
        "LocalSource" => Source::Local,
        "AudioGenerator" => Source::Generator(GeneratorSpec::Audio(AudioSpec {
            payload_len: fields.get("payload_bytes")?,
            level: fields.get("level")?,
        })),
        "VideoGenerator" => {
            let interval_s: f64 = fields.get("keyframe_interval_s")?;
            let keyframe_interval = Duration::try_from_secs_f64(interval_s)
                .map_err(|_| fields.unknown("keyframe_interval_s", &interval_s.to_string()))?;
            let layers = fields.each("layers", video_layer)?;
            Source::Generator(GeneratorSpec::Video(VideoSpec { layers, keyframe_interval }))
        }
        other => return Err(PyTypeError::new_err(format!("{other} is not a source"))),
    })
}

fn video_layer(object: &Bound<'_, PyAny>) -> PyResult<VideoLayerSpec> {
    let fields = Fields::new(object)?;
    Ok(VideoLayerSpec {
        bitrate_bps: fields.get("bitrate_bps")?,
        fps: fields.get("fps")?,
        height_px: fields.get("height_px")?,
    })
}

fn receive_codec(object: &Bound<'_, PyAny>) -> PyResult<ReceiveCodec> {
    let fields = Fields::new(object)?;
    Ok(ReceiveCodec {
        payload_type: fields.get("payload_type")?,
        codec: fields.codec()?,
        clock_rate: fields.get("clock_rate")?,
        rtx_payload_type: fields.get("rtx_payload_type")?,
        nack: fields.get("nack")?,
        pli: fields.get("pli")?,
        fir: fields.get("fir")?,
        format: fields.get("format")?,
    })
}

fn layer_spec(object: &Bound<'_, PyAny>) -> PyResult<LayerSpec> {
    let fields = Fields::new(object)?;
    Ok(LayerSpec {
        rid: fields.get("rid")?,
        ssrc: fields.get("ssrc")?,
        rtx_ssrc: fields.get("rtx_ssrc")?,
        height_px: fields.get("height_px")?,
    })
}

fn target(object: &Bound<'_, PyAny>) -> PyResult<Target> {
    let fields = Fields::new(object)?;
    Ok(match fields.class.as_str() {
        "RingTarget" => Target::Ring(WorkerId(fields.get("worker")?)),
        "TapTarget" => Target::Tap(TapId(fields.get("tap")?)),
        "MeterTarget" => Target::Meter(MeterId(fields.get("meter")?)),
        other => return Err(PyTypeError::new_err(format!("{other} is not a target"))),
    })
}

fn add_slot(fields: &Fields<'_, '_>) -> PyResult<AddSlot> {
    Ok(AddSlot {
        slot: fields.slot()?,
        transport: fields.transport()?,
        mid: fields.get("mid")?,
        rid: fields.get("rid")?,
        kind: fields.kind()?,
        ssrc: fields.get("ssrc")?,
        rtx_ssrc: fields.get("rtx_ssrc")?,
        codecs: fields.each("codecs", send_codec)?,
    })
}

fn send_codec(object: &Bound<'_, PyAny>) -> PyResult<SendCodec> {
    let fields = Fields::new(object)?;
    Ok(SendCodec {
        payload_type: fields.get("payload_type")?,
        codec: fields.codec()?,
        clock_rate: fields.get("clock_rate")?,
        rtx_payload_type: fields.get("rtx_payload_type")?,
        format: fields.get("format")?,
    })
}

fn wish(object: &Bound<'_, PyAny>) -> PyResult<Wish> {
    let fields = Fields::new(object)?;
    Ok(Wish {
        max_height_px: fields.get("max_height_px")?,
        max_temporal: fields.get("max_temporal")?,
        priority: fields.get("priority")?,
        may_pause: fields.get("may_pause")?,
        paused: fields.get("paused")?,
        keyframe_interval_ms: fields.get("keyframe_interval_ms")?,
    })
}

/// Names of the dialects, as in commands.py.
const DIALECTS: &[(&str, DataDialect)] =
    &[("native", DataDialect::Native), ("livekit", DataDialect::LiveKit)];

fn member(fields: &Fields<'_, '_>) -> PyResult<Member> {
    Ok(Member {
        room: fields.room()?,
        participant: ParticipantId(fields.get("participant")?),
        identity: fields.get("identity")?,
        transport: fields.transport()?,
        worker: WorkerId(fields.get("worker")?),
        dialect: fields.one_of("dialect", DIALECTS)?,
        can_publish: fields.get("can_publish")?,
        hidden: fields.get("hidden")?,
        sid: fields.get("sid")?,
        uplink: fields.get::<Option<u64>>("uplink")?.map(TransportId),
        agent: fields.get("agent")?,
        metrics: fields.get("metrics")?,
    })
}

fn data_track(fields: &Fields<'_, '_>) -> PyResult<DataTrack> {
    let subscribers: Vec<(u64, u8)> = fields.get("subscribers")?;
    Ok(DataTrack {
        publisher: TransportId(fields.get("publisher")?),
        handle: fields.get("handle")?,
        subscribed_as: fields.get("subscribed_as")?,
        subscribers: subscribers
            .into_iter()
            .map(|(transport, worker)| (TransportId(transport), WorkerId(worker)))
            .collect(),
    })
}

fn send_data(fields: &Fields<'_, '_>) -> PyResult<SendData> {
    let destinations: Vec<u64> = fields.get("destinations")?;
    let payload: Vec<u8> = fields.get("payload")?;
    Ok(SendData {
        room: fields.room()?,
        destinations: destinations.into_iter().map(ParticipantId).collect(),
        reliable: fields.get("reliable")?,
        topic: fields.get("topic")?,
        payload: Arc::from(payload),
        sender: fields.get("sender")?,
        packet: fields.optional_one_of("packet", DIALECTS)?,
    })
}
