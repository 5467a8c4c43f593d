//! Tests of the whole collection: golden cases, a naive model, life cycle.

mod golden;
