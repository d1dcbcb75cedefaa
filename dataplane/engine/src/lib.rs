//! The packet plane without sockets, threads or Python.
//!
//! Contract of every stateful part: `handle_*(.., now)` puts something in, `poll_*` takes results
//! out, and `poll_timeout` says when to call `handle_timeout` next.
#![forbid(unsafe_code)]

pub mod audio_level;
pub mod cache;
pub mod codec;
pub mod command;
pub mod demux;
pub mod envelope;
pub mod error;
pub mod ids;
pub mod keyframe;
pub mod load;
pub mod nack;
mod offset_map;
pub mod receive_estimate;
pub mod reception;
pub mod responder;
pub mod rtcp;
pub mod rtp;
pub mod rtt;
pub mod sctp;
pub mod sender;
pub mod seq_map;
pub mod seq_num;
pub mod speakers;
pub mod stun;
pub mod timestamps;
pub mod twcc;
pub mod units;
