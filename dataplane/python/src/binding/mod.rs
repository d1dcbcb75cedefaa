//! The Python class. Every call is coarse; what may take long lets other Python threads run.

// Arguments of Python methods are extracted into owned values.
#![allow(clippy::needless_pass_by_value)]

mod commands;
mod events;

use std::net::SocketAddr;
use std::os::fd::IntoRawFd;
use std::time::Duration;

use airside_emulator::ConfigError;
use airside_engine::ClientMessage;
use airside_engine::ids::{TapId, TrackId, TransportId, WorkerId};
use bytes::Bytes;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::local_ring::Handover;
use crate::shell::{Shell, ShellConfig, StartError, UseError};
use crate::wires::WireConfig;

/// All packet workers of one process. See `_native.pyi` for the contract.
#[pyclass(frozen, module = "sfu.dataplane._native")]
pub(crate) struct Plane {
    shell: Shell,
}

/// One packet of a local source: timestamp, marker, audio level, payload.
type LocalPacket = (u32, bool, Option<u8>, Vec<u8>);
/// One packet of a tap: layer, extended sequence number, timestamp, marker, payload.
type TapPacket<'py> = (u8, u64, u32, bool, Bound<'py, PyBytes>);
/// Packets of one tap of many: the tap, and of each packet also the index of its codec.
type TapPackets<'py> = (u64, Vec<(u8, u8, u64, u32, bool, Bound<'py, PyBytes>)>);
/// One player: track, frames that wait, frames played, gaps, frames dropped.
type PlayerLine = (u64, usize, u64, u64, u64);
/// One received data message: transport, whether reliable, envelope.
type Message<'py> = (u64, bool, Bound<'py, PyBytes>);

#[pymethods]
impl Plane {
    #[new]
    #[pyo3(signature = (*, workers, bind, port_per_worker, voices, seed))]
    fn new(
        py: Python<'_>,
        workers: u8,
        bind: Vec<String>,
        port_per_worker: bool,
        voices: usize,
        seed: u64,
    ) -> PyResult<Self> {
        let bind = bind.iter().map(|text| address(text)).collect::<PyResult<_>>()?;
        let config = ShellConfig { workers, bind, port_per_worker, voices, seed };
        let shell = py.detach(|| Shell::start(&config)).map_err(|error| match error {
            StartError::Config(_) => PyValueError::new_err(error.to_string()),
            StartError::Bind { .. } | StartError::Thread(_) => {
                PyOSError::new_err(error.to_string())
            }
            StartError::Identity(_) => PyRuntimeError::new_err(error.to_string()),
        })?;
        Ok(Self { shell })
    }

    #[getter]
    fn fingerprint(&self) -> &str {
        self.shell.fingerprint()
    }

    #[getter]
    fn addresses(&self) -> Vec<Vec<String>> {
        let workers = self.shell.addresses().iter();
        workers.map(|mine| mine.iter().map(ToString::to_string).collect()).collect()
    }

    #[getter]
    fn event_fd(&self) -> i32 {
        self.shell.event_fd()
    }

    #[getter]
    fn age_s(&self) -> f64 {
        self.shell.epoch().elapsed().as_secs_f64()
    }

    fn submit(&self, worker: u8, commands: Vec<Bound<'_, PyAny>>) -> PyResult<()> {
        let commands = commands.iter().map(commands::command).collect::<PyResult<_>>()?;
        self.shell.submit(WorkerId(worker), commands).map_err(misused)
    }

    fn drain<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let news = self.shell.drain(limit).into_iter();
        news.map(|(worker, event)| events::event(py, worker, event)).collect()
    }

    #[getter]
    fn message_fd(&self) -> i32 {
        self.shell.message_fd()
    }

    fn drain_messages<'py>(&self, py: Python<'py>, limit: usize) -> Vec<Message<'py>> {
        let messages = self.shell.drain_messages(limit).into_iter();
        let line = |message: ClientMessage| {
            (message.transport.0, message.reliable, PyBytes::new(py, &message.bytes))
        };
        messages.map(line).collect()
    }

    fn send_messages(
        &self,
        worker: u8,
        transport: u64,
        messages: Vec<(bool, Bound<'_, PyBytes>)>,
    ) -> PyResult<()> {
        let copy = |(reliable, bytes): (bool, Bound<'_, PyBytes>)| {
            (reliable, Bytes::copy_from_slice(bytes.as_bytes()))
        };
        let messages = messages.into_iter().map(copy).collect();
        let (worker, transport) = (WorkerId(worker), TransportId(transport));
        self.shell.send_messages(worker, transport, messages).map_err(misused)
    }

    fn unsent(&self, transport: u64) -> usize {
        self.shell.unsent(TransportId(transport))
    }

    #[pyo3(signature = (worker, address, network=None))]
    fn open_socket(
        &self,
        worker: u8,
        address: &str,
        network: Option<(String, String, u64)>,
    ) -> PyResult<(u16, String)> {
        let address = self::address(address)?;
        let wire = network.map(wire).transpose()?;
        let (number, bound) = self.shell.open_socket(WorkerId(worker), address, wire)?;
        Ok((number, bound.to_string()))
    }

    fn close_socket(&self, worker: u8, number: u16) -> PyResult<()> {
        self.shell.close_socket(WorkerId(worker), number).map_err(misused)
    }

    fn create_local_ring(&self, worker: u8) -> PyResult<(u16, (i32, i32))> {
        let (number, handover) = self.shell.create_local_ring(WorkerId(worker))?;
        // They are Python's from now on.
        Ok((number, (handover.memory.into_raw_fd(), handover.socket.into_raw_fd())))
    }

    fn join_local_ring(&self, worker: u8, memory: i32, socket: i32) -> PyResult<u16> {
        let handover = Handover::duplicate(memory, socket)?;
        Ok(self.shell.join_local_ring(WorkerId(worker), handover)?)
    }

    fn close_local_ring(&self, worker: u8, number: u16) -> PyResult<()> {
        self.shell.close_local_ring(WorkerId(worker), number).map_err(misused)
    }

    fn open_tap(&self, worker: u8, tap: u64) -> PyResult<()> {
        self.shell.open_tap(WorkerId(worker), TapId(tap)).map_err(misused)
    }

    fn close_tap(&self, worker: u8, tap: u64) -> PyResult<()> {
        self.shell.close_tap(WorkerId(worker), TapId(tap)).map_err(misused)
    }

    fn read_tap<'py>(
        &self,
        py: Python<'py>,
        tap: u64,
        limit: usize,
    ) -> PyResult<Vec<TapPacket<'py>>> {
        let packets = self.shell.read_tap(TapId(tap), limit).map_err(misused)?;
        let packets = packets.iter().map(|packet| {
            let payload = PyBytes::new(py, &packet.payload);
            (packet.layer, packet.ext_seq, packet.timestamp, packet.marker, payload)
        });
        Ok(packets.collect())
    }

    fn read_taps<'py>(
        &self,
        py: Python<'py>,
        taps: Vec<u64>,
        limit: usize,
    ) -> Vec<TapPackets<'py>> {
        let taps: Vec<_> = taps.into_iter().map(TapId).collect();
        let read = self.shell.read_taps(&taps, limit).into_iter();
        read.map(|(tap, packets)| {
            let lines = packets.iter().map(|packet| {
                let payload = PyBytes::new(py, &packet.payload);
                let (layer, codec) = (packet.layer, packet.codec);
                (layer, codec, packet.ext_seq, packet.timestamp, packet.marker, payload)
            });
            (tap.0, lines.collect())
        })
        .collect()
    }

    fn open_player(&self, worker: u8, track: u64, timestamp: u32) -> PyResult<()> {
        self.shell.open_player(WorkerId(worker), TrackId(track), timestamp).map_err(misused)
    }

    fn play(&self, worker: u8, track: u64, frames: Vec<(u8, Bound<'_, PyBytes>)>) -> PyResult<()> {
        let frames =
            frames.into_iter().map(|(level, payload)| (level, payload.as_bytes().to_vec()));
        self.shell.play(WorkerId(worker), TrackId(track), frames.collect()).map_err(misused)
    }

    fn flush_player(&self, worker: u8, track: u64) -> PyResult<()> {
        self.shell.flush_player(WorkerId(worker), TrackId(track)).map_err(misused)
    }

    fn pause_player(&self, worker: u8, track: u64, paused: bool) -> PyResult<()> {
        self.shell.pause_player(WorkerId(worker), TrackId(track), paused).map_err(misused)
    }

    fn close_player(&self, worker: u8, track: u64) -> PyResult<()> {
        self.shell.close_player(WorkerId(worker), TrackId(track)).map_err(misused)
    }

    fn players(&self) -> Vec<PlayerLine> {
        let players = self.shell.players().into_iter();
        players.map(|(track, is)| (track.0, is.queued, is.played, is.gaps, is.dropped)).collect()
    }

    fn write_track(
        &self,
        worker: u8,
        track: u64,
        layer: u8,
        packets: Vec<LocalPacket>,
    ) -> PyResult<()> {
        let (worker, track) = (WorkerId(worker), TrackId(track));
        self.shell.write_track(worker, track, layer, packets).map_err(misused)
    }

    fn close(&self, py: Python<'_>, deadline_s: f64) -> PyResult<()> {
        let deadline = Duration::try_from_secs_f64(deadline_s)
            .map_err(|error| PyValueError::new_err(format!("deadline_s: {error}")))?;
        if py.detach(|| self.shell.close(deadline)) {
            return Ok(());
        }
        Err(PyTimeoutError::new_err("a packet worker did not end in time"))
    }
}

fn address(text: &str) -> PyResult<SocketAddr> {
    text.parse().map_err(|_| {
        PyValueError::new_err(format!("{text:?} is not an address like 0.0.0.0:7882 or [::]:7882"))
    })
}

fn wire((up, down, seed): (String, String, u64)) -> PyResult<WireConfig> {
    let link = |text: String| {
        text.parse().map_err(|error: ConfigError| PyValueError::new_err(error.to_string()))
    };
    Ok(WireConfig { up: link(up)?, down: link(down)?, seed })
}

fn misused(error: UseError) -> PyErr {
    match error {
        UseError::Worker | UseError::Tap => PyValueError::new_err(error.to_string()),
        UseError::Closed | UseError::Sockets => PyRuntimeError::new_err(error.to_string()),
    }
}
