use super::*;
use clap::CommandFactory;
use clap::error::ErrorKind;
use tidegate_types::{Acks, StartPosition};

fn parse(line: &str) -> Result<Command, clap::Error> {
    let words = std::iter::once("tidegate").chain(line.split_whitespace());
    Cli::try_parse_from(words).map(|cli| cli.command)
}

#[test]
fn the_definitions_hold_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_reads_as_it_is_documented() {
    for line in [
        "serve --data d --listen 0.0.0.0:9640 --site edge --node 2 --config f --log-format json",
        "init --site edge",
        "topic create orders --partitions 3 --segment 64MiB --flush os --if-not-exists",
        "topic list --output json",
        "topic describe berlin/orders",
        "topic delete orders",
        "produce orders -k key -H a=b -H c --file f --acks 0 --compression zstd -p 1 --linger 0ms",
        "produce orders -K : -Z --crlf --acks -1",
        "consume orders -o -5 -n 3 -e --partition 0 --partition 1 -f %s",
        "plugin new hot --lang rust --kind transform --dir d --sdk s",
        "plugin build d",
        "plugin test d --input a --input - --config {} --expected e --state --memory-limit 1MiB",
        "plugin test x.wasm --topic orders --from -10 --count 5 --update --table t",
        "plugin bench --records 10 --batch 5 --partitions 3 --config @f",
        "plugin dry-run orders p",
        "plugin dry-run orders p --hook derive --version abcd --config {} -p 1 -o -100 -n 5 --samples 2",
        "plugin install threshold",
        "plugin install mine -",
        "plugin list --stock",
        "plugin show threshold",
        "plugin attach orders threshold --config {} --on-error halt --version 00ffab --time-limit 1s",
        "plugin detach orders threshold --hook ingest",
        "link invite edge --address gw.example:9640 --out f",
        "link add up --invitation - --topic a --topic b",
        "link list",
        "link status up",
        "link remove up",
        "group list --output json",
        "group describe billing",
        "group seek billing orders -p 1 --to -5",
        "group seek billing orders --to @1700000000000",
        "group delete billing",
        "status --server [::1]:9640 --tls d --timeout 3s",
        "config check f",
        "config show --config f",
        "demo --records 10 --keep --cut 1 --seed 7 --file f",
        "completions bash",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn wrong_values_are_refused_by_the_parser() {
    for (line, kind) in [
        ("topic create a/b/c", ErrorKind::ValueValidation),
        ("topic create orders --partitions 0", ErrorKind::ValueValidation),
        ("topic create orders --flush never", ErrorKind::ValueValidation),
        ("produce orders --acks 2", ErrorKind::ValueValidation),
        ("produce orders -k a -K b", ErrorKind::ArgumentConflict),
        ("produce orders -H =b", ErrorKind::ValueValidation),
        ("produce orders --compression rar", ErrorKind::ValueValidation),
        ("consume orders -o soon", ErrorKind::ValueValidation),
        ("consume orders -f %q", ErrorKind::ValueValidation),
        ("plugin new hot", ErrorKind::MissingRequiredArgument),
        ("plugin new hot --lang cobol", ErrorKind::InvalidValue),
        ("plugin new hot --lang rust --kind sieve", ErrorKind::ValueValidation),
        ("plugin test --topic orders --input f", ErrorKind::ArgumentConflict),
        ("plugin test --count 5", ErrorKind::MissingRequiredArgument),
        ("plugin bench --batch 0", ErrorKind::ValueValidation),
        ("plugin attach orders p --on-error ignore", ErrorKind::ValueValidation),
        ("plugin attach orders p --version xyz", ErrorKind::ValueValidation),
        ("link add up --invitation f", ErrorKind::MissingRequiredArgument),
        ("link invite edge --address nowhere", ErrorKind::ValueValidation),
        ("group seek billing orders", ErrorKind::MissingRequiredArgument),
        ("group seek billing a/b/c --to end", ErrorKind::ValueValidation),
        ("group seek billing orders --to soon", ErrorKind::ValueValidation),
        ("status --output xml", ErrorKind::InvalidValue),
    ] {
        assert_eq!(parse(line).unwrap_err().kind(), kind, "{line}");
    }
}

#[test]
fn defaults_are_the_safe_ones() {
    let Ok(Command::Produce(produce)) = parse("produce orders") else { panic!("no produce") };
    assert_eq!(produce.acks, Acks::All);
    let Ok(Command::Consume(consume)) = parse("consume orders") else { panic!("no consume") };
    assert_eq!(consume.offset, StartPosition::Start);
}

#[test]
fn flags_become_settings() {
    let line = "tidegate --timeout 3s serve --site edge --name a --name b --log-format json";
    let cli = Cli::try_parse_from(line.split(' ')).unwrap();
    let Command::Serve(serve) = &cli.command else { panic!("no serve") };
    let mut flags = cli.global.flags();
    flags.extend(serve.flags());
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        flags,
        [
            (Key::Timeout, text(&["3s"])),
            (Key::Site, text(&["edge"])),
            (Key::Names, text(&["a", "b"])),
            (Key::LogFormat, text(&["json"])),
        ]
    );
}
