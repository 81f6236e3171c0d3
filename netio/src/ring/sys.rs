//! The plain system calls around a ring: sockets, addresses, limits, CPUs, the lock file.
use crate::{
    error::{Error, Result},
    seam::Sharing,
};
use std::{
    io, mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    time::Duration,
};

/// A dead process's ring holds its port for some milliseconds after the process is gone.
const BIND_TRIES: u32 = 200;
const BIND_PAUSE: Duration = Duration::from_millis(5);
/// ... and its flock until its last write has ended.
const LOCK_TRIES: u32 = 400;
const LOCK_PAUSE: Duration = Duration::from_millis(5);
const BACKLOG: i32 = 1024;

pub(crate) fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// An address in the kernel's form.
#[repr(C)]
pub(crate) struct SockAddr {
    storage: libc::sockaddr_storage,
    pub(crate) len: libc::socklen_t,
}

impl SockAddr {
    fn empty() -> Self {
        // SAFETY: plain integers, for which zeros are valid.
        let storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        let len = size_of_val(&storage) as libc::socklen_t;
        Self { storage, len }
    }
    pub(crate) fn new(addr: SocketAddr) -> Self {
        let mut this = Self::empty();
        match addr {
            SocketAddr::V4(v4) => {
                let sin = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: sockaddr_storage is larger than, and aligned for, every address type.
                unsafe { (&raw mut this.storage).cast::<libc::sockaddr_in>().write(sin) };
                this.len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            SocketAddr::V6(v6) => {
                let sin6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe { (&raw mut this.storage).cast::<libc::sockaddr_in6>().write(sin6) };
                this.len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            }
        }
        this
    }
    pub(crate) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }
    fn get(&self) -> Option<SocketAddr> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says which type it is.
                let sin = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in>().read() };
                let ip = Ipv4Addr::from(sin.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(sin.sin_port))))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let sin6 = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in6>().read() };
                let ip = Ipv6Addr::from(sin6.sin6_addr.s6_addr);
                Some(SocketAddr::V6(SocketAddrV6::new(
                    ip,
                    u16::from_be(sin6.sin6_port),
                    sin6.sin6_flowinfo,
                    sin6.sin6_scope_id,
                )))
            }
            _ => None,
        }
    }
}

fn set_option(fd: RawFd, level: i32, name: i32) {
    let on: i32 = 1;
    // SAFETY: a valid integer of the given size. A failure costs speed only.
    unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const on).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
}

/// A TCP socket without Nagle's delay.
pub(crate) fn tcp_socket(addr: SocketAddr) -> std::result::Result<OwnedFd, i32> {
    let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers.
    let fd =
        unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, libc::IPPROTO_TCP) };
    if fd < 0 {
        return Err(last_errno());
    }
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY);
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds and listens; waits a moment when the port is still held by a dead process. Accepted
/// sockets inherit TCP_NODELAY.
pub(crate) fn listen(addr: SocketAddr, sharing: Sharing) -> Result<(OwnedFd, SocketAddr)> {
    if sharing == Sharing::First {
        // SO_REUSEPORT would let us share the port with another process of the same user, which
        // takes half our connections.
        drop(listen(addr, Sharing::Alone)?);
    }
    let failed = |op| move |errno| Error::new(op, addr.to_string(), errno);
    let socket = tcp_socket(addr).map_err(failed("socket"))?;
    let fd = socket.as_raw_fd();
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR);
    if sharing != Sharing::Alone {
        set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT);
    }
    let address = SockAddr::new(addr);
    for tries in 1.. {
        // SAFETY: a valid address of the given length.
        if unsafe { libc::bind(fd, address.as_ptr(), address.len) } == 0 {
            break;
        }
        let errno = last_errno();
        if errno != libc::EADDRINUSE || tries == BIND_TRIES {
            return Err(failed("bind")(errno));
        }
        std::thread::sleep(BIND_PAUSE);
    }
    // SAFETY: no pointers.
    if unsafe { libc::listen(fd, BACKLOG) } != 0 {
        return Err(failed("listen")(last_errno()));
    }
    let mut bound = SockAddr::empty();
    // SAFETY: valid memory of the length that `len` says.
    if unsafe { libc::getsockname(fd, (&raw mut bound.storage).cast(), &mut bound.len) } != 0 {
        return Err(failed("getsockname")(last_errno()));
    }
    Ok((socket, bound.get().unwrap_or(addr)))
}

/// `None` when the peer is gone already.
pub(crate) fn peer_of(fd: RawFd) -> Option<SocketAddr> {
    let mut peer = SockAddr::empty();
    // SAFETY: valid memory of the length that `len` says.
    let result = unsafe { libc::getpeername(fd, (&raw mut peer.storage).cast(), &mut peer.len) };
    if result == 0 { peer.get() } else { None }
}

/// Queues a FIN behind what was sent; does not wait for anything. It fails only on a connection
/// that is broken.
pub(crate) fn finish_sending(fd: RawFd) {
    // SAFETY: no pointers.
    unsafe { libc::shutdown(fd, libc::SHUT_WR) };
}

pub(crate) fn close(fd: RawFd) {
    // SAFETY: the caller owns the descriptor and gives it up.
    unsafe { libc::close(fd) };
}

/// Runs this thread on one CPU.
pub(crate) fn pin_to(cpu: usize) -> Result<()> {
    let in_a_set = cpu < libc::CPU_SETSIZE as usize;
    if !(in_a_set && core_affinity::set_for_current(core_affinity::CoreId { id: cpu })) {
        return Err(Error::new(
            "sched_setaffinity",
            format!("CPU {cpu}; choose CPUs this process may run on"),
            last_errno(),
        ));
    }
    Ok(())
}

/// Gives this thread a nice value, and what it starts (io-wq workers are its children) none
/// below 0. False: it may not.
pub(crate) fn set_nice(nice: i32) -> bool {
    let attr = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: libc::SCHED_FLAG_RESET_ON_FORK as u64,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: a valid struct that says its size; 0 is the calling thread.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) == 0 }
}

/// Lets this thread run on these CPUs, or on all that the process may use. Best effort.
pub(crate) fn run_on(cpus: &[usize]) {
    let all: Vec<usize> = (0..libc::CPU_SETSIZE as usize).collect();
    let set = cpu_set(if cpus.is_empty() { &all } else { cpus });
    // SAFETY: a valid set of the given size.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) };
}

pub(crate) fn cpu_set(cpus: &[usize]) -> libc::cpu_set_t {
    // SAFETY: plain integers, for which zeros are valid.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for &cpu in cpus.iter().filter(|&&cpu| cpu < libc::CPU_SETSIZE as usize) {
        // SAFETY: cpu is in the set's range.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    set
}

/// Memory at the end of a thread's heap that is given back as soon as it is free: nothing else
/// gives it back, and by default this grows to 64 MiB with what is freed.
const HEAP_END_BYTES: libc::c_int = 8 << 20;
/// An allocation of this size or more is a mapping of its own, which is gone when it is freed.
const MAPPED_BYTES: libc::c_int = HEAP_END_BYTES / 2;

/// Bounds what the heaps of threads keep of freed memory at their ends. To be called before there
/// are threads.
pub fn bound_heaps() {
    // Other C libraries have no such heaps.
    #[cfg(target_env = "gnu")]
    // SAFETY: plain settings. One that is refused is as it was.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, HEAP_END_BYTES);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
    };
}

/// Gives the pages of freed memory back to the system, of all threads' heaps. Each is locked while
/// it is looked through, so its thread waits if it allocates then: milliseconds after a burst of
/// many small pieces. Not for cores.
pub fn give_back_memory() {
    // Other C libraries give back by themselves.
    #[cfg(target_env = "gnu")]
    // SAFETY: takes the allocator's locks, and touches only what is free.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Raises the soft limit of open files to the hard one; returns what now holds.
pub fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid struct.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return 0;
    }
    let wanted = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
    // SAFETY: a valid struct.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &wanted) } == 0 {
        limit.rlim_max
    } else {
        limit.rlim_cur
    }
}

/// Writes at the beginning of a file, on the device before it returns; the errno if not, or not
/// all.
pub(crate) fn write_synced(fd: RawFd, bytes: &[u8]) -> std::result::Result<(), i32> {
    let slice = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: one slice of valid memory, which a write does not change.
    let written = unsafe { libc::pwritev2(fd, &raw const slice, 1, 0, libc::RWF_DSYNC) };
    match usize::try_from(written) {
        Ok(written) if written == bytes.len() => Ok(()),
        Ok(_) => Err(libc::ENOSPC),
        Err(_) => Err(last_errno()),
    }
}

/// A locked data directory: for as long as these descriptors, or a ring that they are registered
/// with, live.
#[derive(Debug)]
pub(crate) struct Lock {
    file: OwnedFd,
    /// `None` on a file system that locks no directories.
    dir: Option<OwnedFd>,
}

impl Lock {
    /// To be registered with every ring.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let dir = self.dir.iter().map(AsRawFd::as_raw_fd);
        dir.chain([self.file.as_raw_fd()]).collect()
    }
}

/// Locks the directory of the lock file, and the lock file, which is made if it is not there.
///
/// The directory too: to remove a "stale" lock file is a habit, and frees the name, not the
/// directory.
///
/// ```text
/// 1. a broker holds the flock of DATA/lock; somebody removes the file
/// 2. a second broker makes a new DATA/lock, whose flock is free, and writes over what the first one writes
/// ```
/// After SIGKILL the dead process's ring still writes: its flocks, being registered with the ring,
/// outlast its last write. So they are waited for, for about two seconds; then a living process
/// must hold them.
pub(crate) fn lock(path: &Path) -> Result<Lock> {
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    let dir = open(parent, libc::O_RDONLY | libc::O_DIRECTORY)?;
    let dir = match flock(&dir, parent) {
        Ok(()) => Some(dir),
        Err(error) if error.errno == libc::EWOULDBLOCK => return Err(error),
        // NFS locks files that are open for writing, and a directory never is.
        Err(_) => None,
    };
    let file = open(path, libc::O_RDWR | libc::O_CREAT)?;
    flock(&file, path)?;
    Ok(Lock { file, dir })
}

fn open(path: &Path, how: libc::c_int) -> Result<OwnedFd> {
    let name = path.to_string_lossy();
    let c_path = std::ffi::CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::new("lock", &*name, libc::EINVAL))?;
    // SAFETY: a terminated string.
    let fd = unsafe { libc::open(c_path.as_ptr(), how | libc::O_CLOEXEC, 0o644) };
    if fd < 0 {
        let dir = path.parent().unwrap_or(path);
        return Err(super::directory::refused(dir, "open", path, last_errno()));
    }
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn flock(file: &OwnedFd, path: &Path) -> Result<()> {
    let name = path.to_string_lossy();
    for _ in 0..LOCK_TRIES {
        // SAFETY: no pointers.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(());
        }
        let errno = last_errno();
        if errno != libc::EWOULDBLOCK && errno != libc::EINTR {
            return Err(Error::new("flock", &*name, errno));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Err(Error::new(
        "flock",
        format!("{name} (another process uses this directory: stop it, or choose another)"),
        libc::EWOULDBLOCK,
    ))
}
