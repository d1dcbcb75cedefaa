//! What real encoders and payloaders send (`engine/tests/traces/record` made the files).

use airside_engine::codec::{Codec, Inspector, Keyframe};
use airside_engine::rtp::RtpView;

/// A keyframe each so many pictures.
const DISTANCE: usize = 6;
const PICTURES: usize = 13;

macro_rules! trace {
    ($name:literal) => {
        ($name, &include_bytes!(concat!("../../traces/", $name, ".rtp"))[..])
    };
}

/// RTP packets behind their lengths (RFC 4571).
fn packets(mut trace: &'static [u8]) -> impl Iterator<Item = &'static [u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = trace.split_first_chunk::<2>()?;
        let (packet, rest) = rest.split_at(usize::from(u16::from_be_bytes(*len)));
        trace = rest;
        Some(packet)
    })
}

#[test]
fn keyframes_of_real_encoders_are_found_at_their_first_packets_and_nowhere_else() {
    let traces = [
        (Codec::Vp8, trace!("vp8")),
        (Codec::Vp8, trace!("vp8_short_id")),
        (Codec::Vp8, trace!("vp8_no_id")),
        (Codec::Vp9, trace!("vp9")),
        (Codec::H264, trace!("h264_aggregated")),
        (Codec::H264, trace!("h264_single")),
        (Codec::H265, trace!("h265_aggregated")),
        (Codec::H265, trace!("h265_single")),
    ];
    for (codec, (name, trace)) in traces {
        let mut inspector = Inspector::new(codec);
        let (mut pictures, mut last) = (0, None);
        for packet in packets(trace) {
            let view = RtpView::parse(packet).unwrap();
            let payload = &packet[view.payload(packet).unwrap()];
            let first = last.replace(view.timestamp) != Some(view.timestamp);
            pictures += usize::from(first);
            let picture = pictures - 1;
            let info = inspector.inspect(payload, None, view.marker, true);
            let key = picture.is_multiple_of(DISTANCE);
            // H.264 and H.265 may repeat parameter sets within the keyframe.
            let repeats = matches!(codec, Codec::H264 | Codec::H265) && key;
            match info.keyframe {
                Keyframe::Yes => assert!(key && (first || repeats), "{name}: picture {picture}"),
                Keyframe::No => assert!(!(key && first), "{name}: picture {picture}"),
                Keyframe::Unknown => panic!("{name}: picture {picture}"),
            }
            for len in 0..payload.len() {
                let cut = Inspector::new(codec).inspect(&payload[..len], None, view.marker, true);
                let found = cut.keyframe == Keyframe::Yes;
                assert!(!found || info.keyframe == Keyframe::Yes, "{name}: {len} bytes");
            }
        }
        assert_eq!(pictures, PICTURES, "{name}");
    }
}
