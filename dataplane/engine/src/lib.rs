//! The packet plane without sockets, threads or Python.
//!
//! Contract of every stateful part: `handle_*(.., now)` puts something in, `poll_*` takes results
//! out, and `poll_timeout` says when to call `handle_timeout` next. [`Engine`] is all of it for one
//! worker.
#![forbid(unsafe_code)]
// Until media goes through `Engine`, much of what it will use stands alone.
#![allow(dead_code)]

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
pub mod demux;
mod engine;
pub mod envelope;
pub mod error;
pub mod event;
mod events;
mod ice;
pub mod ids;
mod ingress;
pub mod keyframe;
pub mod layer;
pub mod load;
pub mod nack;
pub mod net;
mod offset_map;
mod output;
pub mod packet;
pub mod receive_estimate;
pub mod reception;
pub mod responder;
pub mod ring;
mod routes;
pub mod rtcp;
pub mod rtp;
pub mod rtt;
pub mod sctp;
pub mod sender;
pub mod seq_map;
pub mod seq_num;
pub mod speakers;
pub mod srtp;
pub mod stats;
pub mod stun;
mod timers;
pub mod timestamps;
mod transport;
pub mod twcc;
pub mod units;

pub use config::EngineConfig;
pub use engine::Engine;
