//! One socket; a request in, its response out.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use wire::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use wire::{ApiMessage, Decode, ErrorCode, Reader, Request, ResponseHeader};

use crate::{Error, Result, Versions};

/// A response longer than this closes the connection: Kafka's own default bound for a frame.
const FRAME_MAX: usize = 100 << 20;

/// How connections are made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sent with every request; brokers show it in logs and quotas.
    pub client_id: String,
    /// To connect, and for each read and write. A response may take longer if it keeps flowing.
    pub timeout: Duration,
    /// Versions to use without asking the broker; for peers that do not serve ApiVersions.
    pub versions: Option<Versions>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            client_id: "millrace-client".to_owned(),
            timeout: Duration::from_secs(30),
            versions: None,
        }
    }
}

/// A blocking connection to one broker (one core of it, where cores have endpoints of their own).
///
/// After an error of kind [`Error::Io`], [`Error::Wire`] or [`Error::Protocol`] it is out of step
/// with its peer and must be dropped.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: String,
    client_id: String,
    correlation_id: i32,
    versions: Versions,
    /// The last response's frame without its size; responses borrow from it.
    frame: Vec<u8>,
}

impl Connection {
    /// Connects to `host:port` and asks which versions are served, unless the options know.
    ///
    /// # Errors
    /// [`Error::Io`], and those of [`call`](Self::call) for ApiVersions.
    pub fn open(host_port: &str, options: &Options) -> Result<Self> {
        let io = |source| Error::Io { peer: host_port.to_owned(), source };
        let stream = connect(host_port, options.timeout).map_err(io)?;
        stream.set_nodelay(true).map_err(io)?;
        stream.set_read_timeout(Some(options.timeout)).map_err(io)?;
        stream.set_write_timeout(Some(options.timeout)).map_err(io)?;
        let mut connection = Self {
            stream,
            peer: host_port.to_owned(),
            client_id: options.client_id.clone(),
            correlation_id: 0,
            versions: Versions::default(),
            frame: Vec::new(),
        };
        connection.versions = match &options.versions {
            Some(versions) => versions.clone(),
            None => connection.ask_versions()?,
        };
        Ok(connection)
    }

    /// `host:port` of the other end, as it was asked for.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// What the broker serves.
    #[must_use]
    pub const fn versions(&self) -> &Versions {
        &self.versions
    }

    /// The latest version of `R` that both ends speak.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn version_of<R: Request>(&self) -> Result<i16> {
        self.versions
            .latest::<R>()
            .ok_or_else(|| Error::Unsupported { peer: self.peer.clone(), api: R::API_KEY.name() })
    }

    /// Sends `request` in the latest version of both ends and waits for its response, which borrows
    /// from this connection. Error codes inside the response are the caller's to read.
    ///
    /// # Errors
    /// [`Error::Unsupported`]; [`Error::Io`], [`Error::Wire`], [`Error::Protocol`].
    pub fn call<R: Request>(&mut self, request: &R) -> Result<R::Response<'_>> {
        let version = self.version_of::<R>()?;
        self.call_version(request, version)
    }

    /// As [`call`](Self::call), in a given version, served or not.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_version<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response<'_>> {
        self.send(request, version)?;
        self.receive_frame()?;
        self.decode(R::Response::header_version(version), version)
    }

    /// Sends a request that has no response: Produce with acks=0.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn send<R: Request>(&mut self, request: &R, version: i16) -> Result<()> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let slices =
            wire::encode_request(request, self.correlation_id, Some(&self.client_id), version)
                .map_err(|source| self.wire_error(source))?;
        for slice in slices {
            self.stream.write_all(&slice).map_err(|source| self.io_error(source))?;
        }
        Ok(())
    }

    fn receive_frame(&mut self) -> Result<()> {
        let mut size = [0; wire::frame::SIZE_BYTES];
        self.read_exact_into(&mut size)?;
        let size = wire::frame::body_size(&size, FRAME_MAX)
            .map_err(|e| self.protocol_error(e.to_string()))?
            .unwrap_or(0);
        let mut frame = std::mem::take(&mut self.frame);
        frame.resize(size, 0);
        let read = self.read_exact_into(&mut frame);
        self.frame = frame;
        read
    }

    fn read_exact_into(&mut self, out: &mut [u8]) -> Result<()> {
        self.stream.read_exact(out).map_err(|source| self.io_error(source))
    }

    fn decode<'a, T: Decode<'a>>(&'a self, header_version: i16, version: i16) -> Result<T> {
        let mut reader = Reader::new(&self.frame);
        let header = ResponseHeader::decode(&mut reader, header_version)
            .map_err(|source| self.wire_error(source))?;
        if header.correlation_id != self.correlation_id {
            return Err(self.protocol_error(format!(
                "a response to request {} where {} was due",
                header.correlation_id, self.correlation_id
            )));
        }
        wire::decode(reader.remaining(), version).map_err(|source| self.wire_error(source))
    }

    /// A broker that does not know our version answers in version 0 with what it has (KIP-511).
    fn ask_versions(&mut self) -> Result<Versions> {
        const NEW: i16 = 3;
        let request = ApiVersionsRequest {
            client_software_name: "millrace".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
        };
        self.send(&request, NEW)?;
        self.receive_frame()?;
        let code = self.frame.get(4..6).map(|b| i16::from_be_bytes([b[0], b[1]]));
        if code == Some(ErrorCode::UnsupportedVersion as i16) {
            let response = self.call_version(&ApiVersionsRequest::default(), 0)?;
            return versions(&response);
        }
        let response: ApiVersionsResponse<'_> = self.decode(0, NEW)?;
        return versions(&response);

        fn versions(response: &ApiVersionsResponse<'_>) -> Result<Versions> {
            Error::check(response.error_code, None, || "ApiVersions".to_owned())?;
            Ok(Versions::of(response))
        }
    }

    fn io_error(&self, source: std::io::Error) -> Error {
        Error::Io { peer: self.peer.clone(), source }
    }

    fn wire_error(&self, source: wire::Error) -> Error {
        Error::Wire { peer: self.peer.clone(), source }
    }

    fn protocol_error(&self, problem: String) -> Error {
        Error::Protocol { peer: self.peer.clone(), problem }
    }
}

/// The first address that answers; a name may have several.
fn connect(host_port: &str, timeout: Duration) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for address in host_port.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) if is_itself(&stream, address) => {
                // A connect to a free port of the ephemeral range can meet itself.
                last = std::io::ErrorKind::ConnectionRefused.into();
            }
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn is_itself(stream: &TcpStream, address: SocketAddr) -> bool {
    stream.local_addr().is_ok_and(|local| local == address)
}
