//! Selectors with real payloads, sequence maps and rewriters (forwarding rules of each codec).

mod av1;
mod keyframes;
mod random;
mod simulcast;
mod temporal;
mod vp9;
