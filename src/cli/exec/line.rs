//! The line between `exec` and its guardian: a pair of sockets that keeps messages apart, and
//! whose end tells that the other side is dead, however it died.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg,
    socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// What `exec` tells its guardian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Order {
    /// The lease is certain until then, in nanoseconds of the boot-time clock. The first one
    /// starts the command.
    Until(u64),
    /// The command's group is to have this signal.
    Pass(i32),
}

/// What the guardian tells `exec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum News {
    /// The command runs, and this is its process and its group.
    Began(i32),
    /// The command was stopped, by this signal.
    Stopped(i32),
    /// The command is dead, and so is all that it started.
    Ended {
        /// Its exit code as a shell would tell it.
        code: u8,
        /// Whether it was ended, because the lease was lost.
        lost: bool,
    },
}

/// No message is longer.
const MESSAGE_MAX: usize = 64;

/// The two ends of a new line.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

fn written(message: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(message).expect("messages are plain numbers")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Sends the first order, together with the input that the command shall have: the guardian's own
/// is the line.
pub(super) fn send_first(
    line: BorrowedFd<'_>,
    order: Order,
    input: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let inputs = [input];
    let fits = beside.push(SendAncillaryMessage::ScmRights(&inputs));
    assert!(fits, "the space is for one");
    let bytes = written(&order);
    sendmsg(
        line,
        &[io::IoSlice::new(&bytes)],
        &mut beside,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Waits for the first order and the command's input; nothing if the other side is gone.
pub(super) fn receive_first(line: BorrowedFd<'_>) -> io::Result<Option<(Order, OwnedFd)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; MESSAGE_MAX];
    let into = &mut [io::IoSliceMut::new(&mut bytes)];
    let count = recvmsg(line, into, &mut beside, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let input = beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut inputs) => inputs.next(),
        _ => None,
    });
    let Some(input) = input else { return Ok(None) };
    Ok(Some((read(&bytes[..count])?, input)))
}

/// One end, once the first order has passed. tokio has no name for sockets that keep messages
/// apart; reads and writes here are always of one whole message.
#[derive(Debug)]
pub(super) struct Line(UnixStream);

impl Line {
    pub(super) fn new(end: OwnedFd) -> io::Result<Self> {
        let end = std::os::unix::net::UnixStream::from(end);
        end.set_nonblocking(true)?;
        Ok(Self(UnixStream::from_std(end)?))
    }

    /// The next message; nothing when the other side is gone. Cancellation-safe.
    pub(super) async fn next<T: DeserializeOwned>(&self) -> io::Result<Option<T>> {
        let mut bytes = [0; MESSAGE_MAX];
        let end = &self.0;
        let receive = || Ok(recv(end, bytes.as_mut_slice(), RecvFlags::empty())?.0);
        let received = end.async_io(Interest::READABLE, receive).await;
        match received {
            Ok(0) => Ok(None),
            Ok(count) => read(&bytes[..count]).map(Some),
            // It had not read all that it was told.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells the other side, without waiting for it: one that is stopped must not stop us too,
    /// and one that is gone is noticed by [`Self::next`].
    pub(super) fn tell(&self, message: &impl Serialize) {
        let _ = send(&self.0, &written(message), SendFlags::NOSIGNAL);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[tokio::test]
    async fn messages_arrive_whole_and_the_end_is_told() {
        let (ours, theirs) = pair().unwrap();
        let input = tempfile::tempfile().unwrap();
        send_first(ours.as_fd(), Order::Until(7), input.as_fd()).unwrap();
        let (order, _input) = receive_first(theirs.as_fd()).unwrap().unwrap();
        assert_eq!(order, Order::Until(7));

        let (ours, theirs) = (Line::new(ours).unwrap(), Line::new(theirs).unwrap());
        let ended = News::Ended {
            code: 7,
            lost: true,
        };
        theirs.tell(&News::Began(4711));
        theirs.tell(&ended);
        assert_eq!(ours.next().await.unwrap(), Some(News::Began(4711)));
        assert_eq!(ours.next().await.unwrap(), Some(ended));
        ours.tell(&Order::Pass(15));
        drop(theirs);
        assert_eq!(ours.next::<News>().await.unwrap(), None);
        ours.tell(&Order::Pass(15));
    }

    #[tokio::test]
    async fn one_that_does_not_listen_holds_nobody_up() {
        let (ours, theirs) = pair().unwrap();
        let ours = Line::new(ours).unwrap();
        for _ in 0..100_000 {
            ours.tell(&Order::Until(u64::MAX));
        }
        drop(theirs);
        assert_eq!(ours.next::<News>().await.unwrap(), None);
    }

    #[test]
    fn a_line_that_ends_before_the_first_order_is_told() {
        let (ours, theirs) = pair().unwrap();
        drop(ours);
        assert!(receive_first(theirs.as_fd()).unwrap().is_none());
    }
}
