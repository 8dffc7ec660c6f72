use super::*;
use tidegate_types::NodeId;

fn none(_: &str) -> Option<String> {
    None
}

fn load_with(
    file: Option<&str>,
    variables: &[(&str, &str)],
    flags: &[(Key, &str)],
) -> Result<Settings, SettingsError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("settings.toml");
    std::fs::write(&path, file.unwrap_or_default()).unwrap();
    let variable = |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    load(&Origins {
        file: Some(&path),
        variable: &variable,
        flags: flags.iter().map(|(key, text)| (*key, vec![(*text).to_owned()])).collect(),
    })
}

fn problems(result: Result<Settings, SettingsError>) -> Vec<String> {
    match result {
        Err(SettingsError::Invalid(problems)) => {
            problems.iter().map(|problem| problem.message.clone()).collect()
        }
        other => panic!("expected problems, got {other:?}"),
    }
}

#[test]
fn the_defaults_are_those_that_the_table_tells() {
    let settings = load_with(None, &[], &[]).unwrap();
    for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
        let told = setting.default.trim_matches(|c| "\"[]".contains(c));
        assert_eq!(settings.effective[&setting.key].0, told, "{setting}");
    }
    assert_eq!(settings.client.tls, Path::new("tidegate-data/tls"));
}

#[test]
fn the_sample_file_sets_nothing_and_the_values_given_to_it() {
    let empty = file::parse(Path::new("s"), &sample(&BTreeMap::new()));
    assert!(empty.values.is_empty() && empty.problems.is_empty(), "{empty:?}");
    // With the comment signs before values taken away, it holds every default there is.
    let all: String = sample(&BTreeMap::new())
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if SETTINGS.iter().any(|s| rest.starts_with(&format!("{} = ", s.name))) => {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let full = file::parse(Path::new("s"), &all);
    assert!(full.problems.is_empty(), "{:?}", full.problems);
    assert_eq!(full.values.len(), SETTINGS.len());
    let set = BTreeMap::from([(Key::Site, "\"edge\"".to_owned())]);
    assert_eq!(load_with(Some(&sample(&set)), &[], &[]).unwrap().node.site.as_str(), "edge");
}

#[test]
fn flags_go_above_variables_and_variables_above_the_file() {
    let file = Some("[node]\nsite = \"from-file\"\nid = 7\ndata = \"/d\"\n");
    let variables = [("TIDEGATE_SITE", "from-env"), ("TIDEGATE_NODE", "8")];
    let settings = load_with(file, &variables, &[(Key::Site, "from-flag")]).unwrap();
    assert_eq!(settings.node.site.as_str(), "from-flag");
    assert_eq!(settings.effective[&Key::Site].1, Source::Flag("--site"));
    assert_eq!(settings.node.node, NodeId(8));
    assert_eq!(settings.effective[&Key::Node].1, Source::Variable("TIDEGATE_NODE"));
    assert_eq!(settings.node.data, Path::new("/d"));
    assert!(matches!(settings.effective[&Key::Data].1, Source::File { line: 4, .. }));
    assert_eq!(settings.client.tls, Path::new("/d/tls"));
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let settings = load_with(None, &[("TIDEGATE_SITE", "")], &[]).unwrap();
    assert_eq!(settings.effective[&Key::Site].1, Source::Default);
}

#[test]
fn all_wrong_values_are_told_at_once_and_by_name() {
    let file = Some("[node]\nsite = \"a b\"\nid = -1\n[listener]\nnative = \"9640\"\n");
    let found = problems(load_with(file, &[("TIDEGATE_TIMEOUT", "0s")], &[(Key::Server, "host")]));
    assert_eq!(found.len(), 5, "{found:?}");
    for (message, key) in found.iter().zip([
        "node.site",
        "node.id",
        "listener.native",
        "client.server",
        "client.timeout",
    ]) {
        assert!(message.starts_with(&format!("`{key}`: ")), "{message}");
    }
}

#[test]
fn addresses_are_checked_before_they_are_dialled() {
    for good in ["127.0.0.1:9640", "localhost:1", "[::1]:9640", "edge-1.example:9640"] {
        assert!(load_with(None, &[], &[(Key::Server, good)]).is_ok(), "{good}");
    }
    for bad in
        ["localhost", ":9640", "host:0", "host:70000", "[::1:9640", "::1:9640", "a b:1", "-x:1"]
    {
        assert!(load_with(None, &[], &[(Key::Server, bad)]).is_err(), "{bad}");
    }
}

#[test]
fn lists_in_variables_are_separated_by_commas() {
    let settings = load_with(None, &[("TIDEGATE_NAMES", "gw.example, 10.0.0.7")], &[]).unwrap();
    assert_eq!(settings.node.names, ["gw.example", "10.0.0.7"]);
}

#[test]
fn a_named_file_must_exist() {
    let origins =
        Origins { file: Some(Path::new("/no/such/file")), variable: &none, flags: vec![] };
    let error = load(&origins).unwrap_err().to_string();
    assert_eq!(error, "cannot read the settings file /no/such/file");
}

#[test]
fn misspelt_variables_are_noticed_and_others_left_alone() {
    let names = ["TIDEGATE_LISTN", "TIDEGATE_SEEDS", "TIDEGATE_SITE", "PATH"];
    assert_eq!(
        misspelt_variables(names.map(String::from)),
        [("TIDEGATE_LISTN".to_owned(), "TIDEGATE_LISTEN")]
    );
}
