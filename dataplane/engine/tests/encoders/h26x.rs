use super::{Sent, Stream};

/// H.264 in two packets a picture: parameter sets and IDR slice, or slices of a P picture.
#[derive(Debug, Clone)]
pub struct H264 {
    pub stream: Stream,
}

impl H264 {
    pub fn new(index: u8) -> Self {
        Self { stream: Stream::new(index) }
    }

    /// Of temporal layer 1 are pictures that nobody refers to (nal_ref_idc 0).
    pub fn picture(&mut self, key: bool, temporal: u8) -> Vec<Sent> {
        let reference = if temporal == 0 { 0x60 } else { 0 };
        let payloads = if key {
            // STAP-A of SPS and PPS, then the slice (RFC 6184, section 5.7.1).
            vec![vec![0x78, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 2, 0x68, 0xce], vec![0x65, 0x88, 9]]
        } else {
            // FU-A, start and end (section 5.8).
            vec![vec![reference | 28, 0x81, 0x9a, 1], vec![reference | 28, 0x41, 2, 3]]
        };
        self.stream.frame(payloads, true)
    }
}

/// H.265 in two packets a picture, with temporal layers.
#[derive(Debug, Clone)]
pub struct H265 {
    pub stream: Stream,
}

impl H265 {
    pub fn new(index: u8) -> Self {
        Self { stream: Stream::new(index) }
    }

    /// Pictures above temporal layer 0 are of the type TSA: all of their layer may be taken from
    /// each on.
    pub fn picture(&mut self, key: bool, temporal: u8) -> Vec<Sent> {
        const TRAIL_R: u8 = 1;
        const TSA_N: u8 = 2;
        let id = temporal + 1;
        let payloads = if key {
            // Aggregation packet of VPS, SPS and PPS, then IDR_W_RADL (RFC 7798, section 4.4.2).
            let sets = [32u8, 33, 34].map(|unit| [0, 4, unit << 1, 1, 0x0c, unit]).concat();
            vec![[&[48 << 1, 1], &sets[..]].concat(), vec![19 << 1, 1, 0xaf, 8]]
        } else {
            let unit = if temporal == 0 { TRAIL_R } else { TSA_N };
            // FU, start and end (section 4.4.3).
            vec![vec![49 << 1, id, 0x80 | unit, 7], vec![49 << 1, id, 0x40 | unit, 8]]
        };
        self.stream.frame(payloads, true)
    }
}
