//! The packet plane without sockets, threads or Python.
//!
//! Contract of every stateful part: `handle_*(.., now)` puts something in, `poll_*` takes results
//! out, and `poll_timeout` says when to call `handle_timeout` next. [`Engine`] is all of it for one
//! worker.
#![forbid(unsafe_code)]

mod allocate;
pub mod allocator;
pub mod audio_level;
pub mod bwe;
pub mod cache;
pub mod clock;
mod close;
pub mod codec;
pub mod command;
mod config;
mod connect;
mod control;
pub mod data;
pub mod demux;
pub mod dynacast;
mod egress;
#[cfg(test)]
#[path = "../tests/encoders/mod.rs"]
mod encoders;
mod engine;
pub mod envelope;
pub mod error;
pub mod event;
mod events;
mod fanout;
mod feedback;
mod forward;
mod ice;
pub mod ids;
mod ingress;
pub mod keyframe;
pub mod layer;
pub mod layers;
pub mod load;
mod local;
pub mod nack;
pub mod net;
mod offset_map;
mod output;
mod pace;
pub mod pacer;
pub mod packet;
mod publish;
pub mod quality;
pub mod receive_estimate;
pub mod reception;
mod redundancy;
mod reports;
pub mod responder;
pub mod ring;
mod room_audio;
mod routes;
pub mod rtcp;
pub mod rtp;
pub mod rtt;
pub mod sctp;
pub mod sender;
mod sending;
pub mod seq_map;
pub mod seq_num;
mod slot;
pub mod speakers;
pub mod speech;
pub mod srtp;
mod statistics;
pub mod stats;
pub mod stun;
mod subscribe;
mod timers;
pub mod timestamps;
pub mod top_n;
mod track;
mod transport;
pub mod twcc;
pub mod units;
mod wanted;
mod watch;

pub use config::EngineConfig;
pub use engine::Engine;
pub use output::ClientMessage;
