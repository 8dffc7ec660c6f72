//! The program under test: named by `TIDEGATE_BIN`, or built beside the tests.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The program's path.
///
/// `cargo test --workspace` builds it before any test runs, since its own package has tests that
/// run it. It is not built from here: cargo picks features by the packages that are asked for, so
/// that another build command would compile half of the dependencies again.
///
/// # Panics
/// If it is not there.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let path = match std::env::var_os("TIDEGATE_BIN") {
            Some(path) => path.into(),
            None => beside_this_test(),
        };
        assert!(
            path.is_file(),
            "there is no {}: run these tests by `cargo test --workspace`, or build the program \
             with `cargo build -p tidegate` and name it in TIDEGATE_BIN",
            path.display()
        );
        path
    })
}

/// `<target>/<profile>/tidegate`; a test lies in `<target>/<profile>/deps`.
fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    test.ancestors().nth(2).expect("a test lies in its profile's folder").join("tidegate")
}
