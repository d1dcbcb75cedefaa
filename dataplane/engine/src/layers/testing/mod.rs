//! A subscriber that puts the parts together, for tests.

mod subscriber;

pub(super) use crate::encoders::{Av1, Sent, Stream, Vp8, Vp9};
pub(super) use subscriber::{Received, Subscriber, assert_contiguous};
