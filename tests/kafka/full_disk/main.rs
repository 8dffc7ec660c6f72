//! A disk that fills up while groups commit their offsets: commits are refused for as long as
//! there is no room, in a way that clients try again; none that was acknowledged is lost, through a
//! kill on the full disk too; and once there is room, everything goes on by itself.
//!
//! On an ext4 of its own; where none can be mounted, the test says so and passes.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_tests::{BatchSpec, Broker, Committer, Member, Typed, error};
use tidegate_tests::{FileSystem, Node, eventually};
use tidegate_types::ByteSize;

const TOPIC: &str = "read";
const PARTITIONS: i32 = 4;
const DISK: ByteSize = ByteSize::mib(64);

/// Longer than any run of this test: no member is to be taken for lost.
const SESSION: Duration = Duration::from_secs(1_800);

/// Whether consumers try a commit again that was refused so. Other errors end them, even those that
/// may pass elsewhere.
fn is_tried_again(error: ErrorCode) -> bool {
    use ErrorCode::*;
    matches!(
        error,
        CoordinatorNotAvailable | CoordinatorLoadInProgress | NotCoordinator | RequestTimedOut
    )
}

/// What one reader knows of its commits.
#[derive(Default)]
struct Reader {
    /// The latest offset that it asked to commit.
    sent: AtomicI64,
    /// The latest whose commit was acknowledged.
    acked: AtomicI64,
    /// How many commits were refused.
    refused: AtomicU64,
}

impl Reader {
    /// Commits one offset after the other until it is told to stop. One that was refused, or whose
    /// answer did not come, is committed again.
    fn run(&self, broker: Broker, who: Committer<'_>, partition: i32, stop: &AtomicBool) {
        let mut next = 1;
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
            let Some(mut client) = Typed::try_open(broker) else { continue };
            while !stop.load(Ordering::Relaxed) {
                self.sent.store(next, Ordering::Relaxed);
                match client.try_commit(who, (TOPIC, partition), next, "") {
                    Ok(ErrorCode::None) => {
                        self.acked.store(next, Ordering::Relaxed);
                        next += 1;
                    }
                    Ok(error) => {
                        assert!(is_tried_again(error), "{who:?} {partition}: {error}");
                        self.refused.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    Err(_) => break,
                }
            }
        }
    }
}

/// Waits until each reader got more commits acknowledged.
async fn goes_on(readers: &[Reader]) {
    let acked = |reader: &Reader| reader.acked.load(Ordering::Relaxed);
    let before: Vec<_> = readers.iter().map(acked).collect();
    eventually("every reader to go on", async || {
        let now: Vec<_> = readers.iter().map(acked).collect();
        let all = now.iter().zip(&before).all(|(now, before)| *now >= before + 20);
        if all { Ok(()) } else { Err(format!("{before:?} then, {now:?} now")) }
    })
    .await;
}

/// Waits until each reader was refused again.
async fn is_refused(readers: &[Reader]) {
    let refused = |reader: &Reader| reader.refused.load(Ordering::Relaxed);
    let before: Vec<_> = readers.iter().map(refused).collect();
    eventually("every reader to be refused", async || {
        let now: Vec<_> = readers.iter().map(refused).collect();
        let all = now.iter().zip(&before).all(|(now, before)| now > before);
        if all { Ok(()) } else { Err(format!("{before:?} then, {now:?} now")) }
    })
    .await;
}

/// That what was acknowledged is there. Readers may be at work meanwhile.
async fn is_kept(broker: Broker, group: &str, readers: &[Reader]) {
    let at_least: Vec<_> = readers.iter().map(|r| r.acked.load(Ordering::Relaxed)).collect();
    let mut client = Typed::open(broker);
    for ((reader, at_least), partition) in readers.iter().zip(at_least).zip(0..) {
        let found = eventually("the group's offsets", async || {
            client.committed(Committer::outside(group), (TOPIC, partition)).map_err(|error| {
                assert!(is_tried_again(error), "{error}");
                error.to_string()
            })
        })
        .await
        .0;
        let at_most = reader.sent.load(Ordering::Relaxed);
        assert!(
            (at_least..=at_most).contains(&found),
            "{group} {partition}: {at_least} is acknowledged, {found} found, {at_most} sent"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_commit_is_lost_on_a_full_disk_and_all_go_on_when_there_is_room() {
    let Some(disk) = FileSystem::or_skip("commits on a full disk", DISK) else { return };
    let mut node = Node::at("edge", &disk.path().join("data")).with_kafka();
    node.restart().await;
    let broker = Broker { address: node.kafka() };
    let mut client = Typed::open(broker);
    client.await_groups();
    client.create(TOPIC, PARTITIONS, &[]);
    client.append(TOPIC, &BatchSpec::of(&[("k", "v")], 1_700_000_000_000));
    let mut member = Member::open(broker, "members");
    member.session = SESSION;
    member.join();
    member.sync(&[(&member.id.clone(), b"all")]).unwrap();

    let readers: Vec<Reader> = (0..PARTITIONS).map(|_| Reader::default()).collect();
    let stop = AtomicBool::new(false);
    let who = member.as_committer();
    let (id, generation) = (who.member.to_owned(), who.generation);
    let work = async {
        goes_on(&readers).await;
        // Another takes all the room, while commits are written.
        let ballast = disk.fill(ByteSize::bytes(0));
        is_refused(&readers).await;
        let refused =
            error(client.produce(TOPIC, BatchSpec::of(&[("k", "v")], 0).bytes()).error_code);
        assert!(refused.is_retriable(), "producers too: {refused}");
        is_kept(broker, "members", &readers).await;
        assert_eq!(member.heartbeat(), ErrorCode::None, "the member is one still");
        node.kill();
        node.restart().await;
        is_refused(&readers).await;
        is_kept(broker, "members", &readers).await;
        ballast.remove();
        goes_on(&readers).await;
    };
    std::thread::scope(|scope| {
        for (reader, partition) in readers.iter().zip(0..) {
            let who = Committer { group: "members", member: &id, generation };
            let stop = &stop;
            scope.spawn(move || reader.run(broker, who, partition, stop));
        }
        tokio::task::block_in_place(|| {
            let handle = tokio::runtime::Handle::current();
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                handle.block_on(work);
            }));
            stop.store(true, Ordering::Relaxed);
            if let Err(failed) = done {
                std::panic::resume_unwind(failed);
            }
        });
    });
    is_kept(broker, "members", &readers).await;
    let mut member = Member::open(broker, "members");
    (member.id, member.generation) = (id, generation);
    assert_eq!(member.heartbeat(), ErrorCode::None, "and through the kill");
    let (status, _) = node.stop().await;
    assert!(status.success(), "{status}");
    node.restart().await;
    is_kept(broker, "members", &readers).await;
    for (reader, partition) in readers.iter().zip(0..) {
        let (acked, refused) =
            (reader.acked.load(Ordering::Relaxed), reader.refused.load(Ordering::Relaxed));
        println!("partition {partition}: {acked} acknowledged, {refused} refused");
    }
}
