//! The descriptor as one subscriber gets it.

use super::{Dependency, FLAGS_END};
use crate::codec::bits::{BitReader, BitWriter};

/// Longest header extension (RFC 8285, section 4.3).
pub const MAX_LEN: usize = 255;
/// Bits of `template_dependency_structure_present_flag` and `active_decode_targets_present_flag`.
const STRUCTURE_FLAG: usize = 24;
const ACTIVE_FLAG: usize = 25;

/// Keeps frame numbers and template ids of one subscription continuous over source switches, and
/// names the decode targets that it gets.
///
/// Frame numbers only move by a constant per source, because references are relative to them. So
/// a packet that is sent again gets the same bytes without any memory but its decode targets.
#[derive(Clone, Debug, Default)]
pub struct Rewriter {
    shift: i64,
    last_frame: Option<u64>,
    template_shift: u8,
    /// First template id that the receiver has not cached.
    next_template: u8,
}

impl Rewriter {
    /// Forwarding of a source starts at this packet. The first source keeps its numbers.
    ///
    /// New template ids do not overlap those of the structure that the receiver has.
    pub fn switch(&mut self, first: &Dependency) {
        #[expect(clippy::cast_possible_wrap, reason = "the signed distance is what is wanted")]
        if let Some(last) = self.last_frame {
            self.shift = (last + 1).wrapping_sub(first.number) as i64;
            self.template_shift =
                self.next_template.wrapping_sub(first.structure.template_offset()) & 0x3f;
        }
    }

    /// What to change in the descriptor of a packet that is forwarded. `targets`: the decode
    /// targets to announce, as long as the subscriber gets only some; None leaves the publisher's
    /// word.
    pub fn map(&mut self, dependency: &Dependency, targets: Option<u32>) -> Change {
        let change = self.get(targets);
        let number = change.number(dependency);
        if self.last_frame.is_none_or(|last| last <= number) {
            self.last_frame = Some(number);
            let count = dependency.structure.template_count();
            self.next_template = change.template_offset(dependency).wrapping_add(count) & 0x3f;
        }
        change
    }

    /// The same for a packet that is sent again.
    #[must_use]
    pub fn get(&self, targets: Option<u32>) -> Change {
        Change { shift: self.shift, template_shift: self.template_shift, targets }
    }
}

/// What one subscriber's copy of a descriptor has different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    shift: i64,
    template_shift: u8,
    targets: Option<u32>,
}

impl Change {
    /// Writes the descriptor and returns its length. `source` is what `dependency` was read from.
    ///
    /// None if it does not fit a header extension.
    #[must_use]
    pub fn write(
        &self,
        dependency: &Dependency,
        source: &[u8],
        out: &mut [u8; MAX_LEN],
    ) -> Option<usize> {
        let (number, targets) = (self.number(dependency), self.targets);
        let &[first, _, _, ..] = source else { return None };
        let extended = source.len() > 3;
        let mut reader = BitReader::new(source);
        reader.skip(STRUCTURE_FLAG);
        let mut flag = || if extended { reader.flag().ok() } else { Some(false) };
        let (structure, active) = (flag()?, flag()?);

        let mut writer = BitWriter::new(out);
        writer.put(u32::from(first) >> 6, 2)?;
        writer.put(u32::from(first.wrapping_add(self.template_shift)) & 0x3f, 6)?;
        writer.put(u32::from(number as u16), 16)?;
        if !extended && targets.is_none() {
            return Some(writer.finish());
        }
        writer.put(u32::from(structure), 1)?;
        writer.put(u32::from(active || targets.is_some()), 1)?;
        if !extended {
            writer.put(0, 3)?;
        } else {
            writer.copy(source, ACTIVE_FLAG + 1, FLAGS_END)?;
        }
        let mut at = FLAGS_END;
        if structure {
            writer.put(self.template_offset(dependency).into(), 6)?;
            writer.copy(source, FLAGS_END + 6, dependency.structure.end_bit)?;
            at = dependency.structure.end_bit;
        }
        let width = usize::from(dependency.structure.decode_targets());
        if let Some(targets) = targets {
            writer.put(targets, width as u32)?;
            at += if active { width } else { 0 };
        }
        if extended {
            writer.copy(source, at, dependency.frame.end_bit)?;
        }
        Some(writer.finish())
    }

    fn number(&self, dependency: &Dependency) -> u64 {
        dependency.number.wrapping_add_signed(self.shift)
    }

    fn template_offset(&self, dependency: &Dependency) -> u8 {
        dependency.structure.template_offset().wrapping_add(self.template_shift) & 0x3f
    }
}
