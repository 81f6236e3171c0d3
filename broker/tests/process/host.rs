//! A process of the binary in a directory of its own, on ports that nobody else has.
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A process that has not ended, or not answered, after this hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a broker is to run.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) dir: TempDir,
    pub(crate) cores: u16,
    /// The first of the cores' ports.
    pub(crate) port: u16,
    pub(crate) admin: u16,
    pub(crate) arguments: Vec<String>,
}

impl Host {
    pub(crate) fn new(cores: u16) -> Self {
        let (port, admin) = free_ports(cores);
        Self { dir: tempfile::tempdir().unwrap(), cores, port, admin, arguments: Vec::new() }
    }

    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        let given = arguments.iter().map(|a| (*a).to_owned());
        self.arguments.extend(given);
        self
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    /// The command, with both streams piped.
    pub(crate) fn command(&self) -> Command {
        let mut command = command();
        command
            .arg("--data")
            .arg(self.data())
            .args(["--cores", &self.cores.to_string()])
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--admin", &format!("127.0.0.1:{}", self.admin)])
            // A test's disk may be nearly full.
            .args(["--set", "millrace.disk.reserve.bytes=0"])
            .args(&self.arguments);
        command
    }

    pub(crate) fn start(&self) -> Process {
        Process::spawn(&mut self.command())
    }

    /// A start that makes the directory, and its ordered end.
    pub(crate) fn start_and_stop(&self) {
        let process = self.start();
        self.wait_ready();
        process.signal("TERM");
        let ended = process.end();
        assert!(ended.status.success(), "{ended:?}");
    }

    /// A start with further arguments, which come to serve.
    pub(crate) fn start_with(&self, arguments: &[String]) -> Process {
        let process = Process::spawn(self.command().args(arguments));
        self.wait_ready();
        process
    }

    /// The process, once every core serves, or what it has left.
    pub(crate) fn ready_or_ended(&self, mut process: Process) -> Result<Process, Ended> {
        let since = Instant::now();
        loop {
            if process.child.try_wait().unwrap().is_some() {
                return Err(process.end());
            }
            if self.admin("/readyz").is_ok_and(|answer| answer.contains(" 200 ")) {
                return Ok(process);
            }
            assert!(since.elapsed() < PATIENCE, "neither ready nor at its end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the admin port says that every core serves.
    pub(crate) fn wait_ready(&self) {
        self.wait_admin("/readyz", |answer| answer.contains(" 200 "));
    }

    /// Waits until the admin port gives an answer that will do.
    pub(crate) fn wait_admin(&self, path: &str, will_do: impl Fn(&str) -> bool) {
        let since = Instant::now();
        loop {
            let answer = self.admin(path);
            if answer.as_deref().is_ok_and(&will_do) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{path}: {answer:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn admin(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// The binary with nothing of this process's environment that would configure it.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MILLRACE_") {
            command.env_remove(name);
        }
    }
    command
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A hangup is not ignored, although whoever runs the tests may have been told so (`nohup`), which
/// is inherited.
pub(crate) fn hears_hangups(inner: &Command) -> Command {
    wrapped(inner, "set -- env --default-signal=HUP \"$@\"")
}

/// The command behind a line of a shell, in the same process.
pub(crate) fn wrapped(inner: &Command, line: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{line}; exec \"$@\""), "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// The first of `cores` free ports in a row, and another one.
fn free_ports(cores: u16) -> (u16, u16) {
    let admin = TcpListener::bind("127.0.0.1:0").unwrap();
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let rest: Option<Vec<_>> = (1..cores)
            .map(|c| TcpListener::bind(("127.0.0.1", port.checked_add(c)?)).ok())
            .collect();
        if rest.is_some() {
            return (port, admin.local_addr().unwrap().port());
        }
    }
}

/// A running process. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    out: Option<JoinHandle<String>>,
    error: Option<JoinHandle<String>>,
}

/// What a process has left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Ended {
    /// The status of a process that ended by itself.
    pub(crate) fn code(&self) -> i32 {
        let signal = self.status.signal();
        self.status.code().unwrap_or_else(|| panic!("ended by signal {signal:?}: {self:?}"))
    }
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        fn reader(stream: Option<impl Read + Send + 'static>) -> Option<JoinHandle<String>> {
            let mut stream = stream?;
            Some(std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = stream.read_to_end(&mut bytes);
                String::from_utf8_lossy(&bytes).into_owned()
            }))
        }
        Self { out: reader(child.stdout.take()), error: reader(child.stderr.take()), child }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.unwrap().success(), "kill -{name}");
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        let since = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if since.elapsed() > PATIENCE {
                let _ = self.child.kill();
                let said = text(self.error.take());
                panic!("the process does not end; it said: {said}");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Ended { status, out: text(self.out.take()), error: text(self.error.take()) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(reader: Option<JoinHandle<String>>) -> String {
    reader.map_or_else(String::new, |reader| reader.join().unwrap())
}

/// A named pipe that nobody writes to: whoever opens it to read waits.
pub(crate) fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success(), "{}", path.display());
}
