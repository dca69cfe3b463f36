//! Receipts: who delivered telemetry learns when it is on the disk, and may forget it then.
//!
//! A receipt is given or torn, never forgotten: dropping it tears it.

use tokio::sync::oneshot;

/// The recorder's half.
#[derive(Debug)]
pub struct Receipt(oneshot::Sender<()>);

/// The half of whoever delivered.
#[derive(Debug)]
pub struct Kept(oneshot::Receiver<()>);

/// Both halves.
pub fn receipt() -> (Receipt, Kept) {
    let (give, kept) = oneshot::channel();
    (Receipt(give), Kept(kept))
}

impl Receipt {
    /// What it is for is kept, or is to be kept nowhere.
    pub fn give(self) {
        // Whoever waited may have gone.
        let _ = self.0.send(());
    }
}

impl Kept {
    /// Waits until it is known; whether it is kept. Cancel safe.
    pub async fn known(&mut self) -> bool {
        (&mut self.0).await.is_ok()
    }

    /// Whether it is kept; `None` while that is not known.
    pub fn so_far(&mut self) -> Option<bool> {
        match self.0.try_recv() {
            Ok(()) => Some(true),
            Err(oneshot::error::TryRecvError::Closed) => Some(false),
            Err(oneshot::error::TryRecvError::Empty) => None,
        }
    }
}
