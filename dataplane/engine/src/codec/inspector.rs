//! One published layer's packets to [`FrameInfo`].

use super::dependency_descriptor::{Dependency, Frame, Header, Structure, StructureHistory};
use super::picture::PictureIds;
use super::{Codec, Detail, FrameInfo, Keyframe, Malformed, av1, h264, h265, vp8, vp9};

/// Reads the payloads of one SSRC. Make a new one when the source restarts or changes codec.
#[derive(Debug)]
pub struct Inspector {
    codec: Codec,
    pictures: PictureIds,
    structures: StructureHistory,
    active_targets: u32,
    dependency: Option<Dependency>,
    /// Temporal layer of the newest AV1 picture without descriptor.
    temporal: u8,
}

impl Inspector {
    /// For one published layer.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            pictures: PictureIds::default(),
            structures: StructureHistory::default(),
            active_targets: u32::MAX,
            dependency: None,
            temporal: 0,
        }
    }

    /// What the packet is. Unreadable payloads give [`Keyframe::Unknown`].
    ///
    /// `dependency_descriptor`: the header extension's bytes, used for AV1 only. If the answer
    /// then has no [`Detail::Dependency`], do not forward the extension. `newest`: no packet with
    /// a higher sequence number has been seen.
    ///
    /// With [`Detail::Dependency`], [`Self::dependency`] has the rest.
    pub fn inspect(
        &mut self,
        payload: &[u8],
        dependency_descriptor: Option<&[u8]>,
        marker: bool,
        newest: bool,
    ) -> FrameInfo {
        self.dependency = None;
        let info = match self.codec {
            Codec::Opus | Codec::Red => Ok(FrameInfo {
                keyframe: Keyframe::No,
                start: true,
                end: true,
                ..FrameInfo::unknown(marker)
            }),
            Codec::Vp8 => self.vp8(payload, marker, newest),
            Codec::Vp9 => self.vp9(payload, newest),
            Codec::H264 => h264::inspect(payload, marker),
            Codec::H265 => h265::inspect(payload, marker),
            Codec::Av1 => dependency_descriptor
                .and_then(|data| self.av1_frame(data, marker, newest).ok())
                .map_or_else(|| self.av1_payload(payload, marker, newest), Ok),
        };
        info.unwrap_or_else(|Malformed| FrameInfo::unknown(marker))
    }

    /// The resolved dependency descriptor of the packet inspected last.
    #[must_use]
    pub fn dependency(&self) -> Option<&Dependency> {
        self.dependency.as_ref()
    }

    fn vp8(&mut self, payload: &[u8], marker: bool, newest: bool) -> Result<FrameInfo, Malformed> {
        let descriptor = vp8::Descriptor::parse(payload)?;
        let picture = match descriptor.picture_id {
            Some(id) => Some(self.pictures.unwrap(id, newest).ok_or(Malformed)?),
            None => None,
        };
        Ok(FrameInfo {
            keyframe: descriptor.keyframe,
            start: descriptor.starts_frame(),
            end: marker,
            spatial: 0,
            temporal: descriptor.temporal(),
            switch_up: descriptor.is_layer_sync(),
            discardable: descriptor.is_non_reference(),
            detail: Detail::Vp8 { descriptor, picture },
        })
    }

    fn vp9(&mut self, payload: &[u8], newest: bool) -> Result<FrameInfo, Malformed> {
        let descriptor = vp9::Descriptor::parse(payload)?;
        let picture = match descriptor.picture_id {
            Some(id) => Some(self.pictures.unwrap(id, newest).ok_or(Malformed)?),
            None => None,
        };
        Ok(FrameInfo {
            keyframe: descriptor.keyframe(),
            start: descriptor.begins_frame(),
            end: descriptor.ends_frame(),
            spatial: descriptor.spatial(),
            temporal: descriptor.temporal(),
            switch_up: descriptor.is_switching_up_point(),
            discardable: false,
            detail: Detail::Vp9 { descriptor, picture },
        })
    }

    /// Without descriptor. Where layer frames end nobody says then, and without that no marker can
    /// be set: spatial layers are not told apart.
    fn av1_payload(
        &mut self,
        payload: &[u8],
        marker: bool,
        newest: bool,
    ) -> Result<FrameInfo, Malformed> {
        let info = av1::inspect(payload, marker)?;
        // What continues a unit does not repeat its layer.
        let temporal = if info.start { info.temporal } else { self.temporal };
        if newest {
            self.temporal = temporal;
        }
        Ok(FrameInfo { spatial: 0, temporal, ..info })
    }

    fn av1_frame(
        &mut self,
        data: &[u8],
        marker: bool,
        newest: bool,
    ) -> Result<FrameInfo, Malformed> {
        let header = Header::parse(data)?;
        let attached = header.has_structure.then(|| Structure::parse(data)).transpose()?;
        let number =
            self.pictures.unwrap_masked(header.frame_number, u16::MAX, newest).ok_or(Malformed)?;
        if let Some(structure) = attached {
            self.structures.insert(number, structure);
        }
        let structure = self.structures.get(number).ok_or(Malformed)?;
        let frame = Frame::parse(data, structure)?;
        let active_targets = frame.active_targets.unwrap_or(self.active_targets);
        if newest {
            self.active_targets = active_targets;
        }
        let key = header.has_structure && header.start;
        let info = FrameInfo {
            keyframe: if key { Keyframe::Yes } else { Keyframe::No },
            start: header.start,
            end: header.end || marker,
            spatial: frame.layers.spatial,
            temporal: frame.layers.temporal,
            switch_up: false,
            discardable: false,
            detail: Detail::Dependency { frame: number },
        };
        self.dependency = Some(Dependency {
            number,
            frame,
            active_targets: active_targets & structure.all_targets(),
            structure: structure.clone(),
        });
        Ok(info)
    }
}
