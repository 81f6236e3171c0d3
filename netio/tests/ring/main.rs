//! What only the io_uring driver can show: real threads, real sockets, wake-ups, rest. What every driver owes is in
//! `conformance`.
mod echo;
mod files;
mod support;
