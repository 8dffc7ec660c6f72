//! The fuzz targets of this crate over seeded input, so that every test run has a little of them.

#[path = "../../../tests/fuzz/src/group.rs"]
mod group;
#[path = "../../../tests/fuzz/seeded.rs"]
mod seeded;

#[test]
fn replay() {
    seeded::run(group::group_replay, 3_000, |rng| rng.bytes(60));
}
