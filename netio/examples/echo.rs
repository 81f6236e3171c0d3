//! Sends back what it gets, on one core: what a request costs before any broker does anything.
//!
//! `echo [CPU]` says its address on standard output, and ends with its standard input.
//! `millrace-bench floors` uses it for the round trip through a bare ring.
#![forbid(unsafe_code)]

use bytes::Bytes;
use netio::{Event, Io, Mesh, Options, Program, Turn};
use std::{io::Read, net::SocketAddr, sync::mpsc};

struct Echo(Io);

impl Program for Echo {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        for event in events.drain(..) {
            match event {
                Event::Accepted { conn, .. } => self.0.start_receiving(conn),
                Event::Readable { conn } => {
                    let Some(received) = self.0.take(conn) else {
                        continue;
                    };
                    let all = received.bytes().len();
                    let back = Bytes::copy_from_slice(received.bytes());
                    self.0.send(conn, [back]);
                    self.0.put_back(conn, received, all, 0, false);
                }
                Event::Stop => return Turn::Done,
                _ => {}
            }
        }
        Turn::Rest
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cpu = match std::env::args().nth(1) {
        Some(cpu) => Some(cpu.parse()?),
        None => None,
    };
    let options = Options { cpus: vec![cpu], ..Options::default() };
    let (address, addresses) = mpsc::channel::<netio::Result<SocketAddr>>();
    let boot: netio::Boot<()> = Box::new(move |io: Io, _: Mesh<()>| {
        Box::pin(async move {
            let listening = io.listen(SocketAddr::from(([127, 0, 0, 1], 0)));
            // Nobody waits for it any more if the process ends.
            let _ = address.send(listening.map(|listener| io.local_addr(listener)));
            Box::new(Echo(io)) as Box<dyn Program>
        })
    });
    let running = netio::start(options, vec![boot])?;
    println!("{}", addresses.recv()??);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    running.stop();
    Ok(running.join()?)
}
