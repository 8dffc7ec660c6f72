//! The tools that languages are built with, and how one that is missing is had.

/// Where a tool comes from, for whoever lacks it.
pub(crate) fn how_to_install(tool: &str) -> Option<&'static str> {
    Some(match tool {
        "cargo" => "install Rust with rustup, then `rustup target add wasm32-wasip2`",
        "npm" | "npx" | "node" => "on Debian: `apt-get install nodejs npm` (Node 20 or newer)",
        "python3" | "pip" => "on Debian: `apt-get install python3 python3-venv`",
        "clang" | "wasm-ld" => {
            "on Debian: `apt-get install clang lld wasi-libc libclang-rt-dev-wasm32`"
        }
        "go" => "on Debian: `apt-get install golang` (Go 1.24 or newer)",
        _ => return None,
    })
}

/// What a tool's own message means, where it does not say how to go on.
pub(crate) fn hint(output: &str) -> Option<&'static str> {
    [
        ("target may not be installed", "add the target: `rustup target add wasm32-wasip2`"),
        ("linking with `rust-lld` failed", "the linker of the target failed: see above"),
        ("unable to execute command: Executable \"wasm-ld\"", "`apt-get install lld`"),
        ("invalid linker name", "the linker for WebAssembly is missing: `apt-get install lld`"),
        ("cannot open crt1", "the C library is missing: `apt-get install wasi-libc`"),
        ("unable to find library -lc", "the C library is missing: `apt-get install wasi-libc`"),
        ("'string.h' file not found", "the C library is missing: `apt-get install wasi-libc`"),
        ("clang_rt.builtins-wasm32", "`apt-get install libclang-rt-dev-wasm32`"),
        ("ensurepip is not", "`apt-get install python3-venv`"),
        ("//go:wasmexport", "Go 1.24 or newer is needed: `go version` tells which this is"),
    ]
    .into_iter()
    .find(|(text, _)| output.contains(text))
    .map(|(_, hint)| hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_told_with_where_it_comes_from() {
        assert!(how_to_install("clang").unwrap().contains("wasi-libc"));
        assert_eq!(how_to_install("frobnicate"), None);
        let said = "error[E0463]: can't find crate for `core`\n  = note: the `wasm32-wasip2` target \
                    may not be installed";
        assert!(hint(said).unwrap().contains("rustup target add"));
        assert_eq!(hint("error: expected `;`"), None);
    }
}
