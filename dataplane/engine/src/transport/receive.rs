//! Which layer an incoming SSRC belongs to.
//!
//! An SSRC is bound by signaling (`a=ssrc`), or by the mid and rid of its first packets, or, where
//! a client sends no mid, by a payload type that only one section has. A stranger has no way here:
//! packets were authenticated before. The peer itself may still try any number of SSRCs, so what is
//! kept is bounded and hashed with a secret.

use std::collections::HashMap;

use slab::Slab;

use crate::error::DropReason;
use crate::rtp::{ExtensionSpans, RtpView};
use crate::track::{Track, TrackSource};

/// SSRCs bound on one transport: 3 layers with RTX for each of 100 sections.
const MAX_BOUND: usize = 600;
/// How often a layer's SSRC may change on one transport: browsers do it at a replaced track.
const MAX_REBOUND: u32 = 256;

/// Where packets of an SSRC go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// Key of the track.
    pub(crate) track: usize,
    pub(crate) layer: u8,
    /// It repairs the layer (RTX).
    pub(crate) repair: bool,
}

/// SSRCs of one transport.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    by_ssrc: HashMap<u32, Binding>,
    rebound: u32,
}

impl Bindings {
    #[inline]
    pub(crate) fn get(&self, ssrc: u32) -> Option<Binding> {
        self.by_ssrc.get(&ssrc).copied()
    }

    /// By signaling.
    pub(crate) fn declare(&mut self, ssrc: u32, binding: Binding) {
        if self.by_ssrc.len() < MAX_BOUND || self.by_ssrc.contains_key(&ssrc) {
            self.by_ssrc.insert(ssrc, binding);
        }
    }

    pub(crate) fn remove_track(&mut self, track: usize) {
        self.by_ssrc.retain(|_, binding| binding.track != track);
    }

    /// Finds out whose packet this is by what it says itself.
    ///
    /// # Errors
    /// [`DropReason::RtpUnknownSsrc`] if nothing says it, [`DropReason::RtpTooManySsrcs`] if it is
    /// one too many.
    pub(crate) fn bind(
        &mut self,
        sections: &[usize],
        tracks: &mut Slab<Track>,
        view: &RtpView,
        spans: &ExtensionSpans,
        packet: &[u8],
    ) -> Result<Binding, DropReason> {
        let key = section_of(sections, tracks, view, spans, packet);
        let key = key.ok_or(DropReason::RtpUnknownSsrc)?;
        let track = tracks.get_mut(key).ok_or(DropReason::RtpUnknownSsrc)?;
        let payload_type = Some(view.payload_type);
        let repaired = spans.repaired_rid(packet);
        let repair = repaired.is_some()
            || track.codecs.iter().any(|codec| codec.rtx_payload_type == payload_type);
        let layer = match repaired.or_else(|| spans.rid(packet)) {
            Some(rid) => track.layers.iter().position(|layer| layer.rid == Some(rid)),
            None if track.layers.len() == 1 => Some(0),
            None => None,
        };
        let at = layer.ok_or(DropReason::RtpUnknownSsrc)?;
        let layer = &mut track.layers[at];
        let place = if repair { &mut layer.rtx_ssrc } else { &mut layer.ssrc };
        if let Some(old) = place.filter(|old| *old != view.ssrc) {
            if self.rebound >= MAX_REBOUND {
                return Err(DropReason::RtpTooManySsrcs);
            }
            self.rebound += 1;
            self.by_ssrc.remove(&old);
            if !repair {
                layer.begin_anew();
            }
        }
        let place = if repair { &mut layer.rtx_ssrc } else { &mut layer.ssrc };
        if self.by_ssrc.len() >= MAX_BOUND {
            return Err(DropReason::RtpTooManySsrcs);
        }
        *place = Some(view.ssrc);
        let binding = Binding { track: key, layer: at as u8, repair };
        self.by_ssrc.insert(view.ssrc, binding);
        Ok(binding)
    }
}

/// The section a packet belongs to: by mid, else by a payload type that only one section has.
fn section_of(
    sections: &[usize],
    tracks: &Slab<Track>,
    view: &RtpView,
    spans: &ExtensionSpans,
    packet: &[u8],
) -> Option<usize> {
    let track = |key: &usize| tracks.get(*key);
    if let Some(mid) = spans.mid(packet) {
        return sections.iter().copied().find(|key| {
            matches!(track(key).map(|track| &track.source),
                Some(TrackSource::Transport { mid: Some(own), .. }) if *own == mid)
        });
    }
    let has_type = |key: &usize| {
        track(key).is_some_and(|track| {
            track.codecs.iter().any(|codec| {
                codec.payload_type == view.payload_type
                    || codec.rtx_payload_type == Some(view.payload_type)
            })
        })
    };
    let mut fitting = sections.iter().copied().filter(has_type);
    fitting.next().filter(|_| fitting.next().is_none())
}
