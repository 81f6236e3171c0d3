//! Files. All operations are asynchronous; a [`File`] may be used by several operations at once.
//!
//! An operation that is dropped before it ends is cancelled if the kernel still can; its buffer
//! stays with the driver until the kernel has given it back.
use crate::{
    buffer::AlignedBuf,
    core::{io::Io, state::Pending},
    error::{Error, Result},
    seam::{Handle, Op, Outcome, Slot, index_of},
};
use bytes::Bytes;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// An open file of this core. Clones share the descriptor; it is closed when the last is dropped
/// (after the operations that are still in flight).
#[derive(Clone)]
pub struct File {
    inner: Rc<Inner>,
}

struct Inner {
    io: Io,
    handle: Handle,
    path: Rc<str>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.io.shared.state.borrow_mut().close_file(self.handle);
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.inner.path).finish()
    }
}

impl File {
    pub(crate) fn new(io: &Io, handle: Handle, path: Rc<str>) -> Self {
        Self { inner: Rc::new(Inner { io: io.clone(), handle, path }) }
    }
    pub(crate) fn handle(&self) -> Handle {
        self.inner.handle
    }
    pub(crate) fn path(&self) -> &Rc<str> {
        &self.inner.path
    }

    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file. Returns the
    /// buffer and the count.
    pub async fn read_at(&self, buf: AlignedBuf, offset: u64) -> (AlignedBuf, Result<usize>) {
        match self.op(Op::Read { file: self.handle(), buf, offset }).await {
            Outcome::Read { buf, result } => (buf, self.named(result)),
            other => panic!("a read ended with {other:?}"),
        }
    }
    /// Reads into ordinary memory (not for `direct` files).
    pub async fn read_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        match self.op(Op::ReadVec { file: self.handle(), buf: vec![0; len], offset }).await {
            Outcome::ReadVec { mut buf, result } => {
                buf.truncate(self.named(result)?);
                Ok(buf)
            }
            other => panic!("a read ended with {other:?}"),
        }
    }
    /// Writes all of `bytes` (its memory aligned if the file is `direct`). With `dsync` it is on
    /// the device when this returns (RWF_DSYNC): this write only, not earlier ones.
    pub async fn write_at(&self, bytes: Bytes, offset: u64, dsync: bool) -> Result<()> {
        self.write_all_at(vec![bytes], offset, dsync).await
    }
    /// As [`Self::write_at`], for several slices that follow each other in the file.
    pub async fn write_all_at(&self, slices: Vec<Bytes>, offset: u64, dsync: bool) -> Result<()> {
        self.done(Op::Write { file: self.handle(), slices, offset, dsync }).await
    }
    /// fsync, or fdatasync.
    pub async fn sync(&self, data_only: bool) -> Result<()> {
        self.done(Op::Sync { file: self.handle(), data_only }).await
    }
    /// fallocate: reserves space and extends the file; the new range reads as zeros.
    pub async fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        self.done(Op::Allocate { file: self.handle(), offset, len }).await
    }
    pub async fn truncate(&self, len: u64) -> Result<()> {
        self.done(Op::Truncate { file: self.handle(), len }).await
    }
    pub async fn len(&self) -> Result<u64> {
        match self.op(Op::Length { file: self.handle() }).await {
            Outcome::Length(result) => self.named(result),
            other => panic!("a stat ended with {other:?}"),
        }
    }
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.len().await? == 0)
    }

    fn op(&self, op: Op) -> Operation {
        Operation::submit(&self.inner.io, op)
    }
    async fn done(&self, op: Op) -> Result<()> {
        self.named(done(self.op(op).await))
    }
    fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|e| Error { on: self.inner.path.to_string(), ..e })
    }
}

/// The result of an operation that returns nothing else.
pub(crate) fn done(outcome: Outcome) -> Result<()> {
    match outcome {
        Outcome::Done(result) => result,
        other => panic!("an operation without a value ended with {other:?}"),
    }
}

/// Waits for an operation of the driver; cancels it when dropped.
pub(crate) struct Operation {
    io: Io,
    /// `None` when the outcome was given out.
    slot: Option<Slot>,
}

impl Operation {
    pub(crate) fn submit(io: &Io, op: Op) -> Self {
        let slot =
            io.shared.state.borrow_mut().submit(Pending::Task { waker: None, outcome: None }, op);
        Self { io: io.clone(), slot: Some(slot) }
    }
}

impl Future for Operation {
    type Output = Outcome;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let slot = self.slot.expect("an operation is not polled after its end");
        let mut state = self.io.shared.state.borrow_mut();
        let Some(Pending::Task { waker, outcome }) =
            state.in_flight(slot).map(|entry| &mut entry.pending)
        else {
            panic!("slot {slot:#x} is not a task's")
        };
        let Some(outcome) = outcome.take() else {
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            return Poll::Pending;
        };
        state.slots.remove(index_of(slot));
        drop(state);
        self.slot = None;
        Poll::Ready(outcome)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.io.shared.state.borrow_mut().forget(slot);
        }
    }
}
