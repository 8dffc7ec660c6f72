//! One connection: hello, then its streams, each in a task of its own.
//!
//! What a stream may do depends on the certificate: clients and nodes of this site do everything,
//! the link of another site writes to that site's mirrors and nothing else.

use std::error::Error;
use std::sync::Arc;

use tidegate_transport::{FrameSender, Incoming, OpenedStream, Role, StreamRequest};
use tidegate_wire::SubscribeReply;
use tidegate_wire::{ErrorBody, ErrorCode, HelloReply, MirrorReply, Open, ProduceReply, Response};
use tokio::task::JoinSet;

use crate::Broker;
use crate::{admin, error, mirror, produce_session, subscribe};

/// Serves a connection from its handshake until either side closes it.
pub(crate) async fn serve(broker: Arc<Broker>, incoming: Incoming) {
    let remote = incoming.remote_address();
    let established = tokio::select! {
        established = incoming.establish(&broker.local) => established,
        () = broker.stopping() => return,
    };
    let connection = match established {
        Ok((connection, hello)) => {
            let role = connection.role();
            tracing::debug!(%remote, %role, software = %hello.software, "connected");
            connection
        }
        Err(refusal) => {
            tracing::info!(%remote, error = &refusal as &dyn Error, "refused");
            return;
        }
    };
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept_stream() => match accepted {
                Ok(request) => {
                    let role = connection.role().clone();
                    streams.spawn(stream(broker.clone(), role, request));
                }
                Err(reason) => {
                    tracing::debug!(%remote, %reason, "disconnected");
                    break;
                }
            },
            Some(_) = streams.join_next(), if !streams.is_empty() => {}
            () = broker.stopping() => {
                // Sessions see it too; they say goodbye before the connection closes.
                while streams.join_next().await.is_some() {}
                break;
            }
        }
    }
}

async fn stream(broker: Arc<Broker>, role: Role, request: StreamRequest) {
    let OpenedStream { open, payload, mut sender, receiver } = match request.accept().await {
        Ok(opened) => opened,
        Err(refusal) => {
            tracing::info!(%role, error = &refusal as &dyn Error, "a stream was refused");
            return;
        }
    };
    let trusted = matches!(role, Role::Client { .. } | Role::Node { .. });
    match open {
        Open::Hello(_) => {
            let refusal = ErrorBody::new(ErrorCode::BadFrame, "hello was said already");
            conclude(&mut sender, &HelloReply::Refused(refusal)).await;
        }
        Open::Produce(_) if !trusted => {
            let refusal = error::not_authorized("produce", &role);
            conclude(&mut sender, &ProduceReply::Failed(refusal)).await;
        }
        Open::Produce(open) => produce_session::serve(broker, open, sender, receiver).await,
        Open::Subscribe(_) if !trusted => {
            let refusal = error::not_authorized("consume", &role);
            conclude(&mut sender, &SubscribeReply::Failed(refusal)).await;
        }
        Open::Subscribe(open) => subscribe::serve(broker, open, sender, receiver).await,
        Open::Request(_) if !trusted => {
            let refusal = error::not_authorized("administer this node", &role);
            conclude(&mut sender, &Response::Failed(refusal)).await;
        }
        Open::Request(request) => {
            let response = admin::answer(&broker, request, payload).await;
            conclude(&mut sender, &response).await;
        }
        Open::Mirror(open) => match &role {
            Role::Link { remote, .. } if *remote == open.site => {
                mirror::serve(broker, open, sender, receiver).await;
            }
            _ => {
                let what = format!("mirror topics of site {}", open.site);
                let refusal = error::not_authorized(&what, &role);
                conclude(&mut sender, &MirrorReply::Failed(refusal)).await;
            }
        },
    }
}

/// Says one last thing on a stream.
async fn conclude<T: serde::Serialize>(sender: &mut FrameSender, last: &T) {
    if sender.send(last, &[]).await.is_ok() {
        sender.finish();
    }
}
