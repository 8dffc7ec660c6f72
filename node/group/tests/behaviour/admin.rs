//! Lists and descriptions.

use tidegate_group::request::{Describe, List};
use tidegate_group::response::{GroupDetail, GroupKind};
use tidegate_group::{GroupError, Request, Response};

use crate::bench::{Bench, assignment, of, subscription};

fn three_groups() -> Bench {
    let mut bench = Bench::new();
    bench.settle(2);
    let mut request = bench.first_beat("m1");
    request.group = "consumers".to_owned();
    bench.beat(request).unwrap();
    let mut request = bench.commit_request("", -1, 1);
    request.group = "simple".to_owned();
    bench.ask(Request::Commit(request));
    bench
}

fn list(bench: &mut Bench, states: &[&str], kinds: &[&str]) -> Vec<String> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let request = List { states: owned(states), kinds: owned(kinds) };
    let token = bench.ask(Request::List(request));
    let Response::List(Ok(groups)) = bench.answer(token) else { panic!() };
    groups.into_iter().map(|group| group.group).collect()
}

#[test]
fn groups_are_listed_by_state_and_kind() {
    let mut bench = three_groups();
    assert_eq!(list(&mut bench, &[], &[]), ["consumers", "g", "simple"]);
    assert_eq!(list(&mut bench, &["stable"], &[]), ["consumers", "g"]);
    assert_eq!(list(&mut bench, &["Stable", " EMPTY "], &["classic"]), ["g", "simple"]);
    assert_eq!(list(&mut bench, &[], &["Consumer"]), ["consumers"]);
    assert_eq!(list(&mut bench, &["Dead"], &[]), [""; 0]);
    let token = bench.ask(Request::List(List::default()));
    let Response::List(Ok(groups)) = bench.answer(token) else { panic!() };
    let told: Vec<_> = groups.iter().map(|g| (g.kind, g.protocol_type.as_str())).collect();
    let expected = [
        (GroupKind::Consumer, "consumer"),
        (GroupKind::Classic, "consumer"),
        (GroupKind::Classic, ""),
    ];
    assert_eq!(told, expected);
}

#[test]
fn groups_are_described_by_their_kind() {
    let mut bench = three_groups();
    let asked = ["g", "consumers", "nobody"].map(str::to_owned).to_vec();
    let token = bench.ask(Request::Describe(Describe { groups: asked.clone() }));
    let Response::Describe(told) = bench.answer(token) else { panic!() };
    assert_eq!(told[1].1, Err(GroupError::GroupIdNotFound));
    assert_eq!(told[2].1, Err(GroupError::GroupIdNotFound));
    let group = told[0].1.clone().unwrap();
    assert_eq!((group.state, group.protocol.as_str(), group.generation), ("Stable", "range", 2));
    for member in &group.members {
        assert_eq!(member.assignment, assignment(&member.member_id));
        assert_eq!(member.metadata, subscription(&["a"]));
        assert_eq!(
            (member.client_id.as_str(), member.client_host.as_str()),
            ("client", "/127.0.0.1")
        );
    }
    let token = bench.ask(Request::DescribeConsumer(Describe { groups: asked }));
    let Response::DescribeConsumer(told) = bench.answer(token) else { panic!() };
    assert_eq!(told[0].1, Err(GroupError::GroupIdNotFound));
    let group = told[1].1.clone().unwrap();
    assert_eq!((group.state, group.group_epoch, group.assignment_epoch), ("Stable", 1, 1));
    assert_eq!(group.members[0].assignment, of(1, &[0, 1, 2, 3]));
    assert_eq!(group.members[0].topics, ["a"]);
}

#[test]
fn a_view_shows_a_group_of_any_kind() {
    let mut bench = three_groups();
    let view = bench.view("simple").unwrap();
    let GroupDetail::Classic(group) = view.detail else { panic!() };
    assert_eq!((group.state, group.members.len()), ("Empty", 0));
    assert_eq!(view.offsets[0].1[0].1.offset.0, 1);
    assert!(matches!(bench.view("consumers").unwrap().detail, GroupDetail::Consumer(_)));
    assert_eq!(bench.view("nobody"), Err(GroupError::GroupIdNotFound));
}
