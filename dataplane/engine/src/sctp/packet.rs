//! SCTP packets on the way to and from the state machine (RFC 9260, section 3).
//!
//! In: a look at the chunks before `sctp-proto` acts on them, for the limits that it does not have:
//! it would keep DATA however far ahead of a gap it is.
//! Out: it forgets headers and padding when it fills a packet (0.10.8,
//! `bundle_data_chunks_into_packets`), and its SACKs have no upper size; what is too long for one
//! DTLS record is split or trimmed here.

use bytes::Bytes;

use crate::error::{Format, ParseError};

/// Stream ids that a peer may use. Browsers do not go beyond 1023 (Chromium `kMaxSctpStreams`).
pub(crate) const MAX_STREAMS: u16 = 1024;
/// Control chunks in one packet. Each may cost an answering packet; honest peers bundle two.
const MAX_CONTROL_CHUNKS: usize = 8;

/// How far DATA may be ahead of what we have acknowledged, in chunks. Each one kept behind a gap
/// costs some 250 bytes, and a SACK reports 65 535 at most.
const MAX_TSN_AHEAD: u32 = 16_384;

const HEADER_LEN: usize = 12;
const CHUNK_HEADER_LEN: usize = 4;
/// Of a DATA chunk: chunk header, TSN, stream, sequence number, protocol.
const DATA_HEADER_LEN: usize = 16;
/// Of a SACK chunk: chunk header, cumulative TSN, window, two counts.
const SACK_HEADER_LEN: usize = 16;

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const FORWARD_TSN: u8 = 192;
const I_FORWARD_TSN: u8 = 194;

/// What one arriving packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Summary {
    pub(crate) init: bool,
    /// COOKIE ECHO or COOKIE ACK: the association is up once this packet is handled.
    pub(crate) cookie: bool,
    /// First TSN of the peer, from INIT or INIT ACK.
    pub(crate) initial_tsn: Option<u32>,
    pub(crate) data_chunks: usize,
}

/// Looks through a packet without acting on it. The checksum is left to the state machine.
/// `acknowledged` is the peer's TSN up to which we have everything.
///
/// # Errors
/// A chunk that ends outside the packet or is shorter than its header, DATA without data, on a
/// stream beyond [`MAX_STREAMS`] or far ahead, more control chunks than an honest peer bundles.
pub(crate) fn inspect(packet: &[u8], acknowledged: u32) -> Result<Summary, ParseError> {
    let (_, mut rest) =
        packet.split_at_checked(HEADER_LEN).ok_or(ParseError::Truncated(Format::Sctp))?;
    if rest.is_empty() {
        return Err(ParseError::Truncated(Format::Sctp));
    }
    let mut summary = Summary::default();
    let mut control_chunks = 0;
    while !rest.is_empty() {
        let (chunk, after) = split_chunk(rest)?;
        match chunk[0] {
            DATA => {
                if chunk.len() <= DATA_HEADER_LEN {
                    return Err(ParseError::BadLength(Format::Sctp));
                }
                if u16::from_be_bytes([chunk[8], chunk[9]]) >= MAX_STREAMS
                    || too_far_ahead(chunk, acknowledged)
                {
                    return Err(ParseError::BadValue(Format::Sctp));
                }
                summary.data_chunks += 1;
            }
            FORWARD_TSN | I_FORWARD_TSN if too_far_ahead(chunk, acknowledged) => {
                return Err(ParseError::BadValue(Format::Sctp));
            }
            kind => {
                summary.init |= kind == INIT;
                summary.cookie |= matches!(kind, COOKIE_ECHO | COOKIE_ACK);
                if matches!(kind, INIT | INIT_ACK) {
                    summary.initial_tsn = word(chunk, 16);
                }
                control_chunks += 1;
            }
        }
        rest = after;
    }
    if control_chunks > MAX_CONTROL_CHUNKS {
        return Err(ParseError::BadValue(Format::Sctp));
    }
    Ok(summary)
}

/// DATA and FORWARD TSN both have their TSN first. In serial number arithmetic, what is more than
/// half the circle ahead is behind.
fn too_far_ahead(chunk: &[u8], acknowledged: u32) -> bool {
    let ahead = word(chunk, CHUNK_HEADER_LEN).map(|tsn| tsn.wrapping_sub(acknowledged));
    ahead.is_some_and(|ahead| ahead > MAX_TSN_AHEAD && ahead < 1 << 31)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
}

/// Of a packet of our own that begins with a SACK: the TSN it acknowledges and the window it grants.
pub(crate) fn acknowledgement(packet: &[u8]) -> Option<(u32, u32)> {
    if packet.get(HEADER_LEN) != Some(&SACK) {
        return None;
    }
    Some((word(packet, HEADER_LEN + 4)?, word(packet, HEADER_LEN + 8)?))
}

/// The first chunk without its padding, and what follows the padding.
fn split_chunk(bytes: &[u8]) -> Result<(&[u8], &[u8]), ParseError> {
    let header = bytes.get(..CHUNK_HEADER_LEN).ok_or(ParseError::Truncated(Format::Sctp))?;
    let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if len < CHUNK_HEADER_LEN {
        return Err(ParseError::BadLength(Format::Sctp));
    }
    let chunk = bytes.get(..len).ok_or(ParseError::Truncated(Format::Sctp))?;
    // Padding of the last chunk may be missing.
    Ok((chunk, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

/// Hands on a packet of our own in pieces of at most `max_len` bytes.
pub(crate) fn fit(packet: Bytes, max_len: usize, mut emit: impl FnMut(Bytes)) {
    if packet.len() <= max_len {
        return emit(packet);
    }
    let Some((header, mut rest)) = packet.split_at_checked(HEADER_LEN) else { return };
    let mut piece = header.to_vec();
    while let Ok((chunk, after)) = split_chunk(rest) {
        let chunk = trimmed(chunk, max_len - HEADER_LEN);
        if piece.len() + chunk.len().next_multiple_of(4) > max_len {
            emit(sealed(std::mem::replace(&mut piece, header.to_vec())));
        }
        piece.extend_from_slice(&chunk);
        piece.resize(piece.len().next_multiple_of(4), 0);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    if piece.len() > HEADER_LEN {
        emit(sealed(piece));
    }
}

/// A SACK that would not fit keeps as many gap blocks as do; the rest is reported next time.
fn trimmed(chunk: &[u8], max_len: usize) -> std::borrow::Cow<'_, [u8]> {
    if chunk.len() <= max_len || chunk[0] != SACK || chunk.len() < SACK_HEADER_LEN {
        return chunk.into();
    }
    let blocks = usize::from(u16::from_be_bytes([chunk[12], chunk[13]]));
    let kept = blocks.min((max_len - SACK_HEADER_LEN) / 4);
    let len = SACK_HEADER_LEN + 4 * kept;
    let mut sack = chunk[..len].to_vec();
    sack[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    sack[12..14].copy_from_slice(&(kept as u16).to_be_bytes());
    sack[14..16].fill(0);
    sack.into()
}

/// Writes the checksum (RFC 9260, section 6.8).
fn sealed(mut packet: Vec<u8>) -> Bytes {
    packet[8..HEADER_LEN].fill(0);
    let checksum = crc32c(&packet);
    packet[8..HEADER_LEN].copy_from_slice(&checksum.to_le_bytes());
    packet.into()
}

/// CRC32c, bit by bit: only packets that had to be cut come here.
fn crc32c(bytes: &[u8]) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0x82F6_3B78;
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (REVERSED_POLYNOMIAL * (crc & 1));
        }
    }
    !crc
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Puts a header and a right checksum around chunks.
    pub(crate) fn packet(tag: u32, chunks: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x13, 0x88, 0x13, 0x88];
        packet.extend(tag.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(chunks);
        sealed(packet).to_vec()
    }

    pub(crate) fn chunk(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
        let mut chunk = vec![kind, flags];
        chunk.extend((body.len() as u16 + 4).to_be_bytes());
        chunk.extend(body);
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        chunk
    }

    pub(crate) fn data_chunk(tsn: u32, stream: u16, ppid: u32, data: &[u8]) -> Vec<u8> {
        let mut body = tsn.to_be_bytes().to_vec();
        body.extend(stream.to_be_bytes());
        body.extend([0, 0]);
        body.extend(ppid.to_be_bytes());
        body.extend(data);
        chunk(DATA, 3, &body)
    }

    /// Repairs the checksum of a changed packet.
    pub(crate) fn reseal(packet: Vec<u8>) -> Vec<u8> {
        if packet.len() < HEADER_LEN { packet } else { sealed(packet).to_vec() }
    }

    #[test]
    fn checksum_of_the_usual_check_string() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn chunks_are_counted() {
        let chunks = [chunk(11, 0, &[]), data_chunk(1, 0, 51, b"a"), data_chunk(2, 2, 53, b"bcd")];
        let summary = inspect(&packet(1, &chunks.concat()), 0).unwrap();
        assert_eq!(summary, Summary { cookie: true, data_chunks: 2, ..Summary::default() });
        let summary = inspect(&packet(0, &chunk(INIT, 0, &[7; 16])), 0).unwrap();
        assert!(summary.init);
        assert_eq!(summary.initial_tsn, Some(0x0707_0707));
    }

    #[test]
    fn hostile_chunks_are_refused() {
        let bad = [
            vec![],
            vec![0, 3, 0, 0],
            vec![0, 3, 0, 3],
            vec![3, 0, 0, 200, 1, 2],
            data_chunk(1, 0, 51, b""),
            data_chunk(1, MAX_STREAMS, 51, b"a"),
            chunk(4, 0, &[0, 1, 0, 4]).repeat(9),
            data_chunk(MAX_TSN_AHEAD + 1, 0, 51, b"a"),
            chunk(FORWARD_TSN, 0, &[0x7F, 0xFF, 0xFF, 0xFF]),
        ];
        for chunks in bad {
            assert!(inspect(&packet(1, &chunks), 0).is_err(), "{chunks:?}");
        }
        let good = packet(1, &data_chunk(1, 0, 51, b"abcde"));
        for len in 0..good.len() - 3 {
            assert!(inspect(&good[..len], 0).is_err(), "{len}");
        }
        assert!(inspect(&good[..good.len() - 3], 0).is_ok(), "only padding is missing");
    }

    #[test]
    fn long_packets_are_split_between_chunks() {
        let chunks: Vec<u8> = (0..80).flat_map(|tsn| data_chunk(tsn, 0, 51, b"a")).collect();
        let long = Bytes::from(packet(7, &chunks));
        let mut pieces = vec![];
        fit(long.clone(), 1163, |piece| pieces.push(piece));
        assert_eq!(pieces.len(), 2);
        assert!(pieces.iter().all(|piece| piece.len() <= 1163));
        let counts: usize = pieces.iter().map(|p| inspect(p, 0).unwrap().data_chunks).sum();
        assert_eq!(counts, 80);
        let joined = [&long[..12], &pieces[0][12..], &pieces[1][12..]].concat();
        assert_eq!(joined, long);
        for piece in pieces {
            assert_eq!(reseal(piece.to_vec()), piece);
        }
    }

    #[test]
    fn a_sack_without_end_is_trimmed() {
        let mut body = vec![0, 0, 0, 9, 0, 1, 0, 0];
        body.extend(400u16.to_be_bytes());
        body.extend(50u16.to_be_bytes());
        body.extend([1; 4 * 450]);
        let mut pieces = vec![];
        fit(packet(7, &chunk(SACK, 0, &body)).into(), 1160, |piece| pieces.push(piece));
        assert_eq!(pieces.len(), 1);
        let sack = &pieces[0][12..];
        assert!(pieces[0].len() <= 1160 && inspect(&pieces[0], 0).is_ok());
        assert_eq!(u16::from_be_bytes([sack[12], sack[13]]), 283);
        assert_eq!(sack[14..16], [0, 0]);
    }
}
