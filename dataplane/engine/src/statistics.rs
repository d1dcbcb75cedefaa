//! One worker's figures, row by row from its tables.

use std::time::Instant;

use crate::command::MediaKind;
use crate::engine::Engine;
use crate::error::DropReason;
use crate::event::Event;
use crate::layer::Layer;
use crate::stats::{StatsColumns, Table, TableBuilder};
use crate::units::Bitrate;

/// Stands for "no such thing" in a column of ids or indices.
const NONE: u64 = u64::MAX;

impl Engine {
    pub(crate) fn read_stats(&mut self, token: u64, now: Instant) {
        let columns = Box::new(self.stats(now));
        self.out.events.push(Event::Stats { token, columns });
    }

    /// All figures of this worker since it began.
    #[must_use]
    pub fn stats(&self, now: Instant) -> StatsColumns {
        let mut columns = StatsColumns::new(self.worker);
        columns.tables = vec![
            self.worker_table(),
            self.out.drops.table(),
            self.transport_table(now),
            self.layer_table(now),
            self.slot_table(),
            self.quality_table(),
        ];
        if !self.meters.is_empty() {
            let meters = self.meters.iter().map(|(id, meter)| (*id, meter));
            columns.tables.extend(crate::load::tables(meters, now));
        }
        columns
    }

    /// How often a packet was dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.out.drops.get(reason)
    }

    fn worker_table(&self) -> Table {
        let mut table = TableBuilder::new("worker");
        table
            .row()
            .count("transports", self.transports.len() as u64)
            .count("tracks", self.tracks.len() as u64)
            .count("slots", self.slots.len() as u64)
            .count("handshakes_waiting", self.handshakes.len() as u64)
            .count("addresses", self.routes.len() as u64);
        table.finish()
    }

    fn transport_table(&self, now: Instant) -> Table {
        let mut table = TableBuilder::new("transports");
        for (_, transport) in &self.transports {
            let stats = &transport.stats;
            let rtt = transport.rtt.measured().map(|rtt| rtt.as_secs_f64());
            table
                .row()
                .count("transport", transport.id.0)
                .count("room", transport.room.0)
                .count("connected", transport.is_secured().into())
                .count("local", transport.is_local().into())
                .count("packets_received", stats.packets_received)
                .count("bytes_received", stats.bytes_received)
                .count("packets_sent", stats.packets_sent)
                .count("bytes_sent", stats.bytes_sent)
                .count("path_changes", stats.path_changes)
                .count("transport_feedbacks", stats.transport_feedbacks)
                .count("transport_cc_received", stats.transport_cc_received)
                .count("transport_cc_lost", stats.transport_cc_lost)
                .count("data_messages_received", stats.data_messages_received)
                .count("data_messages_sent", stats.data_messages_sent)
                .measure("remb_bps", stats.remb_bps.map(|bps| bps as f64))
                .measure("rtt_s", rtt);
            let sending = transport.sending.as_ref().map(|sending| sending.figures(now));
            let rate = |rate: Option<Bitrate>| rate.map(Bitrate::as_f64_bps);
            let parts = sending.map(|figures| figures.parts);
            let summary = transport.sending.as_ref().and_then(|sending| sending.summary);
            table
                .count("probes", sending.map_or(0, |figures| figures.probes))
                .count("pacer_dropped", sending.map_or(0, |figures| figures.cut))
                .count(
                    "pacer_queue_bytes",
                    sending.map_or(0, |figures| figures.queued_bytes as u64),
                )
                .measure("pacer_delay_s", sending.map(|figures| figures.queue_delay.as_secs_f64()))
                .measure("estimate_bps", rate(sending.and_then(|figures| figures.estimate)))
                .measure("delay_based_bps", rate(parts.map(|parts| parts.delay_based)))
                .measure("loss_based_bps", rate(parts.and_then(|parts| parts.loss_based)))
                .measure("acknowledged_bps", rate(parts.and_then(|parts| parts.acknowledged)))
                .measure("path_loss", parts.map(|parts| parts.loss))
                .measure("allocated_bps", rate(summary.map(|summary| summary.allocated)))
                .measure("wanted_bps", rate(summary.map(|summary| summary.wanted)))
                .measure("goal_bps", rate(summary.and_then(|summary| summary.goal)));
        }
        table.finish()
    }

    fn layer_table(&self, now: Instant) -> Table {
        let mut table = TableBuilder::new("layers");
        for (_, track) in &self.tracks {
            for (index, layer) in track.layers.iter().enumerate() {
                let stats = &layer.stats;
                let (expected, lost) = layer.reception.totals();
                let ((frozen, freezes), (_, concealed)) =
                    (layer.meter.freezes(), layer.meter.concealed());
                let jitter = f64::from(layer.reception.jitter());
                let rate = track.codecs.first().map_or(90_000, |codec| codec.clock_rate);
                table
                    .row()
                    .count("track", track.id.0)
                    .count("layer", index as u64)
                    .count("video", u64::from(track.kind == MediaKind::Video))
                    .count("live", u64::from(layer.is_live()))
                    .count("packets", stats.packets)
                    .count("bytes", stats.bytes)
                    .count("keyframes", stats.keyframes)
                    .count("keyframe_requests", stats.keyframe_requests)
                    .count("nacks_sent", stats.nacks_sent)
                    .count("repaired", stats.repaired)
                    .count("expected", expected)
                    .count("lost", lost)
                    .count("concealed", concealed)
                    .count("freezes", freezes.into())
                    .measure("frozen_s", Some(frozen.as_secs_f64()))
                    .measure("score", Some(track.meter.score()))
                    .count("height_px", layer.height_px.into())
                    .count("keyframe_ignored", layer.keyframe.is_ignored(now).into())
                    .measure("jitter_s", Some(jitter / f64::from(rate.max(1))));
            }
        }
        table.finish()
    }

    fn slot_table(&self) -> Table {
        let mut table = TableBuilder::new("slots");
        for (_, slot) in &self.slots {
            let stats = &slot.stats;
            let ((expected, lost), (frozen, freezes)) =
                (slot.meter.reported(), slot.meter.freezes());
            let track = slot.bound.as_ref().and_then(|bound| self.tracks.get(bound.track));
            let transport = self.transports.get(slot.transport);
            let decision = slot.allocation().map(|allocation| allocation.decision);
            let given = decision.map(|decision| decision.reason.rates());
            let rate = |rate: Option<Bitrate>| rate.map(Bitrate::as_f64_bps);
            let temporal = |layer: Layer| u64::from(layer.temporal);
            table
                .row()
                .count("slot", slot.id.0)
                .count("transport", transport.map_or(NONE, |transport| transport.id.0))
                .count("track", track.map_or(NONE, |track| track.id.0))
                .count("video", u64::from(slot.kind == MediaKind::Video))
                .count("layer", slot.current().map_or(NONE, |layer| layer.spatial.into()))
                .count("target_layer", slot.target().map_or(NONE, |layer| layer.spatial.into()))
                .count("packets", stats.packets)
                .count("bytes", stats.bytes)
                .count("nacked", stats.nacked)
                .count("resent", stats.resent)
                .count("keyframe_requests", stats.keyframe_requests)
                .count("switches", stats.switches)
                .count("expected", expected)
                .count("lost", lost)
                .count("concealed", slot.meter.concealed())
                .count("freezes", freezes.into())
                .measure("frozen_s", Some(frozen.as_secs_f64()))
                .measure("score", Some(slot.meter.score()))
                .count("target_temporal", decision.and_then(|d| d.target).map_or(NONE, temporal))
                .count("reason", decision.map_or(0, |decision| decision.reason.code().into()))
                .count("paused_by_network", decision.is_some_and(|d| d.paused).into())
                .measure("allocated_bps", rate(decision.map(|decision| decision.rate)))
                .measure("available_bps", rate(given.map(|given| given.0)))
                .measure("needed_bps", rate(given.map(|given| given.1)))
                .measure("fraction_lost", Some(f64::from(stats.fraction_lost) / 256.0))
                .measure("jitter_s", Some(f64::from(stats.jitter) / f64::from(slot.clock_rate())));
        }
        table.finish()
    }
}
