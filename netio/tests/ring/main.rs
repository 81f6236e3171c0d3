//! What only the io_uring driver can show: real threads, real sockets, wake-ups, rest. What every
//! driver owes is in `conformance`.
mod back_pressure;
mod cores;
mod echo;
mod files;
mod finished;
mod lock;
mod measure;
mod support;
