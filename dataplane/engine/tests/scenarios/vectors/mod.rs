//! Tricky cases packet by packet, each as small as it can be. `dataplane/VECTORS.md` lists them all, with
//! those that unit tests hold.

mod anything;
mod feedback;
mod ice;
mod keyframe;
mod repair;
mod srtp;
mod stage;
mod streams;
mod traces;
