//! Figures of one worker's loop, as tables beside those of its engine.

use airside_engine::load::Histogram;
use airside_engine::stats::{Column, Table, Values};

use crate::local_ring::LocalRings;
use crate::udp::{Socket, TransmitStats, thread_cpu_time};

/// Since the start of the worker.
#[derive(Debug, Default)]
pub(crate) struct LoopStats {
    /// Times the loop had nothing to do.
    pub(crate) sleeps: u64,
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    pub(crate) receive_errors: u64,
    /// Datagrams passed to the worker they belong to.
    pub(crate) handed_over: u64,
    pub(crate) tap_dropped: u64,
    /// Packets of local sources for a track that is not there, is muted, or is no local source.
    pub(crate) write_refused: u64,
    /// Reliable messages of clients beyond what may wait for their channel.
    pub(crate) unsent_dropped: u64,
    /// Datagrams per receive call.
    batch: Histogram,
    /// From receiving a batch to the call that sends what came of it, per packet sent.
    pub(crate) residence: Histogram,
    /// How late a timer was run.
    pub(crate) lag: Histogram,
}

impl LoopStats {
    pub(crate) fn on_batch(&mut self, count: usize) {
        self.received += count as u64;
        self.batch.record_value(count as u64, 1);
    }

    /// To be called on the worker's thread, whose processor time is in it.
    pub(crate) fn tables<'a>(
        &self,
        sent: &TransmitStats,
        unusable: u64,
        ring_dropped: u64,
        sockets: impl Iterator<Item = &'a Socket>,
    ) -> [Table; 4] {
        let (mut count, mut buffer) = (0, usize::MAX);
        for socket in sockets {
            count += 1;
            buffer = buffer.min(socket.receive_buffer_bytes());
        }
        let cpu_ns = u64::try_from(thread_cpu_time().as_nanos()).unwrap_or(u64::MAX);
        let figures = [
            ("cpu_ns", cpu_ns),
            ("sleeps", self.sleeps),
            ("sockets", count),
            ("receive_buffer_bytes", if count == 0 { 0 } else { buffer as u64 }),
            ("received_packets", self.received),
            ("received_bytes", self.received_bytes),
            ("receive_calls", self.batch.total()),
            ("receive_errors", self.receive_errors),
            ("receive_unusable", unusable),
            ("sent_packets", sent.sent),
            ("sent_bytes", sent.sent_bytes),
            ("send_calls", sent.calls),
            ("sent_segmented_packets", sent.segmented),
            ("send_dropped_full", sent.dropped_full),
            ("send_dropped_refused", sent.dropped_refused),
            ("handed_over_packets", self.handed_over),
            ("ring_dropped", ring_dropped),
            ("tap_dropped", self.tap_dropped),
            ("write_refused", self.write_refused),
            ("unsent_dropped", self.unsent_dropped),
            ("residence_p50_us", self.residence.quantile_us(0.5)),
            ("residence_p99_us", self.residence.quantile_us(0.99)),
            ("residence_max_us", self.residence.max_us()),
            ("lag_p50_us", self.lag.quantile_us(0.5)),
            ("lag_p99_us", self.lag.quantile_us(0.99)),
            ("lag_max_us", self.lag.max_us()),
        ];
        let columns = figures.map(|(name, value)| column(name, vec![value]));
        [
            Table { name: "loop", columns: columns.into() },
            buckets("receive_batch", "packets", &self.batch),
            buckets("residence", "upper_us", &self.residence),
            buckets("lag", "upper_us", &self.lag),
        ]
    }
}

/// What passes between this worker and processes beside ours.
pub(super) fn local_table(rings: &LocalRings) -> Table {
    let stats = &rings.stats;
    let figures = [
        ("rings", rings.count() as u64),
        ("received_packets", stats.received),
        ("sent_packets", stats.sent),
        ("ring_full", stats.full),
        ("broken", stats.broken),
    ];
    let columns = figures.map(|(name, value)| column(name, vec![value]));
    Table { name: "local_rings", columns: columns.into() }
}

pub(crate) fn column(name: &'static str, values: Vec<u64>) -> Column {
    Column { name, values: Values::U64(values) }
}

fn buckets(name: &'static str, bound: &'static str, histogram: &Histogram) -> Table {
    let (bounds, counts) = histogram.buckets().unzip();
    Table { name, columns: vec![column(bound, bounds), column("count", counts)] }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn histograms_cross_as_buckets() {
        let mut stats = LoopStats::default();
        stats.on_batch(3);
        stats.on_batch(3);
        stats.residence.record(Duration::from_micros(10), 5);
        let tables = stats.tables(&TransmitStats::default(), 0, 0, std::iter::empty());
        let names: Vec<_> = tables.iter().map(|table| table.name).collect();
        assert_eq!(names, ["loop", "receive_batch", "residence", "lag"]);
        let values: Vec<_> = tables[1].columns.iter().map(|column| &column.values).collect();
        assert_eq!(values, [&Values::U64(vec![3]), &Values::U64(vec![2])]);
        assert_eq!(tables[2].columns[1].values, Values::U64(vec![5]));
    }
}
