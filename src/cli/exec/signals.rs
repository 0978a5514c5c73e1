//! Signals that are not for us.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

/// The signals that the command shall have instead of us.
pub(super) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// From now on they do not end us. To be called before the command starts: a signal in
    /// between would end us and leave it running.
    pub(super) fn catch() -> io::Result<Self> {
        let passed_on = [
            (Signal::HUP, SignalKind::hangup()),
            (Signal::INT, SignalKind::interrupt()),
            (Signal::QUIT, SignalKind::quit()),
            (Signal::TERM, SignalKind::terminate()),
            (Signal::USR1, SignalKind::user_defined1()),
            (Signal::USR2, SignalKind::user_defined2()),
            (Signal::TSTP, SignalKind::from_raw(Signal::TSTP.as_raw())),
            (Signal::CONT, SignalKind::from_raw(Signal::CONT.as_raw())),
        ];
        let caught = passed_on.map(|(signal, kind)| Ok((signal, unix::signal(kind)?)));
        Ok(Self(caught.into_iter().collect::<io::Result<_>>()?))
    }

    /// The next that comes. Cancellation-safe.
    pub(super) async fn next(&mut self) -> Signal {
        let waits = self.0.iter_mut().map(|(signal, arrivals)| {
            let signal = *signal;
            Box::pin(async move {
                arrivals.recv().await;
                signal
            })
        });
        futures_util::future::select_all(waits).await.0
    }
}
