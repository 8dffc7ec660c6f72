use tidegate_plugin_aggregate::Aggregate;
use tidegate_plugin_cbor_to_json::CborToJson;
use tidegate_plugin_check_schema::CheckSchema;
use tidegate_plugin_convert_units::ConvertUnits;
use tidegate_plugin_deadband::Deadband;
use tidegate_plugin_deduplicate::Deduplicate;
use tidegate_plugin_enrich::Enrich;
use tidegate_plugin_parse_log::ParseLog;
use tidegate_plugin_redact::Redact;
use tidegate_plugin_route_by_field::RouteByField;
use tidegate_plugin_sample::Sample;
use tidegate_plugin_sdk::testing::Tester;
use tidegate_plugin_threshold::Threshold;

use super::*;

/// The first bytes of every component: the magic number, and the component layer.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const KIB: usize = 1024;
/// What a component may take; it is compiled on small devices.
const MOST: usize = 300 * KIB;
/// What may take more.
const LARGER: [(&str, usize); 2] = [
    // Windows of three kinds, with a state behind them.
    ("aggregate", 330 * KIB),
    // A validator, and an engine for regular expressions that does without random seeds.
    ("check-schema", 600 * KIB),
];
/// What all of them may take in the program.
const ARCHIVE: usize = 400 * KIB;

#[test]
fn each_is_a_small_component() {
    for plugin in all() {
        let component = plugin.component();
        assert!(component.starts_with(COMPONENT), "{}", plugin.name);
        assert_eq!(component.len(), plugin.size(), "{}", plugin.name);
        let most =
            LARGER.iter().find(|(name, _)| *name == plugin.name).map_or(MOST, |(_, most)| *most);
        assert!(plugin.size() < most, "{} has {} bytes", plugin.name, plugin.size());
    }
    let size = archive::compressed_size();
    let open: usize = all().iter().map(StockPlugin::size).sum();
    println!("{size} bytes for components of {open}");
    assert!(size < ARCHIVE, "the archive has {size} bytes");
    assert_eq!(open, archive::open().len(), "nothing else lies in the archive");
}

/// Calls of these end a plugin in the node. A library that seeds its hash maps brings the first.
#[test]
fn none_asks_for_what_a_node_does_not_give() {
    for plugin in all() {
        let component = plugin.component();
        for import in ["wasi:random/", "wasi:clocks/", "wasi:filesystem/", "wasi:sockets/"] {
            let found = component.windows(import.len()).any(|bytes| bytes == import.as_bytes());
            assert!(!found, "{} imports {import}", plugin.name);
        }
        let own = b"tidegate:plugin/host";
        assert!(component.windows(own.len()).any(|bytes| bytes == own), "imports are read so");
    }
}

#[test]
fn examples_are_accepted() {
    let names = [
        example("aggregate", Tester::<Aggregate>::transform),
        example("cbor-to-json", Tester::<CborToJson>::transform),
        example("check-schema", Tester::<CheckSchema>::filter),
        example("convert-units", Tester::<ConvertUnits>::transform),
        example("deadband", Tester::<Deadband>::transform),
        example("deduplicate", Tester::<Deduplicate>::transform),
        example("enrich", Tester::<Enrich>::transform),
        example("parse-log", Tester::<ParseLog>::transform),
        example("redact", Tester::<Redact>::transform),
        example("route-by-field", Tester::<RouteByField>::transform),
        example("sample", Tester::<Sample>::filter),
        example("threshold", Tester::<Threshold>::filter),
    ];
    assert_eq!(names.as_slice(), all().iter().map(|plugin| plugin.name).collect::<Vec<_>>());
}

fn example<P>(name: &'static str, configure: fn(&str) -> Result<P, String>) -> &'static str {
    let example = find(name).unwrap().example;
    if let Err(reason) = configure(example) {
        panic!("{name}: {example}: {reason}");
    }
    name
}

#[test]
fn names_are_found_and_sorted() {
    assert!(all().is_sorted_by_key(|plugin| plugin.name));
    for plugin in all() {
        assert_eq!(find(plugin.name).map(|found| found.summary), Some(plugin.summary));
    }
    assert!(find("none").is_none());
}

/// The list of pages names every plugin, and says of each what is said here.
#[test]
fn the_list_of_pages_is_complete() {
    let pages = include_str!("../../README.md");
    for plugin in all() {
        let row = format!(
            "| [`{0}`]({0}/src/lib.rs) | {1} | {2} |",
            plugin.name, plugin.kind, plugin.summary
        );
        assert!(pages.contains(&row), "no row: {row}");
    }
}
