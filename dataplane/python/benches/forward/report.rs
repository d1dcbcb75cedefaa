//! Figures, as a table for people and JSON for programs.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use airside_engine::load::Histogram;

/// One way to send, for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// Reached a sink.
    pub(crate) delivered: u64,
    /// Should have.
    pub(crate) expected: u64,
    /// Of the sending thread, the kernel's part included.
    pub(crate) cpu: Duration,
    pub(crate) elapsed: Duration,
    /// Sent in segmented runs.
    pub(crate) segmented: u64,
}

/// Counters of the worker that matter here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WorkerFigures {
    pub(crate) cpu_ns: u64,
    pub(crate) segmented: u64,
    pub(crate) residence: [u64; 3],
}

/// Times at half load.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    end_to_end: Histogram,
    /// The same of the bare loop, from the start of a burst.
    pub(crate) limit: Histogram,
    residence: [u64; 3],
    worker_load: f64,
    packets: u64,
}

impl Line {
    pub(crate) fn packets_per_cpu_s(&self) -> f64 {
        self.delivered as f64 / self.cpu.as_secs_f64()
    }

    fn loss(&self) -> f64 {
        1.0 - self.delivered as f64 / self.expected.max(1) as f64
    }
}

impl Latency {
    pub(crate) fn record(&mut self, time: Duration) {
        self.end_to_end.record(time, 1);
        self.packets += 1;
    }

    pub(crate) fn finish(
        &mut self,
        before: &WorkerFigures,
        after: &WorkerFigures,
        elapsed: Duration,
    ) {
        self.residence = after.residence;
        self.worker_load = (after.cpu_ns - before.cpu_ns) as f64 / elapsed.as_nanos() as f64;
    }
}

#[derive(Debug)]
struct Result {
    name: &'static str,
    size: usize,
    forwarded: Line,
    plain: Line,
    segmented: Line,
    latency: Latency,
}

/// All scenarios.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Result>);

impl Report {
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        size: usize,
        forwarded: Line,
        plain: Line,
        segmented: Line,
        latency: Latency,
    ) {
        self.0.push(Result { name, size, forwarded, plain, segmented, latency });
    }

    pub(crate) fn json(&self) -> String {
        let results: Vec<String> = self.0.iter().map(Result::json).collect();
        format!("{{\"forward\": [\n  {}\n]}}\n", results.join(",\n  "))
    }
}

impl Result {
    fn json(&self) -> String {
        let [forwarded, plain, segmented] =
            [&self.forwarded, &self.plain, &self.segmented].map(Line::packets_per_cpu_s);
        let times = &self.latency.end_to_end;
        let [residence_p50, residence_p99, _] = self.latency.residence;
        format!(
            "{{\"scenario\": \"{}\", \"datagram_bytes\": {}, \"forwarded_per_cpu_s\": {forwarded:.0}, \
             \"limit_per_cpu_s\": {plain:.0}, \"limit_segmented_per_cpu_s\": {segmented:.0}, \
             \"share_of_limit\": {:.3}, \"loss\": {:.6}, \"half_load\": {{\"worker_load\": {:.2}, \
             \"end_to_end_p50_us\": {}, \"end_to_end_p99_us\": {}, \"end_to_end_p999_us\": {}, \
             \"limit_p50_us\": {}, \"limit_p99_us\": {}, \"residence_p50_us\": {residence_p50}, \
             \"residence_p99_us\": {residence_p99}}}}}",
            self.name,
            self.size,
            forwarded / plain,
            self.forwarded.loss(),
            self.latency.worker_load,
            times.quantile_us(0.5),
            times.quantile_us(0.99),
            times.quantile_us(0.999),
            self.latency.limit.quantile_us(0.5),
            self.latency.limit.quantile_us(0.99),
        )
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for result in &self.0 {
            writeln!(f, "{} ({} bytes on the wire)", result.name, result.size)?;
            let limit = result.plain.packets_per_cpu_s();
            for (name, line) in [
                ("forwarded by a worker", &result.forwarded),
                ("encrypt and sendmmsg", &result.plain),
                ("  the same, segmented", &result.segmented),
            ] {
                let rate = line.packets_per_cpu_s();
                writeln!(
                    f,
                    "  {name:<24} {rate:>10.0} packets per CPU second  {:>5.0} %  loss {:.3} %  busy {:>3.0} %  segmented {:>3.0} %",
                    rate / limit * 100.0,
                    line.loss() * 100.0,
                    line.cpu.as_secs_f64() / line.elapsed.as_secs_f64() * 100.0,
                    line.segmented as f64 / line.expected.max(1) as f64 * 100.0,
                )?;
            }
            let Latency { end_to_end, limit, residence: [p50, p99, max], worker_load, packets } =
                &result.latency;
            let [ours, bare] = [end_to_end, limit].map(|times| times.quantile_us(0.5));
            writeln!(
                f,
                "  at half load             worker busy {:.0} %, {packets} packets\n    publisher to sink      \
                 p50 {ours} us  p99 {} us  p99.9 {} us\n    bare loop to sink      p50 {bare} us  p99 {} us  p99.9 {} us\n    \
                 added                  p50 {} us, {:.2} times the bare loop's\n    inside the worker      p50 {p50} us  p99 {p99} us  max {max} us",
                worker_load * 100.0,
                end_to_end.quantile_us(0.99),
                end_to_end.quantile_us(0.999),
                limit.quantile_us(0.99),
                limit.quantile_us(0.999),
                ours.saturating_sub(bare),
                ours as f64 / bare.max(1) as f64,
            )?;
        }
        Ok(())
    }
}
