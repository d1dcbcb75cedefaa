//! The paths of one transport that passed an authenticated check.

use std::time::Instant;

use crate::net::Tuple;

/// mediasoup `IceServer.cpp`, `MaxTuples`.
const MAX_TUPLES: usize = 8;

/// One path and what is known of it.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) tuple: Tuple,
    /// PRIORITY of its last check.
    pub(crate) priority: u32,
    /// Last packet that proved its origin: STUN with integrity, DTLS, SRTP.
    pub(crate) last_seen: Instant,
    /// Last SRTP or DTLS packet.
    pub(crate) last_media: Option<Instant>,
}

/// A bounded list with one selected path.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    list: Vec<Path>,
    selected: Option<Tuple>,
}

impl Paths {
    pub(crate) fn selected(&self) -> Option<Tuple> {
        self.selected
    }

    pub(crate) fn selected_path(&self) -> Option<&Path> {
        self.selected.and_then(|tuple| self.get(tuple))
    }

    pub(crate) fn get(&self, tuple: Tuple) -> Option<&Path> {
        self.list.iter().find(|path| path.tuple == tuple)
    }

    pub(crate) fn get_mut(&mut self, tuple: Tuple) -> Option<&mut Path> {
        self.list.iter_mut().find(|path| path.tuple == tuple)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Tuple> + '_ {
        self.list.iter().map(|path| path.tuple)
    }

    /// Notes a valid check. Returns whether the path is new, and which one made room for it.
    pub(crate) fn on_check(
        &mut self,
        tuple: Tuple,
        priority: u32,
        now: Instant,
    ) -> (bool, Option<Tuple>) {
        if let Some(path) = self.get_mut(tuple) {
            path.priority = priority;
            path.last_seen = now;
            return (false, None);
        }
        let evicted = if self.list.len() < MAX_TUPLES { None } else { self.evict() };
        self.list.push(Path { tuple, priority, last_seen: now, last_media: None });
        (true, evicted)
    }

    /// Only a path in the list can be selected.
    pub(crate) fn select(&mut self, tuple: Tuple) {
        debug_assert!(self.get(tuple).is_some(), "selected a path without a check");
        self.selected = Some(tuple);
    }

    /// Takes out the path unheard for longest, but never the selected one.
    fn evict(&mut self) -> Option<Tuple> {
        let (at, _) = self
            .list
            .iter()
            .enumerate()
            .filter(|(_, path)| Some(path.tuple) != self.selected)
            .min_by_key(|(_, path)| path.last_seen)?;
        Some(self.list.swap_remove(at).tuple)
    }
}
