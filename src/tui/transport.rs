//! Speaks the API for the console: one task for the watch stream, one for each request in flight.
//! Whatever fails is told in words; the watch tries again by itself, a command never does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;

use crate::api::client::{Client, ClientError};

use super::link::{FarEnd, Request, Update};

/// Between attempts to watch: the first wait, doubled up to the last, in milliseconds.
const RETRY_MS: [u64; 2] = [250, 4_000];
/// Requests in flight at once; the others wait in the link's queue.
const IN_FLIGHT_MAX: usize = 8;
/// Alerts in a page.
const PAGE_ALERTS: usize = 200;

/// Serves the console until it hangs up.
pub async fn serve(client: Client, mut far: FarEnd) {
    let mut watch = tokio::spawn(watch(client.clone(), far.updates.clone()));
    let mut in_flight = JoinSet::new();
    while let Some(request) = far.requests.recv().await {
        if request == Request::Snapshot {
            watch.abort();
            watch = tokio::spawn(self::watch(client.clone(), far.updates.clone()));
            continue;
        }
        while in_flight.len() >= IN_FLIGHT_MAX {
            in_flight.join_next().await;
        }
        let round_trip_ms = Arc::clone(&far.round_trip_ms);
        let asked = answer(client.clone(), request, far.updates.clone(), round_trip_ms);
        in_flight.spawn(asked);
    }
    watch.abort();
}

async fn watch(client: Client, updates: Sender<Update>) {
    let mut wait_ms = RETRY_MS[0];
    loop {
        let why = match follow(&client, &updates, &mut wait_ms).await {
            Ok(()) => "the daemon ended the connection".to_owned(),
            Err(error) => error.to_string(),
        };
        if updates.send(Update::Lost { why }).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        wait_ms = (wait_ms * 2).min(RETRY_MS[1]);
    }
}

/// Passes messages on until the stream ends.
async fn follow(
    client: &Client,
    updates: &Sender<Update>,
    wait_ms: &mut u64,
) -> Result<(), ClientError> {
    let mut stream = client.watch().await?;
    while let Some(message) = stream.next().await? {
        *wait_ms = RETRY_MS[0];
        if updates.send(Update::Watch(message)).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn answer(
    client: Client,
    request: Request,
    updates: Sender<Update>,
    round_trip_ms: Arc<AtomicU32>,
) {
    let asked = Instant::now();
    // An incident is small and at hand: how long it takes is the link's doing.
    let tells_of_the_link = matches!(request, Request::Detail(_));
    let update = ask(&client, &request)
        .await
        .unwrap_or_else(|error| failed(request, &error));
    if tells_of_the_link && matches!(update, Update::Detail(_)) {
        let took_ms = u32::try_from(asked.elapsed().as_millis()).unwrap_or(u32::MAX);
        round_trip_ms.store(took_ms, Ordering::Relaxed);
    }
    // A console that has gone needs no answer.
    let _ = updates.send(update).await;
}

fn failed(request: Request, error: &ClientError) -> Update {
    let why = error.to_string();
    match (request, error) {
        (Request::Command(command), ClientError::InDoubt { .. }) => {
            let command = Box::new(command);
            Update::InDoubt { command, why }
        }
        (request, _) => Update::Failed {
            request: Box::new(request),
            why,
        },
    }
}

async fn ask(client: &Client, request: &Request) -> Result<Update, ClientError> {
    Ok(match request {
        Request::Snapshot => Update::Watch(crate::api::WatchMessage::Snapshot(Box::new(
            client.view().await?,
        ))),
        Request::Detail(id) => Update::Detail(Box::new(client.incident(*id).await?)),
        Request::Panels { incident, entity } => Update::Panels {
            incident: *incident,
            entity: entity.clone(),
            panels: Box::new(client.panels(*incident, entity.as_ref()).await?),
        },
        Request::Recorded {
            incident,
            purpose,
            from,
            to,
        } => Update::Recorded {
            incident: *incident,
            purpose: *purpose,
            recorded: Box::new(
                client
                    .recorded(*incident, (*from, *to), purpose.part())
                    .await?,
            ),
        },
        Request::Alerts { after } => Update::Alerts {
            after: after.clone(),
            page: client
                .alerts_by_urgency(after.as_deref(), PAGE_ALERTS)
                .await?,
        },
        Request::AlertsOf { incident } => Update::AlertsOf {
            incident: *incident,
            page: client.alerts(Some(*incident), None, PAGE_ALERTS).await?,
        },
        Request::Runbooks { incident, target } => Update::Runbooks {
            incident: *incident,
            rows: client.runbooks(Some((*incident, target))).await?,
        },
        Request::Why { series, at } => Update::Why {
            series: *series,
            answer: Box::new(client.why(&series.0.to_string(), *at).await?),
        },
        Request::Lines {
            entity,
            template,
            limit,
            from,
            to,
        } => Update::Lines {
            entity: entity.clone(),
            template: template.clone(),
            read: Box::new(
                client
                    .lines((entity, template), (*from, *to), *limit)
                    .await?,
            ),
        },
        Request::Dependence(entity) => Update::Dependence {
            entity: entity.clone(),
            told: Box::new(client.dependence(entity).await?),
        },
        Request::Ledger => Update::Ledger(Box::new(client.ledger().await?)),
        Request::Preview { matchers } => Update::Preview {
            matchers: matchers.clone(),
            preview: Box::new(client.preview_silence(matchers).await?),
        },
        Request::Command(command) => Update::Replied(client.command(command).await?),
    })
}
