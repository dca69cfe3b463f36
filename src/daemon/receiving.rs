//! The threads that take telemetry in, apart from everything else and after it.
//!
//! Decoding a storm takes all the processor it gets, and all it achieves is a queue that is full. The engine that
//! empties that queue, and the threads that answer people, come first: these threads ask the scheduler for less.
//! They must never carry anything that a person waits for on the socket.

use std::io;
use std::sync::mpsc::sync_channel;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

use crate::sources::{self, Listeners, Sources, Tls};

/// Threads that receive and decode.
const RECEIVING_THREADS: usize = 2;
/// What they are called, for `top -H`.
const RECEIVING_NAME: &str = "stormglass-in";
/// How much less of the processor they ask for, as `nice` counts: a third of what the engine gets where both want
/// all of it, and all of it where nobody else does.
#[cfg(target_os = "linux")]
const RECEIVING_NICE: i32 = 5;

/// Runs all sources on threads of their own until the handle is told to abort.
pub(super) fn receive(
    sources: Sources,
    listeners: Listeners,
    tls: Option<Tls>,
    beside: Router,
) -> io::Result<AbortHandle> {
    let (tell, told) = sync_channel(1);
    let work = move || {
        let begun = runtime().and_then(|runtime| Ok((moved(listeners, &runtime)?, runtime)));
        let (listeners, runtime) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                // Whoever asked waits for it.
                let _ = tell.send(Err(error));
                return;
            }
        };
        let run = async move { sources::run(&sources, listeners, tls, beside).await };
        let run = runtime.spawn(run);
        let _ = tell.send(Ok(run.abort_handle()));
        // It ends by being aborted.
        let _ = runtime.block_on(run);
        // What is still being decoded belongs to senders that were not answered: they send it again.
        runtime.shutdown_background();
    };
    std::thread::Builder::new()
        .name(RECEIVING_NAME.to_owned())
        .spawn(work)?;
    let gone = |_| io::Error::other("the thread that receives telemetry is gone");
    told.recv().map_err(gone)?
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RECEIVING_THREADS)
        .thread_name(RECEIVING_NAME)
        .on_thread_start(yield_to_others)
        .enable_all()
        .build()
}

/// Readiness is to be told to this runtime, not to the one that bound them.
fn moved(listeners: Listeners, runtime: &Runtime) -> io::Result<Listeners> {
    let _entered = runtime.enter();
    let again = |listener: Option<TcpListener>| {
        let listener = listener.map(TcpListener::into_std).transpose()?;
        listener.map(TcpListener::from_std).transpose()
    };
    let Listeners { main, otlp, grpc } = listeners;
    Ok(Listeners {
        main: again(main)?,
        otlp: again(otlp)?,
        grpc: again(grpc)?,
    })
}

/// Linux keeps the priority of each thread; elsewhere it is the process's, and stays as it is.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    // Without it everything works, only people wait for longer in a storm.
    let _ = rustix::process::nice(RECEIVING_NICE);
}
