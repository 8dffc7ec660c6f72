//! The program under test: named by `TIDEGATE_BIN`, or built beside the tests.

use std::path::PathBuf;

/// The program's path.
///
/// # Panics
/// If it is not there.
pub(crate) fn program() -> PathBuf {
    let path = match std::env::var_os("TIDEGATE_BIN") {
        Some(path) => path.into(),
        None => beside_this_test(),
    };
    assert!(
        path.is_file(),
        "there is no {}: run these tests by `cargo test --workspace`, or build the program with \
         `cargo build -p tidegate` and name it in TIDEGATE_BIN",
        path.display()
    );
    path
}

/// `<target>/<profile>/tidegate`; a test lies in `<target>/<profile>/deps`.
fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    test.ancestors().nth(2).expect("a test lies in its profile's folder").join("tidegate")
}
