//! TODO map
