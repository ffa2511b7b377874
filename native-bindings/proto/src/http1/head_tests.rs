//! Tests of head.rs.
