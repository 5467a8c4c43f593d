//! Tests of several codecs at once, and the encoders for them. Tests of one codec stand in its
//! file.

pub(super) mod encode;
mod golden;
mod pipeline;
