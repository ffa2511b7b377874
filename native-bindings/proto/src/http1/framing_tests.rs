//! Tests of framing.rs.
