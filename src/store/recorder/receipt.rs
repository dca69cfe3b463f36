//! Receipts: who delivered telemetry learns when it is on the disk, and may forget it then.
//!
//! A receipt is given or torn, never forgotten: dropping it tears it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// The recorder's half, or a part of it.
#[derive(Debug)]
pub struct Receipt(Arc<Parts>);

/// What the parts of a receipt share. The sender is dropped with the last of them.
#[derive(Debug)]
struct Parts {
    /// Parts that were not given yet.
    missing: AtomicUsize,
    give: Mutex<Option<oneshot::Sender<()>>>,
}

/// The half of whoever delivered.
#[derive(Debug)]
pub struct Kept(oneshot::Receiver<()>);

/// Both halves.
pub fn receipt() -> (Receipt, Kept) {
    let (give, kept) = oneshot::channel();
    let parts = Parts {
        missing: AtomicUsize::new(1),
        give: Mutex::new(Some(give)),
    };
    (Receipt(Arc::new(parts)), Kept(kept))
}

impl Receipt {
    /// Another part, for what is delivered in pieces: whoever waits learns it once all are given.
    #[must_use]
    pub fn part(&self) -> Self {
        self.0.missing.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }

    /// What it is for is kept, or is to be kept nowhere.
    pub fn give(self) {
        if self.0.missing.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let mut give = self.0.give.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(give) = give.take() {
            // Whoever waited may have gone.
            let _ = give.send(());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_given_with_its_last_part_and_torn_with_any() {
        let (whole, mut kept) = receipt();
        let parts = [whole.part(), whole.part()];
        whole.give();
        assert_eq!(kept.so_far(), None);
        parts.into_iter().for_each(Receipt::give);
        assert_eq!(kept.so_far(), Some(true));

        let (whole, mut kept) = receipt();
        let torn = whole.part();
        drop(torn);
        assert_eq!(kept.so_far(), None);
        whole.give();
        assert_eq!(kept.so_far(), Some(false));
    }
}
