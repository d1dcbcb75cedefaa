//! The way out: one rewritten packet to an encrypted datagram in the arena.
//!
//! header and extensions, then what only this receiver gets of the payload, then the shared payload,
//! encrypted in one pass into the transport's run of the arena.

use std::time::Instant;

use crate::bwe::ProbeId;
use crate::codec::dependency_descriptor::{Change, MAX_LEN};
use crate::command::MediaKind;
use crate::error::DropReason;
use crate::net::TransmitArena;
use crate::packet::{Described, PassThrough, SourcePacket};
use crate::rtp::{ExtensionKind, HeaderFields, ShortName, write_header};
use crate::slot::{Padding, Resent, Rewritten, Slot};
use crate::transport::Transport;
use crate::units::NtpTime;

/// Extensions we may write into one packet.
const MAX_EXTENSIONS: usize = 9;

/// Padding of one packet, the longest there can be: the last byte tells its length (RFC 3550,
/// section 5.1).
const PADDING_LEN: usize = 255;
const PADDING: [u8; PADDING_LEN] = {
    let mut padding = [0; PADDING_LEN];
    padding[PADDING_LEN - 1] = PADDING_LEN as u8;
    padding
};
/// Bit of the first header byte that says that there is padding.
const PADDING_BIT: u8 = 0x20;

/// What is the same for everything sent in one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) now: Instant,
    abs_send_time: [u8; 3],
}

impl Turn {
    pub(crate) fn new(now: Instant, ntp: NtpTime) -> Self {
        let [_, abs_send_time @ ..] = ntp.abs_send_time().to_be_bytes();
        Self { now, abs_send_time }
    }
}

/// The section a packet belongs to, and the stream in it.
type Names<'a> = [Option<(ExtensionKind, &'a ShortName)>; 2];

/// One packet for one receiver, in parts.
struct Parts<'a> {
    index: u64,
    fields: &'a HeaderFields,
    prefix: [&'a [u8]; 2],
    payload: &'a [u8],
    names: Names<'a>,
    pass: PassThrough,
    /// A picture, whose receiver is told how long to wait with it.
    timed: bool,
    descriptor: Option<(&'a Described, Change)>,
    /// The payload is padding.
    padding: bool,
    probe: Option<ProbeId>,
}

/// Sends a forwarded packet to the slot's transport.
///
/// # Errors
/// Why it was not sent.
#[inline]
pub(crate) fn send_media(
    arena: &mut TransmitArena,
    transport: &mut Transport,
    slot: &mut Slot,
    packet: &SourcePacket,
    rewritten: &Rewritten,
    probe: Option<ProbeId>,
    turn: &Turn,
) -> Result<(), DropReason> {
    let names = if slot.acknowledged { [None, None] } else { names(slot, ExtensionKind::Rid) };
    let prefix = &rewritten.prefix;
    let payload = packet.payload.get(prefix.replaces()..).unwrap_or_default();
    let parts = Parts {
        index: rewritten.index,
        fields: &rewritten.fields,
        prefix: [&[], prefix.bytes()],
        payload,
        names,
        pass: PassThrough { orientation: rewritten.orientation, ..packet.extensions },
        timed: slot.kind == MediaKind::Video,
        descriptor: packet.described.as_deref().zip(rewritten.descriptor),
        padding: false,
        probe,
    };
    let len = write_packet(arena, transport, &parts, turn)?;
    let payload_len = prefix.bytes().len() + payload.len();
    transport.repair.on_media(len);
    if let Some(sent) = &mut slot.sent {
        sent.keep(rewritten.index, arena.last());
    }
    slot.on_sent(rewritten, payload_len, turn.now);
    Ok(())
}

/// Sends a packet again by RTX: because it was lost, or for a probe. Returns its length.
///
/// # Errors
/// Why it was not sent.
pub(crate) fn send_again(
    arena: &mut TransmitArena,
    transport: &mut Transport,
    slot: &Slot,
    packet: &SourcePacket,
    resent: &Resent,
    probe: Option<ProbeId>,
    turn: &Turn,
) -> Result<usize, DropReason> {
    let original = resent.original.to_be_bytes();
    let parts = Parts {
        index: resent.index,
        fields: &resent.fields,
        prefix: [&original, resent.prefix.bytes()],
        payload: packet.payload.get(resent.prefix.replaces()..).unwrap_or_default(),
        names: repair_names(slot),
        pass: packet.extensions,
        timed: false,
        descriptor: packet.described.as_deref().zip(resent.descriptor),
        padding: false,
        probe,
    };
    write_packet(arena, transport, &parts, turn)
}

/// Sends a packet of nothing but padding by RTX, for a probe. Returns its length.
///
/// # Errors
/// Why it was not sent.
pub(crate) fn send_padding(
    arena: &mut TransmitArena,
    transport: &mut Transport,
    slot: &Slot,
    padding: &Padding,
    probe: ProbeId,
    turn: &Turn,
) -> Result<usize, DropReason> {
    let parts = Parts {
        index: padding.index,
        fields: &padding.fields,
        prefix: [&[], &[]],
        payload: &PADDING,
        names: repair_names(slot),
        pass: PassThrough::default(),
        timed: false,
        descriptor: None,
        padding: true,
        probe: Some(probe),
    };
    write_packet(arena, transport, &parts, turn)
}

/// Of retransmissions, always: reports are about the media, nobody says that he knows the stream
/// that repairs it, and Firefox throws away one of which it never heard a name, though its SSRC was
/// signaled.
fn repair_names(slot: &Slot) -> Names<'_> {
    names(slot, ExtensionKind::RepairedRid)
}

fn names(slot: &Slot, rid: ExtensionKind) -> Names<'_> {
    [
        slot.mid.as_ref().map(|name| (ExtensionKind::Mid, name)),
        slot.rid.as_ref().map(|name| (rid, name)),
    ]
}

/// Writes and encrypts one packet at the end of the arena. Returns its length.
#[inline]
fn write_packet(
    arena: &mut TransmitArena,
    transport: &mut Transport,
    parts: &Parts<'_>,
    turn: &Turn,
) -> Result<usize, DropReason> {
    let tuple = transport.tuple.ok_or(DropReason::NoRoute)?;
    let media = transport.media_out.as_mut().ok_or(DropReason::SrtpNoContext)?;
    let map = &transport.extensions;
    let out = arena.space();

    let transport_cc = transport.next_transport_cc.to_be_bytes();
    let level = parts.pass.audio_level.map(|level| [level]);
    let orientation = parts.pass.orientation.map(|orientation| [orientation]);
    let (capture, capture_len) = parts.pass.capture_time_bytes();
    let mut extensions = [(ExtensionKind::AbsSendTime, &turn.abs_send_time[..]); MAX_EXTENSIONS];
    extensions[1] = (ExtensionKind::TransportCc, &transport_cc);
    let mut count = 2;
    for (kind, name) in parts.names.iter().flatten() {
        extensions[count] = (*kind, name.as_bytes());
        count += 1;
    }
    if let Some(level) = &level {
        extensions[count] = (ExtensionKind::AudioLevel, level);
        count += 1;
    }
    if let Some(orientation) = &orientation {
        extensions[count] = (ExtensionKind::VideoOrientation, orientation);
        count += 1;
    }
    let playout_delay = transport.playout_delay;
    if let Some(delay) = playout_delay.as_ref().filter(|_| parts.timed) {
        extensions[count] = (ExtensionKind::PlayoutDelay, delay);
        count += 1;
    }
    if capture_len > 0 {
        extensions[count] = (ExtensionKind::AbsCaptureTime, &capture[..capture_len]);
        count += 1;
    }
    // Cleared only where it is used: few packets have one.
    let mut descriptor: [u8; MAX_LEN];
    if let Some((described, change)) = &parts.descriptor
        && map.id(ExtensionKind::DependencyDescriptor).is_some()
    {
        descriptor = [0; MAX_LEN];
        let written = change.write(&described.dependency, &described.extension, &mut descriptor);
        let written = descriptor.get(..written.ok_or(DropReason::TooBig)?).unwrap_or_default();
        extensions[count] = (ExtensionKind::DependencyDescriptor, written);
        count += 1;
    }
    let header = write_header(out, parts.fields, &extensions[..count], map);
    let header = header.ok_or(DropReason::TooBig)?;
    if parts.padding {
        out[0] |= PADDING_BIT;
    }

    let mut at = header.len;
    for prefix in parts.prefix {
        let place = out.get_mut(at..at + prefix.len()).ok_or(DropReason::TooBig)?;
        place.copy_from_slice(prefix);
        at += prefix.len();
    }
    let prefix_len = at - header.len;
    let len = media.seal_rtp_from(parts.index, out, header.len, prefix_len, parts.payload)?;
    arena.commit(tuple, len);
    if header.transport_cc_at.is_some() {
        let number = transport.next_transport_cc;
        transport.next_transport_cc = number.wrapping_add(1);
        if let Some(sending) = &mut transport.sending {
            sending.on_sent(number, len, parts.probe, turn.now);
        }
    }
    transport.stats.packets_sent += 1;
    transport.stats.bytes_sent += len as u64;
    Ok(len)
}
