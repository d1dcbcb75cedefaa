//! Events as tuples: kind, worker, then fields in the order of `sfu/dataplane/events.py`.

use airside_engine::event::{CloseReason, Direction, Event, TransportState};
use airside_engine::ids::WorkerId;
use airside_engine::stats::{StatsColumns, Values};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

/// Stats tables: table name to column name to values.
fn tables<'py>(py: Python<'py>, stats: StatsColumns) -> PyResult<Bound<'py, PyDict>> {
    let tables = PyDict::new(py);
    for table in stats.tables {
        let columns = PyDict::new(py);
        for column in table.columns {
            match column.values {
                Values::U64(values) => columns.set_item(column.name, values)?,
                Values::F64(values) => columns.set_item(column.name, values)?,
            }
        }
        tables.set_item(table.name, columns)?;
    }
    Ok(tables)
}

pub(super) fn event<'py>(
    py: Python<'py>,
    worker: WorkerId,
    event: Event,
) -> PyResult<Bound<'py, PyTuple>> {
    let worker = worker.0;
    match event {
        Event::TransportState { transport, state, reason, remote } => {
            let remote = remote.map(|remote| (remote.ip().to_string(), remote.port()));
            let (state, reason) = (state_name(state), reason_name(reason));
            ("transport_state", worker, transport.0, state, reason, remote).into_pyobject(py)
        }
        Event::DataReady { transport } => ("data_ready", worker, transport.0).into_pyobject(py),
        Event::LayerStarted { track, layer, codec } => {
            ("layer_started", worker, track.0, layer, codec).into_pyobject(py)
        }
        Event::LayerStopped { track, layer } => {
            ("layer_stopped", worker, track.0, layer).into_pyobject(py)
        }
        Event::SlotLayer { slot, layer } => ("slot_layer", worker, slot.0, layer).into_pyobject(py),
        Event::SlotAllocation(news) => {
            let target = news.target.map(|layer| (layer.spatial, layer.temporal));
            let rates = (news.estimate_bps, news.available_bps, news.needed_bps);
            let (slot, paused, reason, text) = (news.slot.0, news.paused, news.reason, news.text);
            ("slot_allocation", worker, slot, target, paused, reason, text, rates).into_pyobject(py)
        }
        Event::WantedLayers { track, best } => {
            ("wanted_layers", worker, track.0, best).into_pyobject(py)
        }
        Event::KeyframeWanted { track, layer } => {
            ("keyframe_wanted", worker, track.0, layer).into_pyobject(py)
        }
        Event::Quality { transport, direction, verdict } => {
            let direction = direction_name(direction);
            let (class, score) = (verdict.class.as_str(), verdict.mos);
            ("quality", worker, transport.0, direction, class, score).into_pyobject(py)
        }
        Event::Speakers { room, speakers } => {
            let speakers = speakers.into_iter().map(|(track, level)| (track.0, level));
            let speakers = PyTuple::new(py, speakers.collect::<Vec<_>>())?;
            ("speakers", worker, room.0, speakers).into_pyobject(py)
        }
        Event::Speech { room, track, speaking, at } => {
            // An age, as clocks on both sides of the border have no common zero.
            let ago_s = at.elapsed().as_secs_f64();
            ("speech", worker, room.0, track.0, speaking, ago_s).into_pyobject(py)
        }
        Event::LocalRingClosed { ring, broken } => {
            ("local_ring_closed", worker, ring, broken).into_pyobject(py)
        }
        Event::Data { transport, topic, payload } => {
            let payload = PyBytes::new(py, &payload);
            ("data", worker, transport.0, topic, payload).into_pyobject(py)
        }
        Event::DataReceived { token, sequence } => {
            ("data_received", worker, token, sequence).into_pyobject(py)
        }
        Event::Stats { token, columns } => {
            ("stats", worker, token, tables(py, *columns)?).into_pyobject(py)
        }
        Event::CommandFailed { command, id, reason } => {
            ("command_failed", worker, command, id, reason).into_pyobject(py)
        }
        Event::Resync => ("resync", worker).into_pyobject(py),
    }
}

fn state_name(state: TransportState) -> &'static str {
    match state {
        TransportState::IceConnected => "ice_connected",
        TransportState::Connected => "connected",
        TransportState::Disconnected => "disconnected",
        TransportState::Closed => "closed",
    }
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "up",
        Direction::Down => "down",
    }
}

fn reason_name(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::None => "none",
        CloseReason::Removed => "removed",
        CloseReason::PeerClosed => "peer_closed",
        CloseReason::ConsentExpired => "consent_expired",
        CloseReason::HandshakeTimeout => "handshake_timeout",
        CloseReason::HandshakeFailed => "handshake_failed",
        CloseReason::FingerprintMismatch => "fingerprint_mismatch",
        CloseReason::DataBackpressure => "data_backpressure",
        CloseReason::Internal => "internal",
    }
}
