//! Tests of several codecs at once, and what they write with. Those of one stand in its file.

pub(super) mod encode;
mod golden;
mod pipeline;
