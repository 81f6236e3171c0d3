//! A non-blocking socket that yields whole frames.

use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use wire::frame::{SIZE_BYTES, body_size};

/// Responses longer than this are an error.
const FRAME_MAX: usize = 256 << 20;
const BUFFER_MIN: usize = 64 << 10;
const CONNECT: Duration = Duration::from_secs(10);

/// The receiving half and the descriptor; who sends writes to [`stream`](Self::stream) directly.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// `buffer[at..filled]` is what has come and was not taken.
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    framing: Framing,
}

/// What ends a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A size in front of it.
    Kafka,
    /// Lines, some of which announce a body.
    Nats,
}

/// How reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readable {
    /// The kernel has nothing more.
    Drained,
    /// The buffer is full: take frames and read again.
    Full,
    /// The peer has closed.
    Closed,
}

impl Socket {
    /// Connects, blocking; then never blocks again.
    ///
    /// # Errors
    /// Those of the socket calls.
    pub fn connect(host_port: &str) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in host_port.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                    return Ok(Self {
                        stream,
                        buffer: vec![0; BUFFER_MIN],
                        at: 0,
                        filled: 0,
                        framing: Framing::Kafka,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Another protocol than Kafka's.
    pub const fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// For writing and for registration.
    pub const fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Reads what is there, as far as the buffer reaches.
    ///
    /// # Errors
    /// Those of the socket, but never `WouldBlock`.
    pub fn read(&mut self) -> io::Result<Readable> {
        self.make_room()?;
        while self.filled < self.buffer.len() {
            match self.stream.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Ok(Readable::Closed),
                Ok(n) => {
                    self.filled += n;
                    // A short read means that the kernel's buffer is empty, as a rule: epoll says
                    // so if not.
                    if self.filled < self.buffer.len() {
                        return Ok(Readable::Drained);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Readable::Drained),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Readable::Full)
    }

    /// The next whole frame, without its size; for NATS, the next whole message.
    ///
    /// # Errors
    /// A size that no frame may have.
    pub fn frame(&mut self) -> io::Result<Option<&[u8]>> {
        let bytes = &self.buffer[self.at..self.filled];
        if self.framing == Framing::Nats {
            return Ok(super::nats::message_size(bytes)?.map(|size| {
                let from = self.at;
                self.at += size;
                &self.buffer[from..from + size]
            }));
        }
        let Some(size) = body_size(bytes, FRAME_MAX).map_err(io::Error::other)? else {
            return Ok(None);
        };
        if bytes.len() < SIZE_BYTES + size {
            return Ok(None);
        }
        let from = self.at + SIZE_BYTES;
        self.at = from + size;
        Ok(Some(&self.buffer[from..from + size]))
    }

    /// Moves what is left to the front, and grows the buffer to the frame that is coming.
    fn make_room(&mut self) -> io::Result<()> {
        if self.at == self.filled {
            self.at = 0;
            self.filled = 0;
            return Ok(());
        }
        let size = match self.framing {
            Framing::Kafka => body_size(&self.buffer[self.at..self.filled], FRAME_MAX)
                .map_err(io::Error::other)?
                .unwrap_or(0),
            // No message is longer than the buffer is from the start.
            Framing::Nats => 0,
        };
        if self.at + SIZE_BYTES + size > self.buffer.len() || self.filled == self.buffer.len() {
            self.buffer.copy_within(self.at..self.filled, 0);
            self.filled -= self.at;
            self.at = 0;
            if SIZE_BYTES + size > self.buffer.len() {
                self.buffer.resize(SIZE_BYTES + size + BUFFER_MIN, 0);
            }
        }
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    #[test]
    fn frames_of_all_sizes_come_whole_and_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let sizes = [0usize, 1, 70_000, 5, 1_000_000, 65_532, 3];
        let sender = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for (n, size) in sizes.into_iter().enumerate() {
                stream.write_all(&u32::try_from(size).unwrap().to_be_bytes()).unwrap();
                stream.write_all(&vec![u8::try_from(n).unwrap(); size]).unwrap();
            }
        });
        let mut socket = Socket::connect(&address).unwrap();
        let mut seen = 0;
        'all: loop {
            let state = socket.read().unwrap();
            while let Some(frame) = socket.frame().unwrap() {
                assert_eq!(frame.len(), sizes[seen]);
                assert!(frame.iter().all(|&b| usize::from(b) == seen));
                seen += 1;
                if seen == sizes.len() {
                    break 'all;
                }
            }
            assert_ne!(state, Readable::Closed);
        }
        sender.join().unwrap();
    }
}
