//! The toy: a server that only validates and appends.
//!
//! It speaks the produce and subscribe streams of the native protocol over the same transport as
//! the broker, and does as little as can be done: check each batch's CRC, append it to one file,
//! sync once for all that has arrived, acknowledge. No index, no offsets, no recovery, no plugins.
//! What the broker is slower by is what those cost.

use std::fs::File;
use std::io::{IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc as blocking;

use bytes::Bytes;
use tidegate_record::Batch;
use tidegate_transport::{
    FrameReceiver, FrameSender, Identity, Listener, LocalNode, OpenedStream, ServerTls,
    init_tls_dir,
};
use tidegate_types::{NodeId, Offset, PartitionId, SiteName, TopicId};
use tidegate_wire::{BatchAck, Open, PartitionStart, ProduceBatch, ProduceReply, SubscribeReply};
use tokio::sync::mpsc;

use crate::Failure;

/// Bytes that the fetch side sends in one frame, as the broker does.
const CHUNK: u64 = 1 << 20;

/// Batches that wait for the writer.
const QUEUE: usize = 1_024;

/// A toy at work; its task ends with the runtime.
pub struct Toy {
    /// Where it listens.
    pub address: String,
    /// Folder with the certificates for its clients.
    pub tls: PathBuf,
}

/// A batch on its way to the file.
struct Append {
    batch: Bytes,
    number: u64,
    done: mpsc::UnboundedSender<u64>,
}

impl Toy {
    /// Starts one in `dir`; with `durable` it syncs before it acknowledges.
    ///
    /// # Errors
    /// If files or socket cannot be had.
    pub async fn start(dir: &Path, durable: bool) -> Result<Toy, Failure> {
        let site = SiteName::new("toy")?;
        let tls = dir.join("tls");
        init_tls_dir(&tls, &site, NodeId(0), &[])?;
        let server = ServerTls::new(&Identity::node_from_dir(&tls)?)?;
        let listener = Listener::bind("127.0.0.1:0".parse()?, &server)?;
        let address = listener.local_addr()?.to_string();
        let path = dir.join("toy.log");
        let file = File::create(&path)?;
        let (queue, writes) = blocking::sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("toy-writer".to_owned())
            .spawn(move || write(file, &writes, durable))?;
        let local = LocalNode { node: NodeId(0), site, software: "toy".to_owned() };
        tokio::spawn(serve(listener, local, queue, Arc::new(path)));
        Ok(Toy { address, tls })
    }
}

/// Writes all that has arrived with one call, syncs once, tells everyone.
fn write(mut file: File, writes: &blocking::Receiver<Append>, durable: bool) {
    let mut round = Vec::new();
    while let Ok(first) = writes.recv() {
        round.push(first);
        round.extend(writes.try_iter().take(QUEUE - 1));
        let mut slices: Vec<IoSlice<'_>> = round.iter().map(|w| IoSlice::new(&w.batch)).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            match file.write_vectored(rest) {
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) => panic!("the toy cannot write: {error}"),
            }
        }
        if durable && let Err(error) = file.sync_data() {
            panic!("the toy cannot sync: {error}");
        }
        for write in round.drain(..) {
            _ = write.done.send(write.number);
        }
    }
}

async fn serve(
    listener: Listener,
    local: LocalNode,
    queue: blocking::SyncSender<Append>,
    path: Arc<PathBuf>,
) {
    while let Some(incoming) = listener.accept().await {
        let (local, queue, path) = (local.clone(), queue.clone(), path.clone());
        tokio::spawn(async move {
            let Ok((connection, _)) = incoming.establish(&local).await else { return };
            while let Ok(request) = connection.accept_stream().await {
                let Ok(OpenedStream { open, sender, receiver, .. }) = request.accept().await else {
                    continue;
                };
                match open {
                    Open::Produce(_) => {
                        tokio::spawn(produce(sender, receiver, queue.clone()));
                    }
                    Open::Subscribe(_) => {
                        tokio::spawn(fetch(sender, path.clone()));
                    }
                    _ => {}
                }
            }
        });
    }
}

async fn produce(
    mut sender: FrameSender,
    mut receiver: FrameReceiver,
    queue: blocking::SyncSender<Append>,
) -> Option<()> {
    let ready = ProduceReply::Ready { topic: TopicId::random(), partitions: 1 };
    sender.send(&ready, &[]).await.ok()?;
    let (done, mut acked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut numbers = Vec::new();
        while acked.recv_many(&mut numbers, QUEUE).await > 0 {
            let acks = numbers
                .drain(..)
                .map(|number| BatchAck { number, base_offset: None, duplicate: false })
                .collect();
            if sender.send(&ProduceReply::Acked(acks), &[]).await.is_err() {
                return;
            }
        }
        sender.finish();
    });
    while let Ok(Some((header, batch))) = receiver.recv::<ProduceBatch>().await {
        Batch::parse(&batch).ok()?;
        let write = Append { batch, number: header.number, done: done.clone() };
        if let Err(full) = queue.try_send(write) {
            let blocking::TrySendError::Full(write) = full else { return None };
            let queue = queue.clone();
            tokio::task::spawn_blocking(move || queue.send(write)).await.ok()?.ok()?;
        }
    }
    Some(())
}

/// Sends the whole file, as fast as the stream takes it.
async fn fetch(mut sender: FrameSender, path: Arc<PathBuf>) -> Option<()> {
    let file = Arc::new(File::open(&*path).ok()?);
    let len = file.metadata().ok()?.len();
    let start = PartitionStart {
        partition: PartitionId(0),
        next: Offset::ZERO,
        high_watermark: Offset(i64::try_from(len).ok()?),
    };
    let ready = SubscribeReply::Ready { topic: TopicId::random(), partitions: vec![start] };
    sender.send(&ready, &[]).await.ok()?;
    let mut at = 0;
    while at < len {
        let part = CHUNK.min(len - at);
        let file = file.clone();
        let chunk = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; usize::try_from(part).unwrap_or(0)];
            file.read_exact_at(&mut chunk, at).map(|()| Bytes::from(chunk))
        });
        let chunk = chunk.await.ok()?.ok()?;
        at += part;
        let header = SubscribeReply::Records {
            partition: PartitionId(0),
            next: Offset::ZERO,
            high_watermark: Offset::ZERO,
        };
        sender.send(&header, &[chunk]).await.ok()?;
    }
    sender.send(&SubscribeReply::End, &[]).await.ok()?;
    sender.finish();
    Some(())
}
