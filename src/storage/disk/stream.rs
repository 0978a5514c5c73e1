//! A file of any [`super::Disk`] as a stream of bytes, for what is copied between nodes.

use std::fmt;
use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

use super::DiskFile;
use crate::storage::offload::offload;

/// The most that is read or written at a time.
const STEP_BYTES_MAX: usize = 256 << 10;

/// Reads or writes from one place in a file on. It never blocks its task, and it syncs nothing.
pub struct DiskStream {
    file: Arc<dyn DiskFile>,
    at: u64,
    /// A step under way: what it has read, or how much it has written.
    step: Option<BoxFuture<'static, io::Result<Step>>>,
}

enum Step {
    Read(Vec<u8>),
    Written(usize),
}

impl fmt::Debug for DiskStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskStream at {} of {:?}", self.at, self.file)
    }
}

impl DiskStream {
    /// A stream that begins at an offset.
    #[must_use]
    pub fn new(file: Arc<dyn DiskFile>, at: u64) -> Self {
        let step = None;
        Self { file, at, step }
    }

    fn poll_step(
        &mut self,
        context: &mut Context<'_>,
        begin: impl FnOnce(Arc<dyn DiskFile>, u64) -> BoxFuture<'static, io::Result<Step>>,
    ) -> Poll<io::Result<Step>> {
        let (file, at) = (&self.file, self.at);
        let step = self.step.get_or_insert_with(|| begin(Arc::clone(file), at));
        let done = ready!(step.poll_unpin(context));
        self.step = None;
        if let Ok(step) = &done {
            self.at += match step {
                Step::Read(bytes) => bytes.len() as u64,
                Step::Written(bytes) => *bytes as u64,
            };
        }
        Poll::Ready(done)
    }
}

impl AsyncRead for DiskStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = buffer.remaining().min(STEP_BYTES_MAX);
        let read = ready!(self.get_mut().poll_step(context, |file, at| {
            let reading = offload(move || {
                let mut bytes = vec![0; most];
                let read = file.read_at(&mut bytes, at)?;
                bytes.truncate(read);
                Ok(Step::Read(bytes))
            });
            async { reading.await? }.boxed()
        }));
        match read? {
            Step::Read(bytes) => buffer.put_slice(&bytes),
            Step::Written(_) => return Poll::Ready(Err(mixed())),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for DiskStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.get_mut().poll_step(context, |file, at| {
            let bytes = bytes[..bytes.len().min(STEP_BYTES_MAX)].to_vec();
            let writing = offload(move || {
                file.write_at(&bytes, at)?;
                Ok(Step::Written(bytes.len()))
            });
            async { writing.await? }.boxed()
        }));
        match written? {
            Step::Written(bytes) => Poll::Ready(Ok(bytes)),
            Step::Read(_) => Poll::Ready(Err(mixed())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for DiskStream {
    fn start_seek(self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        let stream = self.get_mut();
        stream.step = None;
        stream.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => moved(stream.file.length()?, by)?,
            SeekFrom::Current(by) => moved(stream.at, by)?,
        };
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.at))
    }
}

fn moved(from: u64, by: i64) -> io::Result<u64> {
    from.checked_add_signed(by)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the file"))
}

/// A step that was begun one way and went on the other: its task was dropped in between.
fn mixed() -> io::Error {
    io::Error::other("a file was read and written through one stream at once")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

    use super::*;
    use crate::storage::disk::{Disk, FaultDisk};

    #[tokio::test]
    async fn what_is_written_is_read_from_any_place() {
        let disk = FaultDisk::new();
        let file = disk.create(Path::new("/file")).unwrap();
        let content: Vec<u8> = (0..STEP_BYTES_MAX as u32 * 2).map(|n| n as u8).collect();
        let mut stream = DiskStream::new(Arc::clone(&file), 0);
        stream.write_all(&content).await.unwrap();
        for at in [0, 1, STEP_BYTES_MAX as u64 + 3] {
            stream.seek(SeekFrom::Start(at)).await.unwrap();
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            assert!(read == content[at as usize..], "from {at}");
        }
    }
}
