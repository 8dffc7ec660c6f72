//! How members of a classic group agree.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::DescribeGroupsRequest;
use tidegate_kafka_tests::{Member, name};

use crate::start;

/// For what takes several rounds; far more than they take.
const PATIENCE: Duration = Duration::from_secs(60);

/// "A SyncGroup assignment is never cut."
#[test]
fn an_assignment_is_given_to_its_last_byte() {
    let (node, _) = start();
    let mut member = Member::open(node.broker(), "assigned");
    for size in [1, 70_000, 500_000] {
        member.join();
        let share: Vec<u8> = (0..size).map(|at: u32| (at % 251) as u8).collect();
        let given = member.sync(&[(&member.id.clone(), &share)]).unwrap();
        assert!(given == share, "{} of {size} bytes", given.len());
    }
}

/// "Members joining at once all stay": whoever was let in once is told of each rebalance, and is
/// never forgotten.
#[test]
fn members_that_join_at_once_all_stay() {
    const MEMBERS: usize = 12;
    let (node, mut client) = start();
    let (broker, complete) = (node.broker(), AtomicBool::new(false));
    let lives = |member: &mut Member| {
        while !complete.load(Ordering::Relaxed) {
            let joined = member.join();
            let ids: Vec<_> = joined.members.iter().map(|m| m.member_id.to_string()).collect();
            let shares: Vec<_> = ids.iter().map(|id| (id.as_str(), id.as_bytes())).collect();
            match member.sync(&shares) {
                Ok(share) => assert_eq!(share, member.id.as_bytes(), "its own share"),
                Err(told) => assert_eq!(told, ErrorCode::RebalanceInProgress),
            }
            while !complete.load(Ordering::Relaxed) && member.heartbeat() == ErrorCode::None {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    };
    let described = std::thread::scope(|scope| {
        let lives = &lives;
        let members: Vec<_> = (0..MEMBERS)
            .map(|_| {
                scope.spawn(move || {
                    let mut member = Member::open(broker, "at-once");
                    lives(&mut member);
                    member.id
                })
            })
            .collect();
        let request = DescribeGroupsRequest::default().with_groups(vec![name("at-once").into()]);
        let end = Instant::now() + PATIENCE;
        let described = loop {
            let group = client.ask(5, &request).groups.remove(0);
            if &*group.group_state == "Stable" && group.members.len() == MEMBERS {
                break group;
            }
            if Instant::now() >= end {
                complete.store(true, Ordering::Relaxed);
                panic!("{} with {} members", group.group_state, group.members.len());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        complete.store(true, Ordering::Relaxed);
        let ids: BTreeSet<_> = members.into_iter().map(|member| member.join().unwrap()).collect();
        let told = described.members.iter().map(|member| member.member_id.to_string()).collect();
        assert_eq!(ids, told, "those who joined are those who are members");
        described
    });
    assert!(described.members.iter().all(|m| m.member_assignment == m.member_id.as_bytes()));
}

/// "Static membership": one that comes back under its instance id goes on without a rebalance, and
/// its old self is fenced.
#[test]
fn a_static_member_comes_back_to_its_share_and_fences_its_old_self() {
    let (node, _) = start();
    let mut before = Member::open(node.broker(), "static");
    before.instance = Some("one");
    before.join();
    before.sync(&[(&before.id.clone(), b"share")]).unwrap();
    let mut after = Member::open(node.broker(), "static");
    after.instance = Some("one");
    let back = after.join();
    assert_eq!(after.generation, before.generation, "nobody had to rebalance");
    assert_ne!(after.id, before.id);
    assert!(back.skip_assignment, "a leader that is back leaves the shares alone");
    assert_eq!(after.sync(&[]).unwrap(), &b"share"[..]);
    assert_eq!(after.heartbeat(), ErrorCode::None);
    assert_eq!(before.heartbeat(), ErrorCode::FencedInstanceId);
}

/// "Cooperative rebalancing": a member keeps its partitions while others join, commits in between,
/// gives up one partition in a first round, and the other gets it in a second.
#[test]
fn a_cooperative_rebalance_takes_two_rounds_and_stops_nobody() {
    let (node, mut client) = start();
    client.create("shared", 2, &[]);
    let mut a = Member::open(node.broker(), "cooperative");
    a.join();
    a.sync(&[(&a.id.clone(), b"0 and 1")]).unwrap();
    let mut b = Member::open(node.broker(), "cooperative");
    b.ask_for_id();
    let joining = b.ask_to_join();
    a.hear_of_rebalance();
    let kept = client.commit(a.as_committer(), ("shared", 1), 3, "");
    assert_eq!(kept, ErrorCode::None, "it owns its partitions until it joins again");

    a.metadata = Bytes::from_static(b"owns 0 and 1");
    let joined = a.join();
    b.joined(joining);
    assert_eq!(a.generation, b.generation);
    assert_eq!(*joined.leader, *a.id, "the leader stays");
    let told = joined.members.iter().find(|member| *member.member_id == *a.id).unwrap();
    assert_eq!(told.metadata, a.metadata, "what it owns is told to whoever divides");
    assert_eq!(joined.members.len(), 2);
    let (id_a, id_b) = (a.id.clone(), b.id.clone());
    assert_eq!(a.sync(&[(&id_a, b"0"), (&id_b, b"")]).unwrap(), &b"0"[..]);
    assert_eq!(b.sync(&[]).unwrap(), &b""[..]);

    // The second round begins with the one that gave something up.
    a.metadata = Bytes::from_static(b"owns 0");
    let joining = a.ask_to_join();
    b.hear_of_rebalance();
    b.join();
    a.joined(joining);
    assert_eq!(a.sync(&[(&id_a, b"0"), (&id_b, b"1")]).unwrap(), &b"0"[..]);
    assert_eq!(b.sync(&[]).unwrap(), &b"1"[..]);
    assert_eq!(client.commit(b.as_committer(), ("shared", 1), 4, ""), ErrorCode::None);
    assert_eq!(client.commit(a.as_committer(), ("shared", 0), 8, ""), ErrorCode::None);
}
