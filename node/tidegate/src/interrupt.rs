//! The wish to stop: Ctrl-C, or SIGTERM.

use std::io;

use crate::exit::{Exit, Failure};

/// Waits for SIGINT or SIGTERM. From the first call on, they no longer end the process by
/// themselves.
pub struct Interrupt {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Interrupt {
    /// Begins to listen for the signals.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn listen() -> Result<Interrupt, Failure> {
        let failed = |error: io::Error| {
            Failure::of(Exit::Failed, &error).while_doing("cannot listen for signals")
        };
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Interrupt {
                terminate: signal(SignalKind::terminate()).map_err(failed)?,
                interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            })
        }
        #[cfg(not(unix))]
        Ok(Interrupt {})
    }

    /// Waits for the next one. Cancel-safe.
    pub async fn wait(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
